"""Whether one more retry may be sent: a share of what was sent lately, and a few."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.core.routing.bounds import above, between, refuse
from orchestration.core.routing.window import SlidingCount

__all__ = ["BudgetSettings", "SendBudget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """How many calls may be sent beyond first ones.

    Attributes:
        share: Of the first calls within the window, 0.0-1.0.
        floor: So many per window in any case, so that little traffic is retried too.
        window_s: The sliding window.
    """

    share: float = 0.1
    floor: int = 3
    window_s: float = 10.0

    def __post_init__(self) -> None:
        refuse(
            self,
            between("share", self.share, 0, 1),
            between("floor", self.floor, 0),
            above("window_s", self.window_s),
        )


class SendBudget:
    """Keeps retries from making an outage worse.

    Of n first calls over t seconds, at most ``share * n + floor * (t / window_s + 2)``
    more are sent: a first call leaves the window no later than the retry that it paid
    for, and so pays once.

    Not thread-safe: all calls go under one lock of the caller. ``now_s`` is seconds of
    any one clock that does not go back.

    Attributes:
        refused: How many were refused, for a metric.
    """

    __slots__ = ("_first", "_more", "_settings", "refused")

    def __init__(self, settings: BudgetSettings | None = None) -> None:
        self._settings = settings or BudgetSettings()
        self._first = SlidingCount(self._settings.window_s)
        self._more = SlidingCount(self._settings.window_s)
        self.refused = 0

    def sent(self, *, now_s: float) -> None:
        """Count a first call."""
        self._first.add(now_s)

    def take(self, *, now_s: float) -> bool:
        """Count one call more if it may be sent; tell whether it may."""
        settings = self._settings
        most = settings.share * self._first.total(now_s) + settings.floor
        if self._more.total(now_s) + 1 > most:
            self.refused += 1
            return False
        self._more.add(now_s)
        return True
