"""Second copies of requests that take long, of all scatters of one front door."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from orchestration.core.routing.hedging import HedgeSettings, Hedging

__all__ = ["Hedger", "spare_for"]


class Hedger:
    """Learns how long requests take, and lets a few slow ones be sent once more.

    Requests of one kind are those that name the same recipient: the logical one, whom
    the targets stand for.

    Args:
        settings: When, and how many.
    """

    def __init__(self, settings: HedgeSettings) -> None:
        self._hedging = Hedging(settings)
        self._lock = threading.Lock()

    def sent(self) -> None:
        """Count a first copy."""
        with self._lock:
            self._hedging.sent(now_s=time.monotonic())

    def learned(self, kind: str, latency_s: float) -> None:
        """Learn how long a first copy took."""
        with self._lock:
            self._hedging.learned(kind, latency_s)

    def delay_s(self, kind: str) -> float | None:
        """Return how long to wait before a second copy; None: not known yet."""
        with self._lock:
            return self._hedging.delay_s(kind)

    def take(self) -> bool:
        """Count a second copy if one may be sent now; return whether it may."""
        with self._lock:
            return self._hedging.take(now_s=time.monotonic())


def spare_for(target: str, nth: int, spares: Sequence[str]) -> str:
    """Return who gets the nth second copy: a spare, or another worker of the target."""
    others = [spare for spare in spares if spare != target] or [target]
    return others[nth % len(others)]
