"""Lets faults on purpose happen in a Celery worker.

    celery -A tasks worker -I shop,orchestration.testing.worker

The worker is to run in the pool ``prefork``, with two children or more: faults kill and
freeze the child that an action runs in. Steps without faults go on as ever. It is for
tests: whoever may start sagas may kill such a worker's children.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

from orchestration.agents import ActionContext
from orchestration.errors import StepTimedOut
from orchestration.settings import Settings
from orchestration.testing.faults import inject
from tasks.finding import call_through

_BEYOND_THE_LEASE_S: Final = 3.0  # until the sweep has seen that it ran out
_MOST_STALLS: Final = 10


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived SIGKILL")


def _stall(context: ActionContext) -> None:
    """Stand still, with the thread that keeps the lease, until it has run out."""
    for _ in range(_MOST_STALLS):
        _freeze(Settings.from_env().lease_s + _BEYOND_THE_LEASE_S)
        with suppress(StepTimedOut):
            context.heartbeat()
        if context.cancelled:
            return


def _freeze(seconds: float) -> None:
    """Stop this process; another one lets it go on."""
    pid = os.getpid()
    script = f"sleep {seconds}; kill -CONT {pid}"
    with subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True):  # noqa: S603  numbers only
        os.kill(pid, signal.SIGSTOP)


call_through(partial(inject, kill=_kill, stall=_stall))
