"""When a call that is still open is sent to a second target as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestration.core.routing.bounds import above, between, refuse
from orchestration.core.routing.budget import BudgetSettings, SendBudget
from orchestration.core.routing.sketch import LatencySketch

__all__ = ["HedgeSettings", "Hedging"]

_BEYOND: Final = 1.25  # times as many calls as may be hedged are searched for a gap
_GAP: Final = 2.0  # a latency that many times another is of another kind of call


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeSettings:
    """How long to wait for an answer, and how many calls may be sent twice.

    The defaults help where less than one call in twenty is slow: one slow agent of
    twenty or more. Of ten, one makes every tenth call slow, and a twentieth may be
    hedged: half of them stay as slow as they are. For n agents give a ``share`` of 1.2
    / n, and a ``percentile`` of 1 - 1.2 / n; it costs as many calls more.

    Attributes:
        percentile: A call is hedged that takes longer than this share of its kind's,
            0.5-0.999.
        share: Of all calls that may be sent twice, 0.0-1.0.
        window_s: Over which time that share holds.
        min_samples: Latencies of a kind below which nothing is hedged.
        min_delay_s: Least wait, so that what is fast anyhow is not sent twice.
        max_kinds: Kinds that are learned of; the one learned of first is dropped.
    """

    percentile: float = 0.95
    share: float = 0.05
    window_s: float = 10.0
    min_samples: int = 100
    min_delay_s: float = 0.001
    max_kinds: int = 1_000

    def __post_init__(self) -> None:
        refuse(
            self,
            between("percentile", self.percentile, 0.5, 0.999),
            between("share", self.share, 0, 1),
            above("window_s", self.window_s),
            between("min_samples", self.min_samples, 1),
            between("min_delay_s", self.min_delay_s, 0),
            between("max_kinds", self.max_kinds, 1),
        )


class Hedging:
    """Learns how long calls take, and lets a few slow ones be sent once more.

    A kind is what has one latency, such as a message type, over *all* its targets: a
    slow target is then slow beside the others, not by its own measure. Only calls may
    be hedged that do no harm twice.

    Not thread-safe: all calls go under one lock of the caller. ``now_s`` is seconds of
    any one clock that does not go back.
    """

    __slots__ = ("_budget", "_kinds", "_settings")

    def __init__(self, settings: HedgeSettings | None = None) -> None:
        self._settings = settings or HedgeSettings()
        self._kinds: dict[str, LatencySketch] = {}
        self._budget = SendBudget(
            BudgetSettings(
                share=self._settings.share, floor=0, window_s=self._settings.window_s
            )
        )

    @property
    def refused(self) -> int:
        """How many hedges the budget refused, for a metric."""
        return self._budget.refused

    def sent(self, *, now_s: float) -> None:
        """Count a first call."""
        self._budget.sent(now_s=now_s)

    def learned(self, kind: str, latency_s: float) -> None:
        """Learn how long a first call took, late answers to hedged ones included.

        Without those, calls would look the faster the more are hedged.
        """
        sketch = self._kinds.get(kind)
        if sketch is None:
            if len(self._kinds) >= self._settings.max_kinds:
                del self._kinds[next(iter(self._kinds))]
            sketch = self._kinds[kind] = LatencySketch()
        sketch.add(latency_s)

    def delay_s(self, kind: str) -> float | None:
        """Return how long to wait before a call is hedged; None: not known yet."""
        sketch = self._kinds.get(kind)
        if sketch is None or sketch.samples < self._settings.min_samples:
            return None
        least_s = self._settings.min_delay_s
        learned_s = sketch.quantile(self._settings.percentile)
        # If just as many are slow as may be hedged, that is the fastest of the slow
        # ones. Then the call is hedged as soon as the others are done.
        beyond = min(1.0, _BEYOND * (1.0 - self._settings.percentile))
        sooner_s = sketch.quantile(1.0 - beyond)
        return max(sooner_s if _GAP * sooner_s < learned_s else learned_s, least_s)

    def take(self, *, now_s: float) -> bool:
        """Count a hedge if one may be sent; ask when the delay is over, not before."""
        return self._budget.take(now_s=now_s)
