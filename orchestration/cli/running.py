"""Which local stacks run, so that another terminal can ask for their addresses.

Each ``orchestration up`` keeps a file that only its user can read, named by its pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["newest_stack", "published"]


@contextlib.contextmanager
def published(environment: Mapping[str, str]) -> Iterator[None]:
    """Let ``newest_stack`` find these addresses while the block runs."""
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"{os.getpid()}.json"
    if not _is_ours(folder):  # somebody else made it first: say nothing there
        yield
        return
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump(dict(environment), out)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another stack's file is in it
            folder.rmdir()


def newest_stack() -> dict[str, str] | None:
    """Return the addresses of the stack that was started last and still runs."""
    folder = _folder()
    if not folder.is_dir() or not _is_ours(folder):
        return None
    living = []
    for file in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            if _runs(int(file.stem)):
                living.append((file.stat().st_mtime, file))
            else:
                file.unlink()
    if not living:
        return None
    found: dict[str, str] = json.loads(max(living)[1].read_text())
    return found


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"orchestration-up-{os.getuid()}"


def _is_ours(folder: Path) -> bool:
    """Tell whether nobody else could have written there."""
    about = folder.lstat()
    private = about.st_mode & 0o077 == 0
    return about.st_uid == os.getuid() and private and not folder.is_symlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
