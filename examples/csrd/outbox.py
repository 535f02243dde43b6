"""How a report is published: by one rename into the outbox, once.

``$CSRD_HOME/outbox/<report_id>/`` appears whole. Nothing is sent to anyone: a
person, or a transfer job of the company, takes it from there.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.csrd.errors import AlreadyPublished
from examples.csrd.workspace import dump_json, read_checked, sync_folder, write_file

__all__ = ["publish"]

_RECEIPT = "receipt.json"
Json = dict[str, Any]


def publish(
    root: Path, draft: Path, files: Mapping[str, str], receipt: Mapping[str, Any]
) -> Json:
    """Return the receipt of the published report.

    If the outbox has the report already, its first receipt is returned and
    nothing changes.

    Args:
        root: What :func:`examples.csrd.workspace.home` returns.
        draft: Folder that holds the files.
        files: SHA-256 of each file, by its name below ``draft``.
        receipt: ``report_id``, ``manifest_sha256`` and what else is to be kept.

    Raises:
        ChangedFile: A file is not what the reporter wrote.
        AlreadyPublished: The outbox has another report of this id.
    """
    outbox = root / "outbox"
    final = outbox / str(receipt["report_id"])
    if (known := _receipt(final, receipt)) is not None:
        return known
    outbox.mkdir(parents=True, exist_ok=True)
    for leftover in outbox.glob(f".{final.name}.*"):  # of an attempt that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=outbox))
    try:
        for name, sha256 in files.items():
            ref = {"path": name, "sha256": sha256}
            write_file(staging / name, read_checked(draft, ref))
        write_file(staging / _RECEIPT, dump_json(receipt))
        staging.chmod(0o755)  # mkdtemp makes it private
        sync_folder(staging)
        staging.rename(final)
    except OSError:
        if (known := _receipt(final, receipt)) is None:
            raise
        return known
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    sync_folder(outbox)
    return dict(receipt)


def _receipt(final: Path, ours: Mapping[str, Any]) -> Json | None:
    """Return the receipt in the outbox, if this very report is there."""
    try:
        known: Json = json.loads((final / _RECEIPT).read_bytes())
    except FileNotFoundError:
        return None
    if known["manifest_sha256"] != ours["manifest_sha256"]:
        raise AlreadyPublished(
            f"{final} holds another report (manifest {known['manifest_sha256']}, "
            f"this one has {ours['manifest_sha256']}): move it away if it is void"
        )
    return known
