"""Named processes that end with the process that started them, whatever ends it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orchestration.adapters.embedded.folder import (
    kept_folder,
    remove_leftovers,
    temporary_folder,
)
from orchestration.errors import EmbeddedServerError

__all__ = ["MARKER", "Command", "RunAs", "Supervisor"]

MARKER = "ORCHESTRATION_STACK"
"""Environment variable that every process of one stack carries, with the stack's id."""

_KEEPER = Path(__file__).with_name("keeper.py")
_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class RunAs:
    """Whose rights a process gets: None and None are the caller's own.

    Attributes:
        uid: User to become; only root can ask for one.
        gid: Group to become, set with ``uid``.
        namespace_uid: Appear as this user inside a user namespace of its own, where
            outside it stays the caller (Linux).
    """

    uid: int | None = None
    gid: int | None = None
    namespace_uid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process to run.

    Attributes:
        name: Its name here, and its log file's.
        argv: Program and arguments.
        env: Variables on top of the caller's, or all of them if ``bare_env``.
        bare_env: Do not pass on the caller's environment.
        cwd: Working directory; None is the stack's folder.
        stage: Higher stages are stopped first, one stage at the same time. By
            convention: servers 0, workers 1, beat 2.
        stop_signal: Sent to ask it to end.
        grace_s: Seconds it gets to end before it is killed with all its children.
        run_as: Whose rights it gets.
    """

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str] | None = None
    bare_env: bool = False
    cwd: Path | None = None
    stage: int = 1
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    run_as: RunAs = RunAs()


class Supervisor:
    """Runs commands; none of them outlives this process.

    That holds for a normal end, an exception, Ctrl-C, SIGTERM and kill -9: the
    commands are children of a small keeper process, which stops them as soon as this
    process is gone. Safe to use from several threads.

    Args:
        folder: Where logs (``folder/logs/<name>.log``) and data live. Kept, and held
            by one supervisor at a time. None: a temporary one, removed at the end.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._wanted = folder
        self._folder: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._pids: dict[str, int] = {}
        self._log_starts: dict[str, int] = {}
        self._turn = threading.RLock()
        self._numbers = itertools.count()
        self._owner_pid = 0
        self.stack_id = os.environ.get(MARKER) or uuid.uuid4().hex

    def open(self) -> Self:
        """Claim the folder and start the keeper; nothing else runs yet.

        Raises:
            EmbeddedServerError: Another stack holds the folder and keeps holding it,
                the folder is closed to this user, or this supervisor is open already.
        """
        if self._keeper is not None:
            raise EmbeddedServerError(f"the stack in {self._folder} is started already")
        remove_leftovers()
        if self._wanted is None:
            self._folder, lock_fd = temporary_folder()
        else:
            self._folder = self._wanted.expanduser().resolve()
            lock_fd = kept_folder(self._folder)
        try:
            shutil.rmtree(self.scratch, ignore_errors=True)
            for folder in (self._folder / "logs", self.scratch):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._owner_pid = os.getpid()
            self._keeper = self._start_keeper(lock_fd)
        finally:
            # The keeper alone holds the lock: the folder is free when it has ended.
            os.close(lock_fd)
        return self

    @property
    def folder(self) -> Path:
        """The stack's folder.

        Raises:
            EmbeddedServerError: The supervisor is not open.
        """
        if self._folder is None:
            raise EmbeddedServerError("the supervisor is not open: use it by `with`")
        return self._folder

    @property
    def temporary(self) -> bool:
        """Whether the folder goes with the stack."""
        return self._wanted is None

    @property
    def scratch(self) -> Path:
        """A folder that goes with the stack even where the stack's folder is kept."""
        return self.folder / "scratch"

    @property
    def keeper_pid(self) -> int:
        """The process that holds the commands; 0 when closed."""
        return self._keeper.pid if self._keeper else 0

    def start(self, command: Command) -> int:
        """Start a command and return its pid; it is not yet known to be ready.

        Raises:
            EmbeddedServerError: It could not be started, or the name is taken.
        """
        if command.name in self._pids and command.name not in self.ended():
            raise EmbeddedServerError(f"process {command.name!r} already runs")
        environment = {} if command.bare_env else dict(os.environ)
        environment |= command.env or {}
        environment[MARKER] = self.stack_id
        log = self.log_path(command.name)
        self._log_starts[command.name] = log.stat().st_size if log.exists() else 0
        reply = self._ask(
            op="start",
            name=command.name,
            argv=[str(part) for part in command.argv],
            env=environment,
            cwd=str(command.cwd or self.folder),
            log=str(log),
            stage=command.stage,
            stop_signal=int(command.stop_signal),
            grace_s=command.grace_s,
            uid=command.run_as.uid,
            gid=command.run_as.gid,
            namespace_uid=command.run_as.namespace_uid,
        )
        if "error" in reply:
            raise EmbeddedServerError(
                f"process {command.name!r} ({command.argv[0]}) did not start: "
                f"{reply['error']}"
            )
        self._pids[command.name] = int(reply["pid"])
        return self._pids[command.name]

    def run(self, command: Command) -> int:
        """Run a command to its end and return its exit code."""
        self.start(command)
        while command.name not in self.ended():
            time.sleep(_POLL_S)
        return self.stop(command.name) or 0

    def stop(
        self, name: str, *, with_signal: signal.Signals | None = None
    ) -> int | None:
        """Stop one process and return its exit code; None if it never ran.

        Args:
            name: The command's name.
            with_signal: Sent in place of the command's own stop signal.
        """
        self._pids.pop(name, None)
        reply = self._ask(op="stop", name=name, signal=with_signal)
        code = reply["returncode"]
        return None if code is None else int(code)

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one process; nothing happens if it has ended."""
        self.pid_of(name)
        self._ask(op="signal", name=name, signal=int(number))

    def pid_of(self, name: str) -> int:
        """Return the pid of a process that was started and not stopped since.

        Raises:
            EmbeddedServerError: There is none of that name.
        """
        if name not in self._pids:
            known = ", ".join(sorted(self._pids)) or "none"
            raise EmbeddedServerError(
                f"no process {name!r} runs here; running: {known}"
            )
        return self._pids[name]

    def ended(self) -> dict[str, int]:
        """Return the exit code of each process that ended without being stopped."""
        return {n: int(code) for n, code in self._ask(op="status")["ended"].items()}

    def wait_for(self, name: str, text: str, *, timeout_s: float = 60.0) -> None:
        """Return as soon as a process has written ``text``, e.g. " ready.".

        Raises:
            EmbeddedServerError: It ended before, or time ran out; with its last lines.
        """
        deadline = time.monotonic() + timeout_s
        while text not in self.log_text(name):
            code = self.ended().get(name)
            if code is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
                continue
            if text in self.log_text(name):  # its last word
                return
            why = f"within {timeout_s:.0f} s" if code is None else f"and ended ({code})"
            raise EmbeddedServerError(
                f"process {name!r} did not say {text!r} {why}. Its log ends:\n"
                f"{self.log_tail(name)}"
            )

    def log_text(self, name: str) -> str:
        """Return what a process has written since it was started last."""
        with contextlib.suppress(FileNotFoundError):
            written = self.log_path(name).read_bytes()[self._log_starts.get(name, 0) :]
            return written.decode(errors="replace")
        return ""

    def log_path(self, name: str) -> Path:
        """Return the file that takes the output of one process."""
        return self.folder / "logs" / f"{name}.log"

    def log_tail(self, name: str, *, lines: int = 20) -> str:
        """Return the last lines a process wrote, "" if it wrote none."""
        return "\n".join(self.log_text(name).splitlines()[-lines:])

    def close(self) -> None:
        """Stop everything, stage by stage, and remove what is temporary.

        A second call does nothing; so does a call in a forked child, which does not
        own the processes.
        """
        keeper, self._keeper = self._keeper, None
        if keeper is None or os.getpid() != self._owner_pid:
            return
        assert keeper.stdin is not None  # noqa: S101 - for the type checker
        assert keeper.stdout is not None  # noqa: S101
        # An end without "close" would cut the time for the workers' last tasks.
        with contextlib.suppress(BrokenPipeError), keeper.stdin:
            keeper.stdin.write(b'{"op": "close"}\n')
        keeper.wait()
        keeper.stdout.close()
        self._pids.clear()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start_keeper(self, lock_fd: int) -> subprocess.Popen[bytes]:
        doomed = self.folder if self.temporary else self.scratch
        with (self.folder / "logs" / "keeper.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own file
                [
                    *(sys.executable, "-I", "-S", _KEEPER),
                    *(str(self._owner_pid), str(lock_fd), doomed),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={**os.environ, MARKER: self.stack_id},
                pass_fds=(lock_fd,),
                # Ctrl-C of a terminal must not reach it nor its children.
                start_new_session=True,
            )

    def _ask(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        with self._turn:
            keeper = self._keeper
            if keeper is None or keeper.stdin is None or keeper.stdout is None:
                raise EmbeddedServerError(
                    "the supervisor is not open: use it by `with`"
                )
            number = next(self._numbers)
            with contextlib.suppress(BrokenPipeError):
                keeper.stdin.write(
                    json.dumps(request | {"id": number}).encode() + b"\n"
                )
                keeper.stdin.flush()
            # Ctrl-C may have left the answer to an earlier question unread.
            for line in keeper.stdout:
                reply: dict[str, Any] = json.loads(line)
                if reply["id"] == number:
                    return reply
        raise EmbeddedServerError(
            f"the keeper process {keeper.pid} of this stack has ended, and all its "
            f"processes with it: start the stack again"
        )
