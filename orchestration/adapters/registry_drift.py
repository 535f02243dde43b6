"""When a replica of the registry holds something else than the hot state."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["Drift"]

_JITTER: Final = 0.3
_SETTLED_S: Final = 1.0
_PATIENCE_S: Final = 60.0


class Drift:
    """Compares checksums from time to time; all moments are of a monotonic clock.

    The hot state's is asked for, and compared once the feed is read as far as that
    was told. It is drift if two of these differ, one after the other.
    """

    def __init__(self, every_s: float) -> None:
        """Compare at once.

        Args:
            every_s: How long from one comparison to the next, seconds, about.
        """
        self._every_s = every_s
        self._due_at = 0.0
        self._expected: tuple[int, int] | None = None
        self._doubts = 0
        self._recorded_at = self._agreed_at = float("-inf")

    def recorded(self, now_s: float) -> None:
        """Note that this process knows something that the feed may not have told."""
        self._recorded_at = now_s

    def agreed(self, now_s: float) -> None:
        """Note that all has been read again."""
        self._expected, self._doubts = None, 0
        self._agreed_at = now_s
        self._put_off(now_s)

    def is_due(self, now_s: float) -> bool:
        """Tell whether to ask the hot state for its checksum."""
        return now_s >= self._due_at

    def expect(self, told: tuple[int, int] | None, now_s: float) -> None:
        """Compare with a checksum once the delta of that number is taken in."""
        self._expected = told
        self._put_off(now_s)

    def has_drifted(self, nth: int, checksum: int, now_s: float) -> bool:
        """Tell whether all has to be read again.

        Args:
            nth: The number of the last delta that was taken in.
            checksum: The replica's.
            now_s: Now.
        """
        if self._expected is None or nth < self._expected[0]:
            return False
        (_, told), self._expected = self._expected, None
        if checksum == told:
            self._doubts, self._agreed_at = 0, now_s
            return False
        # What this process has recorded itself may be ahead of the feed: once, or as
        # long as it goes on recording, but not for ever.
        if now_s < min(self._recorded_at + _SETTLED_S, self._agreed_at + _PATIENCE_S):
            return False
        self._doubts += 1
        self._due_at = 0.0
        return self._doubts > 1

    def _put_off(self, now_s: float) -> None:
        spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  nothing secret
        self._due_at = now_s + self._every_s * spread
