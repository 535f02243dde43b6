"""Redis' time in this process, whatever becomes of the process's own clock."""

from __future__ import annotations

import time

__all__ = ["RedisClock"]


class RedisClock:
    """Tells Redis' time, so that hosts with wrong clocks agree.

    Every answer of Redis that carries its time sets it anew. In between it goes by the
    monotonic clock, so that this host's clock may be set meanwhile.
    """

    def __init__(self) -> None:
        """Go by this host's clock until Redis is heard of."""
        self._ahead_ms = (time.time() - time.monotonic()) * 1_000

    def heard(self, now_ms: float) -> None:
        """Take over a time that Redis has just told, epoch milliseconds."""
        self._ahead_ms = now_ms - time.monotonic() * 1_000

    def now_ms(self) -> int:
        """Return Redis' time, as good as the last answer's delay."""
        return round(time.monotonic() * 1_000 + self._ahead_ms)
