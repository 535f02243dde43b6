"""Which location is nearest to the caller, by what calls there took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from orchestration.core.routing.bounds import above, between, refuse

__all__ = ["Geography", "GeographySettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeographySettings:
    """How latencies between locations are learned.

    Attributes:
        weight: Of a new sample beside what is known, above 0.0 up to 1.0.
        min_samples: Samples below which a location's latency is not known.
        stale_after_s: Without a sample for so long, it is not known any more.
        tie: Locations that are this share slower than the nearest count as equally
            near: then the declared preference decides, so that calls do not wander.
        exploration: Share of the choices that go to a location of unknown latency,
            0.0-1.0.
    """

    weight: float = 0.2
    min_samples: int = 5
    stale_after_s: float = 300.0
    tie: float = 0.2
    exploration: float = 0.02

    def __post_init__(self) -> None:
        refuse(
            self,
            above("weight", self.weight) or between("weight", self.weight, 0, 1),
            between("min_samples", self.min_samples, 1),
            above("stale_after_s", self.stale_after_s),
            between("tie", self.tie, 0),
            between("exploration", self.exploration, 0, 1),
        )


class Geography:
    """Learns how far locations are from each other.

    Not thread-safe: ``learned`` goes under one lock of the caller, the rest may run
    beside it. ``now_s`` is seconds of any one clock that does not go back.
    """

    __slots__ = ("_paths", "_settings")

    def __init__(self, settings: GeographySettings | None = None) -> None:
        self._settings = settings or GeographySettings()
        self._paths: dict[tuple[str, str], _Path] = {}

    def learned(self, here: str, there: str, *, latency_s: float, now_s: float) -> None:
        """Learn from one answer.

        Args:
            here: Location of the caller.
            there: Location of the agent.
            latency_s: From the send to the answer, less the agent's own time where the
                answer tells it, seconds.
            now_s: The time.
        """
        path = self._paths.get((here, there))
        if path is None or now_s - path.at_s >= self._settings.stale_after_s:
            path = self._paths[here, there] = _Path(latency_s)
        path.samples += 1
        path.latency_s += (latency_s - path.latency_s) * self._settings.weight
        path.at_s = now_s

    def latency_s(self, here: str, there: str, *, now_s: float) -> float | None:
        """Return the latency between two locations, seconds; None: not known."""
        path = self._paths.get((here, there))
        if (
            path is None
            or path.samples < self._settings.min_samples
            or now_s - path.at_s >= self._settings.stale_after_s
        ):
            return None
        return path.latency_s

    def order(
        self,
        here: str,
        locations: Sequence[str],
        *,
        preference: Sequence[str] = (),
        now_s: float,
    ) -> tuple[str, ...]:
        """Return the locations, the nearest first.

        Measured ones come first. Those of unknown latency follow, as declared: the
        caller's own (unless ``preference`` names it later), then by ``preference``,
        then the others by name.
        """
        latencies = {
            there: self.latency_s(here, there, now_s=now_s) for there in locations
        }
        known = [latency for latency in latencies.values() if latency is not None]
        near_s = min(known, default=0.0) * (1 + self._settings.tie)
        declared = _declared(here, preference)

        def rank(there: str) -> tuple[float, tuple[int, str]]:
            latency = latencies[there]
            if latency is None:
                return (inf, declared(there))
            return (max(latency, near_s), declared(there))

        return tuple(sorted(latencies, key=rank))

    def choose(
        self,
        here: str,
        targets: Mapping[str, Sequence[str]],
        *,
        preference: Sequence[str] = (),
        now_s: float,
        draw: Callable[[], float],
    ) -> Sequence[str]:
        """Return the targets of the location that gets this message.

        That is the nearest one; now and then one of unknown latency, so that it gets
        known, and a location that was slow once gets its second chance.

        Args:
            here: Location of the caller.
            targets: The targets in each location; empty ones do not count.
            preference: Locations in declared order.
            now_s: The time.
            draw: Gives a random number from 0.0 to below 1.0.
        """
        locations = [there for there, members in targets.items() if members]
        if not locations:
            return ()
        ordered = self.order(here, locations, preference=preference, now_s=now_s)
        if draw() < self._settings.exploration:
            for there in ordered:
                if self.latency_s(here, there, now_s=now_s) is None:
                    return targets[there]
        return targets[ordered[0]]


class _Path:
    """What calls from one location to another took."""

    __slots__ = ("at_s", "latency_s", "samples")

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.samples = 0
        self.at_s = 0.0


def _declared(here: str, preference: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """Return what orders locations when nothing is measured."""
    places = {there: place for place, there in enumerate(preference, 1)}
    places.setdefault(here, 0)
    last = len(preference) + 1
    return lambda there: (places.get(there, last), there)
