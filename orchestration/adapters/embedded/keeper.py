"""The process that outlives its maker by a moment, to leave nothing behind.

A supervisor starts one keeper and speaks to it over a pipe, one JSON object a line;
every server and worker is the keeper's child. When the pipe closes or the maker is
gone, by whatever end including kill -9, the keeper stops all children, removes the
folder it was told to remove, and ends. It is run as a script by ``python -I -S``:
the standard library only, no package of this project.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICK_S = 0.5
POLL_S = 0.005
ABANDONED_GRACE_S = 5.0

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_ENDINGS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_LINUX = sys.platform.startswith("linux")


@dataclass(slots=True)
class Child:
    """One process, head of its own session and process group."""

    process: subprocess.Popen[bytes]
    stage: int
    stop_signal: int
    grace_s: float

    def ended(self) -> bool:
        """Tell whether it has ended; what it left in its group is killed at once.

        Killing here and not later keeps the group's number from being reused by a
        stranger: right after the head was reaped it is still this group's, or nobody's.
        """
        if self.process.returncode is not None:
            return True
        if self.process.poll() is None:
            return False
        self.kill_group()
        return True

    def kill_group(self) -> None:
        """Kill it and what it started, as far as that stayed in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Keeper:
    """Starts, stops and reports children, as told by the lines it reads."""

    def __init__(self, maker_pid: int, lock_fd: int, doomed: Path) -> None:
        self._maker_pid = maker_pid
        self._lock_fd = lock_fd
        self._doomed = doomed
        self._children: dict[str, Child] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "start": self._start,
            "stop": self._stop,
            "signal": self._signal,
            "status": self._status,
        }

    def serve(self) -> None:
        """Do what is asked until ``close`` is, or until the maker is gone."""
        closing = False
        try:
            for line in self._lines():
                request = json.loads(line)
                closing = request["op"] == "close"
                if closing:
                    break
                reply = self._operations[request["op"]](request)
                self._answer(reply | {"id": request["id"]})
        finally:
            # From here on nothing may interrupt: this is the clean-up.
            for number in _ENDINGS:
                signal.signal(number, signal.SIG_IGN)
            os.ftruncate(self._lock_fd, 0)  # "about to be free", for who waits for it
            everything = list(self._children.values())
            limit_s = None if closing else ABANDONED_GRACE_S
            for stage in sorted({child.stage for child in everything}, reverse=True):
                stop_together([c for c in everything if c.stage == stage], limit_s)
            shutil.rmtree(self._doomed, ignore_errors=True)

    def _lines(self) -> Any:  # noqa: ANN401 - a generator; its exact type says nothing
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        pending = b""
        # The parent is compared too: a fork of the maker may hold the pipe open.
        while os.getppid() == self._maker_pid:
            for child in self._children.values():
                child.ended()
            if not selector.select(TICK_S):
                continue
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            yield from lines

    def _answer(self, reply: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(1, json.dumps(reply).encode() + b"\n")

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        identity: dict[str, Any] = {}
        if request["uid"] is not None:
            identity = {
                "user": request["uid"],
                "group": request["gid"],
                "extra_groups": [],
            }
        try:
            with Path(request["log"]).open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - what the maker asked for
                    request["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=request["env"],
                    cwd=request["cwd"],
                    start_new_session=True,
                    # Safe here: the keeper has one thread.
                    preexec_fn=child_setup(  # noqa: PLW1509
                        request["namespace_uid"], request["stop_signal"]
                    ),
                    **identity,
                )
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": str(error)}
        self._children[request["name"]] = Child(
            process, request["stage"], request["stop_signal"], request["grace_s"]
        )
        return {"pid": process.pid}

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        child = self._children.get(request["name"])
        if child is None:
            return {"returncode": None}
        child.stop_signal = request["signal"] or child.stop_signal
        stop_together([child], None)
        del self._children[request["name"]]
        return {"returncode": child.process.returncode}

    def _signal(self, request: dict[str, Any]) -> dict[str, Any]:
        child = self._children[request["name"]]
        if not child.ended():
            child.process.send_signal(request["signal"])
        return {}

    def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        ended = {
            n: c.process.returncode for n, c in self._children.items() if c.ended()
        }
        return {"ended": ended}


def stop_together(children: list[Child], limit_s: float | None) -> None:
    """Ask all children to end, wait, and kill the groups of those that do not."""
    began = time.monotonic()
    for child in children:
        if not child.ended():
            child.process.send_signal(child.stop_signal)
    waiting = [child for child in children if not child.ended()]
    while waiting:
        time.sleep(POLL_S)
        for child in waiting:
            grace_s = child.grace_s if limit_s is None else min(child.grace_s, limit_s)
            if time.monotonic() - began > grace_s:
                child.kill_group()
        waiting = [child for child in waiting if not child.ended()]


def child_setup(
    namespace_uid: int | None, death_signal: int
) -> Callable[[], None] | None:
    """Return what a child does between fork and exec, None where nothing is needed."""
    if not _LINUX:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    keeper_pid, outer_uid = os.getpid(), os.geteuid()

    def setup() -> None:
        if namespace_uid is not None:
            if libc.unshare(_CLONE_NEWUSER) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            Path("/proc/self/uid_map").write_text(f"{namespace_uid} {outer_uid} 1\n")
        # Second line of defence, for a kill -9 of the keeper itself. After a change
        # of user: the kernel forgets it there.
        libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != keeper_pid:
            os._exit(1)

    return setup


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for ending in _ENDINGS - {signal.SIGINT}:
        signal.signal(ending, _end)
    Keeper(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])).serve()
