"""A stack's folder: locked as long as its keeper lives, swept when that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from orchestration.errors import EmbeddedServerError

_PREFIX = "orchestration-stack-"
_PATIENCE_S = 2.0
_ENDING_S = 60.0
_POLL_S = 0.005


def temporary_folder() -> tuple[Path, int]:
    """Create a folder and return it with the descriptor that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            lock_fd = _claim(folder, patience_s=0)
        except (FileNotFoundError, EmbeddedServerError):
            continue  # another start took it for a leftover, between two of our lines
        if (folder / "lock").exists():
            return folder, lock_fd
        os.close(lock_fd)


def kept_folder(folder: Path) -> int:
    """Create the folder if need be, and return the descriptor that locks it.

    Raises:
        EmbeddedServerError: A running stack holds it, or this user cannot use it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _claim(folder, patience_s=_PATIENCE_S)
    except OSError as error:
        raise EmbeddedServerError(
            f"folder {folder} cannot be used by user {os.geteuid()}: {error}; choose "
            f"another folder"
        ) from error


def _claim(folder: Path, *, patience_s: float) -> int:
    """Lock a folder; wait in patience for one whose stack is about to end."""
    lock_fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # The keeper empties the file when it starts to stop everything, and does
            # so as soon as it hears that its maker has died.
            holder = os.pread(lock_fd, 20, 0).decode()
            limit_s = patience_s if _lives(holder) else _ENDING_S
            if time.monotonic() - began < limit_s:
                time.sleep(_POLL_S)
                continue
            os.close(lock_fd)
            raise EmbeddedServerError(
                f"folder {folder} is in use by another stack (process "
                f"{holder or 'unknown'}): stop that one, or choose another folder"
            ) from None
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, str(os.getpid()).encode(), 0)
        return lock_fd


def _lives(holder: str) -> bool:
    """Whether the process that a locked folder names is there."""
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def remove_leftovers() -> None:
    """Remove temporary folders of stacks whose keeper was killed as well."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock_fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock_fd)
