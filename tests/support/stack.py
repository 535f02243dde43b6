"""Real Celery workers and a real beat for one test, and their logs if it fails."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from orchestration.adapters.embedded import Command, Supervisor
from tests.support.processes import wait_for_no_process

ROOT = Path(__file__).parents[2]
READY_S = 180.0
LOG_LINES = 60
# Looking for neighbours takes a second of each start, and nothing here needs it.
WORKER = ("worker", "-l", "INFO", "--without-mingle")


class Started:
    """A process of a stack, with the methods of ``subprocess.Popen`` that tests use.

    Attributes:
        name: Its name in the stack, and its log's.
        pid: The pid of its head; prefork children have others.
    """

    def __init__(self, supervisor: Supervisor, name: str, ready: str) -> None:
        self._supervisor = supervisor
        self._ready = ready
        self.name = name
        self.pid = supervisor.pid_of(name)

    @property
    def log(self) -> str:
        """Everything it has written so far."""
        return self._supervisor.log_text(self.name)

    def children(self) -> list[psutil.Process]:
        """Its prefork children."""
        return psutil.Process(self.pid).children(recursive=True)

    def wait_ready(self, timeout_s: float = READY_S) -> Started:
        """Return when its log says that it is ready; fail if it ends before."""
        self._supervisor.wait_for(self.name, self._ready, timeout_s=timeout_s)
        return self

    def poll(self) -> int | None:
        return self._supervisor.ended().get(self.name)

    def wait(self, timeout: float = READY_S) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.name, timeout)
            time.sleep(0.02)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        self._supervisor.send_signal(self.name, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill -9 the head; its children go with it."""
        self.send_signal(signal.SIGKILL)


class Stack:
    """Starts workers of one Celery app; all of them are stopped after the test.

    Attributes:
        env: What the processes started from now on get on top of this environment.
            Change it before a start, e.g. ``stack.env["ORCHESTRATION_LEASE_S"] = "2"``.
        app: What ``celery -A`` names.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        app: str = "tasks",
        prepare: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        self.env = dict(env)
        self.app = app
        self._prepare = prepare
        self._numbers = itertools.count(1)
        self.supervisor = Supervisor().open()
        self.started: list[Started] = []

    def worker(
        self, *arguments: str, pool: str = "prefork", wait: bool = True
    ) -> Started:
        """Start ``celery worker``, e.g. ``worker("-I", "myapp.agents", "-c", "2")``."""
        name = f"worker{next(self._numbers)}"
        words = [*WORKER, "-P", pool, "-n", f"{name}@%h", *arguments]
        return self.celery(name, *words, ready=" ready.", wait=wait)

    def chores(self, *arguments: str, wait: bool = True) -> Started:
        """Start the worker of the chores' queue."""
        name = f"chores{next(self._numbers)}"
        words = [*WORKER, "-Q", "chores", "-c", "1", "-n", f"{name}@%h"]
        return self.celery(name, *words, *arguments, ready=" ready.", wait=wait)

    def beat(self, *arguments: str, wait: bool = True) -> Started:
        """Start ``celery beat``, its schedule file in the stack's folder."""
        name = f"beat{next(self._numbers)}"
        schedule = str(self.supervisor.folder / f"{name}-schedule")
        words = ["beat", "-l", "INFO", "-s", schedule, "--pidfile="]
        return self.celery(
            name, *words, *arguments, ready="beat: Starting...", wait=wait, stage=2
        )

    def celery(
        self, name: str, *words: str, ready: str, wait: bool = True, stage: int = 1
    ) -> Started:
        """Start any command of Celery; it is ready when its log holds ``ready``."""
        if self._prepare is not None:
            self._prepare(self.env)
            self._prepare = None
        self.supervisor.start(
            Command(
                name=name,
                argv=[sys.executable, "-m", "celery", "-A", self.app, *words],
                env={"PYTHONUNBUFFERED": "1", **self.env},
                cwd=ROOT,
                stage=stage,
                # Tests end in the middle of things, and nobody uses what these use
                # after them. Asked by SIGQUIT, a worker takes three seconds to end.
                stop_signal=signal.SIGKILL,
            )
        )
        process = Started(self.supervisor, name, ready)
        self.started.append(process)
        return process.wait_ready() if wait else process

    def logs(self) -> list[tuple[str, str]]:
        """The last lines of each process, for the report of a failed test."""
        return [
            (f"log of {one.name}", self.supervisor.log_tail(one.name, lines=LOG_LINES))
            for one in self.started
        ]

    def close(self) -> None:
        """Stop everything and make sure that nothing is left."""
        marker, folder = self.supervisor.stack_id, self.supervisor.folder
        self.supervisor.close()
        wait_for_no_process(marker, folder, timeout_s=60.0)
