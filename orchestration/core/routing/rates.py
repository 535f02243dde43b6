"""Whether a target may get one more call now: so many per second, and some at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.core.routing.bounds import above, between, refuse

__all__ = ["Rate", "RateLimits"]

_JUMP_S = 1.0  # threads that read one clock in turns are never so far apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many calls a target takes.

    Attributes:
        calls_per_s: In the long run.
        burst: At once, after a pause; at least 1. With 1, what is asked for late is
            lost: calls that come at random then get less than ``calls_per_s``.
    """

    calls_per_s: float
    burst: int = 10

    def __post_init__(self) -> None:
        refuse(
            self,
            above("calls_per_s", self.calls_per_s),
            between("burst", self.burst, 1),
        )


class RateLimits:
    """Holds every target to its rate: GCRA, one number per target.

    Within any time of t seconds a target gets at most ``burst + t * calls_per_s``
    calls; one that is asked for all the time gets that many. A clock that jumps back
    costs what time it jumped over and blocks nobody until it has caught up; one that
    jumps ahead gives one burst.

    Not thread-safe: all calls go under one lock of the caller. It holds for one
    process: with R routers, give each of them an R-th of the rate.
    """

    __slots__ = ("_clock_s", "_default", "_full_at_s", "_last_s", "_own")

    def __init__(
        self, default: Rate | None = None, own: Mapping[str, Rate] | None = None
    ) -> None:
        """Limit the targets.

        Args:
            default: For targets without a rate of their own; None: no limit.
            own: Rates of single targets.
        """
        self._default = default
        self._own = dict(own or {})
        self._full_at_s: dict[str, float] = {}
        self._clock_s = 0.0  # passed time, in which the given one's jumps are none
        self._last_s: float | None = None

    def limit(self, target: str, rate: Rate | None) -> None:
        """Give a target a rate of its own; None: the default."""
        if rate is None:
            self._own.pop(target, None)
        else:
            self._own[target] = rate

    def forget(self, target: str) -> None:
        """Drop what is counted of a target that is gone; its rate is for it still."""
        self._full_at_s.pop(target, None)

    def wait_s(self, target: str, *, now_s: float) -> float:
        """Return how long until the target may get a call; 0.0: it may now."""
        rate = self._own.get(target, self._default)
        if rate is None:
            return 0.0
        clock_s = self._passed(now_s)
        full_at_s = self._full_at_s.get(target, clock_s)
        wait_s = full_at_s - clock_s - (rate.burst - 1) / rate.calls_per_s
        # What floats lose in sums must not make a caller wait for nothing.
        return wait_s if wait_s > 1e-9 else 0.0  # noqa: PLR2004

    def take(self, target: str, *, now_s: float) -> bool:
        """Count one call to the target if it may get one; tell whether it may."""
        rate = self._own.get(target, self._default)
        if rate is None:
            return True
        if self.wait_s(target, now_s=now_s) > 0:
            return False
        from_s = max(self._full_at_s.get(target, 0.0), self._clock_s)
        self._full_at_s[target] = from_s + 1 / rate.calls_per_s
        return True

    def _passed(self, now_s: float) -> float:
        if self._last_s is None:
            self._last_s = now_s
        ahead_s = now_s - self._last_s
        if ahead_s > 0:
            self._clock_s += ahead_s
            self._last_s = now_s
        elif ahead_s < -_JUMP_S:
            self._last_s = now_s
        return self._clock_s
