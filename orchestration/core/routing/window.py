"""How often something happened lately: a count over a sliding window."""

from __future__ import annotations

__all__ = ["SlidingCount"]


class SlidingCount:
    """Counts what happened within the last ``window_s``, in constant time and memory.

    The window moves in ``steps``, so that it covers between all but one step of
    ``window_s`` and all of it, never more. Time must not go back by itself: an earlier
    ``now_s`` counts as the latest one. Not for several threads at once.
    """

    __slots__ = ("_at", "_counts", "_step_s", "_total")

    def __init__(self, window_s: float, steps: int = 10) -> None:
        self._step_s = window_s / steps
        self._counts = [0] * steps
        self._at: int | None = None
        self._total = 0

    def add(self, now_s: float, count: int = 1) -> None:
        """Count what happens now."""
        at = self._moved(now_s)
        self._counts[at % len(self._counts)] += count
        self._total += count

    def total(self, now_s: float) -> int:
        """Return how many there were within the window."""
        self._moved(now_s)
        return self._total

    def _moved(self, now_s: float) -> int:
        step = int(now_s // self._step_s)
        if self._at is None:
            self._at = step
        elif step > self._at:
            size = len(self._counts)
            for passed in range(self._at + 1, min(step, self._at + size) + 1):
                self._total -= self._counts[passed % size]
                self._counts[passed % size] = 0
            self._at = step
        return self._at
