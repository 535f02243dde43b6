"""A clock that stands still until somebody moves it, and time that is skipped."""

from __future__ import annotations

import asyncio
import selectors
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar, TypeVarTuple, Unpack

from orchestration.engine.limits import RealTime, timed_out

__all__ = ["START", "FakeClock", "SkippedTime"]

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""What a clock shows unless told otherwise."""

_LEAST: Final = timedelta(microseconds=1)
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class FakeClock:
    """Tells a time of its own; a month passes at once.

    Args:
        start: What it shows at first, in UTC.
    """

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._alarm: tuple[datetime, Callable[[], Exception]] | None = None

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self._now

    def advance(self, by: timedelta = timedelta(), **more: float) -> datetime:
        """Let time pass, and return what the clock shows then.

        An action that lets more pass than its step has ends there, as in a worker:
        by StepTimedOut.

        Args:
            by: How much; never less than nothing.
            more: Beside it, as ``timedelta`` takes it: ``days=30``, ``seconds=5``.
        """
        by += timedelta(**more)
        if by < timedelta():
            raise ValueError(f"time does not go back, so not by {by}")
        return self.move_to(self._now + by)

    def move_to(self, at: datetime) -> datetime:
        """Let time pass until then; nothing happens if it is over."""
        if self._alarm is not None and self._alarm[0] <= at:
            self._now, make_error = max(self._now, self._alarm[0]), self._alarm[1]
            self._alarm = None
            raise make_error()
        self._now = max(self._now, at)
        return self._now

    @contextmanager
    def alarm(self, after_s: float, error: Callable[[], Exception]) -> Iterator[None]:
        """Raise an error into the block once so much time has passed in it."""
        before, self._alarm = self._alarm, None
        self.set_alarm(after_s, error)
        try:
            yield
        finally:
            self._alarm = before

    def set_alarm(
        self, after_s: float, error: Callable[[], Exception] | None = None
    ) -> None:
        """Set the alarm, or put off the one that is set."""
        if error is None and self._alarm is not None:
            error = self._alarm[1]
        if error is not None:
            self._alarm = self._now + timedelta(seconds=after_s), error


class SkippedTime(RealTime):
    """Time for actions in a world with a clock of its own.

    A coroutine that sleeps lets the clock advance and goes on at once. While one of
    its sockets or threads is at work, it waits for that as it does outside.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    @contextmanager
    def limit(self, step: str, seconds: float) -> Iterator[None]:
        """Raise StepTimedOut into the block when its time is over."""
        with self._clock.alarm(seconds, lambda: timed_out(step, seconds)):
            yield

    def put_off(self, seconds: float) -> None:
        """Have the alarm come so many seconds from now, if there is one."""
        self._clock.set_alarm(seconds)

    def new_runner(self) -> asyncio.Runner:
        """Return what runs coroutines, on a loop that skips time."""
        clock = self._clock  # alone: the runner must not hold what it ends with
        runner = asyncio.Runner(loop_factory=lambda: _Loop(clock))
        # The world that this is part of has no end that anybody would tell.
        weakref.finalize(self, _end, runner)
        return runner


def _end(runner: asyncio.Runner) -> None:
    """Close a loop whose world is gone, whenever that is noticed."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        runner.close()
    else:  # amid another world's coroutine, where this one's cannot be run to an end
        runner.get_loop().close()


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is the clock's."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._threads = 0
        super().__init__(_Selector(clock, self._waits_for_others))
        # As coarse as the clock is, or what is due now would never be run.
        self._clock_resolution = _LEAST.total_seconds()

    def time(self) -> float:
        return self._clock.now().timestamp()

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        self._threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, future: object) -> None:
        del future
        self._threads -= 1

    def _waits_for_others(self) -> bool:
        return self._threads > 0


class _Selector(selectors.DefaultSelector):
    """Lets time pass in place of waiting, unless something outside is under way."""

    def __init__(self, clock: FakeClock, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self._clock = clock
        self._is_busy = is_busy

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        # One file is the loop's own, by which threads wake it.
        is_outside = self._is_busy() or len(self.get_map()) > 1
        ready = super().select(timeout if is_outside else 0)
        if not ready and timeout is not None and timeout > 0:
            self._clock.advance(max(timedelta(seconds=timeout), _LEAST))
        return ready
