"""Servers, workers and beat of one machine, for as long as a command runs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from orchestration.adapters.embedded import (
    Command,
    EmbeddedServerError,
    EmbeddedServers,
)

__all__ = ["LocalStack", "Part", "expect_modules", "free_port", "stoppable"]

_LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A process of Celery's.

    Attributes:
        name: Its name, its log's, and its node's if it is a worker.
        words: What follows ``celery -A tasks``.
        ready: What its log says when it is ready.
        stage: Higher ones are stopped first.
        quick: Stop at once and not when running steps have ended.
    """

    name: str
    words: tuple[str, ...]
    ready: str = ""
    stage: int = 1
    quick: bool = False


class LocalStack:
    """The processes beside the servers, each started by name.

    Args:
        servers: Running, or about to be started, by whoever owns them.
        environment: All variables of the processes, addresses excepted.
    """

    def __init__(
        self, servers: EmbeddedServers, environment: Mapping[str, str]
    ) -> None:
        self.servers = servers
        self._environment = dict(environment)
        self._parts: dict[str, Part] = {}

    @property
    def logs(self) -> Path:
        """The folder of every process's log."""
        return self.servers.supervisor.folder / "logs"

    def worker(
        self,
        name: str,
        *,
        modules: Sequence[str],
        concurrency: int = 2,
        quick: bool = False,
    ) -> Part:
        """Return a worker that hosts the agents of these modules."""
        # Of several -I Celery heeds the last only.
        imports = ("-I", ",".join(modules)) if modules else ()
        words = ("worker", "-l", "INFO", "-n", f"{name}@%h", *imports)
        words += ("-c", str(concurrency))
        return Part(name=name, words=words, ready=" ready.", quick=quick)

    def chores(self, *, quick: bool = False) -> Part:
        """Return the worker of the chores' queue."""
        words = ("worker", "-l", "INFO", "-n", "chores@%h", "-Q", "chores", "-c", "1")
        return Part(name="chores", words=words, ready=" ready.", quick=quick)

    def beat(self) -> Part:
        """Return beat."""
        words = ("beat", "-l", "INFO", "--pidfile=")
        return Part(name="beat", words=words, ready="beat: Starting...", stage=2)

    def flower(self, port: int) -> Part:
        """Return Flower on a port of this machine only."""
        words = ("flower", "--address=127.0.0.1", f"--port={port}")
        return Part(name="flower", words=words, stage=2, quick=True)

    def start(self, part: Part) -> int:
        """Start a process and return its pid; see ``wait_ready``."""
        supervisor = self.servers.supervisor
        self._parts[part.name] = part
        return supervisor.start(
            Command(
                name=part.name,
                argv=[sys.executable, "-m", "celery", "-A", "tasks", *part.words],
                env={
                    **self._environment,
                    **self.servers.environment,
                    "PYTHONUNBUFFERED": "1",
                },
                bare_env=True,
                cwd=Path.cwd(),
                stage=part.stage,
                stop_signal=signal.SIGQUIT if part.quick else signal.SIGTERM,
            )
        )

    def wait_ready(self, *parts: Part) -> None:
        """Return when all of them are ready.

        Raises:
            EmbeddedServerError: One ended, or is not ready in time; with its words.
        """
        for part in parts:
            self.servers.supervisor.wait_for(part.name, part.ready)

    def kill(self, name: str) -> int:
        """Kill -9 a process and all its children; return its pid."""
        pid = self.servers.supervisor.pid_of(name)
        os.killpg(pid, signal.SIGKILL)
        return pid

    def ended(self) -> dict[str, int]:
        """Return the exit code of each process that ended by itself."""
        return self.servers.supervisor.ended()

    def restart(self, name: str) -> None:
        """Start a process that has ended once more."""
        self.start(self._parts[name])

    def is_part(self, name: str) -> bool:
        """Tell whether that process can be restarted; a server cannot."""
        return name in self._parts

    def last_words(self, name: str) -> str:
        """Return the end of a process's log."""
        return self.servers.supervisor.log_tail(name, lines=_LOG_LINES)


def expect_modules(modules: Sequence[str]) -> None:
    """See that the workers will find the modules, before anything is started.

    Raises:
        EmbeddedServerError: One is not found from this folder.
    """
    for module in modules:
        try:
            found = importlib.util.find_spec(module)
        except ImportError:
            found = None
        if found is None:
            raise EmbeddedServerError(
                f"there is no module {module!r} to import from {Path.cwd()}: go to "
                "the folder it is in, or install it"
            )


def free_port(wanted: int) -> int:
    """Return the port if it is free, else any that is."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise EmbeddedServerError("no port is free on 127.0.0.1")


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the block as Ctrl-C does: in order."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before: list[tuple[signal.Signals, Callable[..., object] | int | None]] = [
        (number, signal.signal(number, stop)) for number in numbers
    ]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
