"""Where a saga's steps keep their files, so that a step is there whole or not at all.

``$CSRD_HOME/work/<saga>/<step>/`` belongs to one step. It is built in a hidden
folder of the attempt and appears by one rename, with the output that the step
reported (``output.json``) inside; an attempt that comes second finds it and
returns the same output. Undoing removes the folder and every half-built one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from examples.csrd.errors import ChangedFile
from orchestration.agents import ActionContext

__all__ = [
    "Workspace",
    "digest",
    "dump_json",
    "home",
    "read_checked",
    "sync_folder",
    "write_file",
]

Output = dict[str, Any]
_OUTPUT = "output.json"
_SAFE = re.compile(r"[\w-]{1,100}")


def home() -> Path:
    """Return ``$CSRD_HOME``, or ``var/csrd`` in the working directory."""
    return Path(os.environ.get("CSRD_HOME", "var/csrd")).resolve()


class Workspace:
    """The folder of one saga below ``root``.

    Args:
        root: What :func:`home` returns.
        saga_id: Whose files they are.
    """

    def __init__(self, root: Path, saga_id: str) -> None:
        # An id is no path: what could leave the folder is kept out by its hash.
        safe = _SAFE.fullmatch(saga_id) is not None
        name = saga_id if safe else digest(saga_id.encode())[:32]
        self.root = root
        self.folder = root / "work" / name

    def run_once(
        self, step: str, context: ActionContext, build: Callable[[Path], Output]
    ) -> Output:
        """Return what ``build`` made, having made it at most once per key.

        ``build`` gets an empty folder. If it raises, nothing of it stays.

        Args:
            step: Name of the step's folder.
            context: Of the attempt; its idempotency key names the effect.
            build: Writes files below the folder it is given, returns the output.
        """
        final, key = self.folder / step, context.idempotency_key
        if (known := _known_output(final, key)) is not None:
            return known
        staging = self.folder / f".{step}.{context.round}-{context.attempt}"
        _remove(staging)
        staging.mkdir(parents=True)
        try:
            output = build(staging)
            record = {"idempotency_key": key, "output": output}
            write_file(staging / _OUTPUT, dump_json(record))
            committed = self._commit(staging, final, key)
        except BaseException:
            self._sweep(step, _order(staging))
            self._prune()
            raise
        self._sweep(step)
        return output if committed is None else committed

    def undo(self, step: str) -> int:
        """Remove all that the step made, whole or half; return the files removed."""
        removed = self._sweep(step) + _remove(self.folder / step)
        self._prune()
        return removed

    def relative(self, step: str, name: str) -> str:
        """Return the path of a step's file as it is written into outputs."""
        return (self.folder / step / name).relative_to(self.root).as_posix()

    def _commit(self, staging: Path, final: Path, key: str) -> Output | None:
        """Move the folder into place; the output of the attempt that came first."""
        sync_folder(staging)
        if final.exists() and _known_output(final, key) is None:
            _remove(final)  # of an earlier round, which has been undone
        try:
            staging.rename(final)
        except OSError:
            if (known := _known_output(final, key)) is None:
                raise
            _remove(staging)
            return known
        sync_folder(final.parent)
        return None

    def _sweep(self, step: str, newest: tuple[int, int] | None = None) -> int:
        """Remove half-built folders; with ``newest`` none of a newer attempt.

        A slow attempt that loses its folder this way fails, and is late anyway.
        """
        found = self.folder.glob(f".{step}.*")
        return sum(_remove(p) for p in found if not newest or _order(p) <= newest)

    def _prune(self) -> None:
        # Other steps' files may be in it, or it may be gone already.
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def read_checked(root: Path, ref: Mapping[str, str]) -> bytes:
    """Return the file that an output refers to by ``path`` and ``sha256``.

    Raises:
        ChangedFile: It is gone, or is not what the step wrote.
    """
    path = root / ref["path"]
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        raise ChangedFile(
            f"{path} is gone: run the saga anew, and let all workers share CSRD_HOME"
        ) from exc
    if digest(content) != ref["sha256"]:
        raise ChangedFile(
            f"{path} has SHA-256 {digest(content)}, the step before wrote "
            f"{ref['sha256']}: run the saga anew"
        )
    return content


def write_file(path: Path, content: bytes) -> dict[str, str]:
    """Write a file whole (temporary file, fsync, rename); return name and digest."""
    # One level only: an attempt whose folder was swept away must not get it back.
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return {"path": path.name, "sha256": digest(content)}


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def dump_json(value: object) -> bytes:
    """Return JSON whose bytes depend on the value only."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()


def digest(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _known_output(final: Path, key: str) -> Output | None:
    try:
        record = json.loads((final / _OUTPUT).read_bytes())
    except FileNotFoundError:
        return None
    if record["idempotency_key"] != key:
        return None
    output: Output = record["output"]
    return output


def _order(staging: Path) -> tuple[int, int]:
    """Return round and attempt of a half-built folder."""
    round_, attempt = staging.name.rpartition(".")[2].split("-")
    return int(round_), int(attempt)


def _remove(folder: Path) -> int:
    """Remove a folder that may not exist; return how many files were in it."""
    files = sum(len(names) for _, _, names in os.walk(folder))
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as exc:  # a slower attempt still writes or removes in it
            if exc.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
                raise
    return files
