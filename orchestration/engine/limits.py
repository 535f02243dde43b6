"""How an action is kept to its time: by the alarm of the process that runs it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from orchestration.errors import StepTimedOut

__all__ = ["RealTime", "timed_out"]

# How much later than a coroutine's own limit the alarm comes, seconds.
_LOOP_FIRST_S = 1.0
# One that comes while a process is stopped may go to another thread: then a call that
# blocks the main thread does not end by it, and so it comes again.
_AGAIN_S = 1.0


class RealTime:
    """Time as it passes outside.

    An alarm signal reaches a process's main thread only: so it works in a prefork
    child and in a solo worker, but not in a thread of a pool. There the lease runs
    out and the sweep calls the outcome unknown.
    """

    def __init__(self) -> None:
        self._loops = threading.local()

    @contextmanager
    def limit(self, step: str, seconds: float) -> Iterator[None]:
        """Raise StepTimedOut into the block when its time is over."""
        if not _has_alarm():
            yield
            return

        has_struck = False

        def on_alarm(number: int, frame: FrameType | None) -> None:
            nonlocal has_struck
            del number, frame
            if not has_struck:  # what cleans up after the first is not disturbed
                has_struck = True
                raise timed_out(step, seconds)

        before = signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def wait(self, output: Awaitable[Any], step: str, timeout_s: float) -> Any:  # noqa: ANN401
        """Run a coroutine to its end, or to the end of its time."""
        if not hasattr(self._loops, "runner"):
            # Kept for the thread's life, so that an agent's clients can be reused.
            self._loops.runner = self.new_runner()
        has_ended = False

        async def bounded() -> Any:  # noqa: ANN401
            nonlocal has_ended
            try:
                async with asyncio.timeout(timeout_s) as limit:
                    return await output
            except TimeoutError as exc:
                if limit.expired():
                    raise timed_out(step, timeout_s) from exc
                raise
            finally:
                has_ended = True

        # The loop's own limit cancels cleanly: the alarm is for what blocks the loop.
        self.put_off(timeout_s + _LOOP_FIRST_S)
        try:
            return self._loops.runner.run(bounded())
        finally:
            if not has_ended:
                # The alarm struck the loop itself: nothing in it may go on in a later
                # step.
                self._loops.__dict__.pop("runner").close()

    def put_off(self, seconds: float) -> None:
        """Have the alarm come so many seconds from now, if there is one."""
        if _has_alarm() and signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)

    def new_runner(self) -> asyncio.Runner:
        """Return what runs coroutines in this thread from now on."""
        return asyncio.Runner()


def timed_out(step: str, seconds: float) -> StepTimedOut:
    """Return the error that says so."""
    return StepTimedOut(f"step {step!r} took longer than its {seconds:g} s")


def _has_alarm() -> bool:
    return threading.current_thread() is threading.main_thread()
