"""Which processes a stack has left, and waiting without sleeping for a guess."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from orchestration.adapters.embedded import MARKER


def process_scan(marker: str, folder: Path | str | None = None) -> list[str]:
    """Describe every process of the stack whose id is ``marker``.

    Found by the environment variable that a stack sets, as descendants of such, and,
    if ``folder`` is given, by a working directory inside it: Postgres' own children
    overwrite the memory that shows their environment.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if _is_marked(process, marker) or _is_inside(process, folder):
                below = process.children(recursive=True)
                found |= {one.pid: one for one in (process, *below)}
        except psutil.Error:
            continue  # ended meanwhile, a zombie, or another user's
    found.pop(psutil.Process().pid, None)
    return sorted(_describe(process) for process in found.values() if _lives(process))


def wait_for_no_process(
    marker: str, folder: Path | str | None = None, *, timeout_s: float = 30.0
) -> None:
    """Return when the stack has no process any more; fail listing those left."""
    deadline = time.monotonic() + timeout_s
    while left := process_scan(marker, folder):
        assert time.monotonic() < deadline, "processes left:\n" + "\n".join(left)
        time.sleep(0.02)


def _is_marked(process: psutil.Process, marker: str) -> bool:
    return process.environ().get(MARKER) == marker


def _is_inside(process: psutil.Process, folder: Path | str | None) -> bool:
    # A process may outlive its folder: the kernel then adds " (deleted)".
    return folder is not None and process.cwd().startswith(f"{folder}/")


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline()) or process.name()}"
    except psutil.Error:
        return f"{process.pid} (ended)"
