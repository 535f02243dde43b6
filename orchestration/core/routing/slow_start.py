"""Which share of its traffic a target gets that has just joined or recovered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestration.core.routing.bounds import above, between, refuse

__all__ = ["SlowStart", "SlowStartSettings", "contenders", "ramp"]

_STEPS: Final = 100  # in which a weight grows
_NOBODY: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStartSettings:
    """How a target's weight grows to its full one.

    Attributes:
        window_s: How long it takes; 0: it starts at once.
        aggression: 1.0 grows evenly; more grows faster at first, less slower.
        min_share: Share that it starts with, so that it does get calls; above 0.0.
    """

    window_s: float = 30.0
    aggression: float = 1.0
    min_share: float = 0.1

    def __post_init__(self) -> None:
        refuse(
            self,
            between("window_s", self.window_s, 0),
            above("aggression", self.aggression),
            above("min_share", self.min_share)
            or between("min_share", self.min_share, 0, 1),
        )


def ramp(settings: SlowStartSettings, age_s: float) -> float:
    """Return the share of its full weight for a target of that age, 0.0-1.0."""
    if age_s >= settings.window_s:
        return 1.0
    part = max(age_s, 0.0) / settings.window_s
    grown: float = part ** (1 / settings.aggression)
    return max(settings.min_share, grown)


def contenders(
    sample: Sequence[str], weights: Mapping[str, float], draw: Callable[[], float]
) -> Sequence[str]:
    """Return who of a sample takes part in a choice; always somebody.

    Loads are no help here. Divided by a small weight, an idle newcomer's load is still
    nothing and it gets every call; with something added first, it looks busier than
    all others and gets none. So the choice is left as it is, and a newcomer takes part
    in it as often as its weight says: it gets that share of what it would get.

    Args:
        sample: Those whom the strategy would compare, such as four at random.
        weights: Of those that get less than their share, above 0.0 to 1.0.
        draw: Gives a random number from 0.0 to below 1.0.
    """
    if not weights:
        return sample
    of = weights.get
    part = [one for one in sample if (weight := of(one, 1.0)) >= 1.0 or draw() < weight]
    if part or not sample:
        return part
    return (max(sample, key=lambda one: of(one, 1.0)),)


class SlowStart:
    """Knows who starts slowly.

    Not thread-safe: ``joined`` and ``forget`` go under one lock of the caller,
    ``weights`` may run beside them. ``now_s`` is seconds of any one clock that does not
    go back.
    """

    __slots__ = ("_settings", "_since_s")

    def __init__(self, settings: SlowStartSettings | None = None) -> None:
        self._settings = settings or SlowStartSettings()
        self._since_s: dict[str, float] = {}

    @property
    def step_s(self) -> float:
        """How long weights may be kept before they are asked for again."""
        return self._settings.window_s / _STEPS

    def joined(self, target: str, *, now_s: float) -> None:
        """Let a target start slowly that is new, or back in service."""
        self._since_s[target] = now_s

    def forget(self, target: str) -> None:
        """Drop a target that is gone."""
        self._since_s.pop(target, None)

    def weights(self, *, now_s: float) -> Mapping[str, float]:
        """Return the weights of those that are starting, above 0.0 to below 1.0."""
        if not self._since_s:
            return _NOBODY
        weights = {
            target: ramp(self._settings, now_s - since_s)
            for target, since_s in tuple(self._since_s.items())
        }
        for target in [target for target, weight in weights.items() if weight >= 1.0]:
            del weights[target]
            self._since_s.pop(target, None)
        return weights
