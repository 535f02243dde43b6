"""Agents whose every effect is a line in a file, to hold against the history.

A step's metadata says how it behaves:

- ``sleep_s`` before its effect, ``rest_s`` after it; for its undo ``undo_sleep_s`` and
  ``undo_rest_s``;
- ``wait_for_file``: go on only once that file is there; ``rest_at_file`` likewise once
  the effect is there; ``undo_waits_for``: a file for its undo;
- ``fail``: ``"once"``, ``"always"``, ``"for good"``, ``"unknown"`` (no effect at the
  first attempt, and it cannot tell), ``"unseen"`` (the same, with the effect),
  ``"afterwards"`` (cleanly, once it has waited); ``undo_fail`` likewise;
- ``mended_by``, ``undo_mended_by``: fail for good until that file is there;
- ``returns``: the output; ``shows``: keys of the data to return beside it;
- ``probe_says``: ``"truth"`` (the default), ``"nothing"``, ``"error"``;
  ``probe_waits_for``: a file.

Data with ``healed`` in them let no step fail. A line is ``what saga step attempt pid
round key locks``; what is ``begin``, ``do``, ``unbegin``, ``undo`` or ``probe``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.agents import ActionContext, Agent
from orchestration.errors import NonRetryable, OutcomeUnknown

effects = Agent("agent-effects", agent_type="test", version="1.0.0")
second = Agent("agent-second", pool="second")


def _write(context: ActionContext, what: str) -> None:
    words = [
        *(what, context.saga_id, context.step, context.attempt, os.getpid()),
        *(context.round, context.idempotency_key),
        json.dumps(dict(context.locks), separators=(",", ":")),
    ]
    descriptor = os.open(
        os.environ["EFFECTS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    try:
        # One write: lines never mix.
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(descriptor)


def _fail(how: str | None, mended_by: str | None, context: ActionContext) -> None:
    if how == "always" or (how == "once" and context.attempt == 1):
        raise ValueError(f"{context.step} fails {how}")
    if how == "for good":
        raise NonRetryable(f"{context.step} fails for good")
    if mended_by is not None and not Path(mended_by).exists():
        raise NonRetryable(f"{context.step} waits to be mended")
    if how == "unknown" and context.attempt == 1:
        raise OutcomeUnknown(f"{context.step} cannot tell")


def _wait(metadata: Mapping[str, Any]) -> None:
    time.sleep(metadata.get("sleep_s", 0))
    _wait_for(metadata.get("wait_for_file"))


def _wait_for(path: str | None) -> None:
    while path and not Path(path).exists():
        time.sleep(0.02)


@effects.action("work")
def work(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Fail first or have an effect: a failure is a clean one."""
    metadata = context.metadata
    if "healed" not in data:
        _fail(metadata.get("fail"), metadata.get("mended_by"), context)
    _write(context, "begin")
    _wait(metadata)
    if metadata.get("fail") == "afterwards":
        raise ValueError(f"{context.step} fails afterwards")
    _write(context, "do")
    time.sleep(metadata.get("rest_s", 0))
    _wait_for(metadata.get("rest_at_file"))
    if metadata.get("fail") == "unseen" and context.attempt == 1:
        raise OutcomeUnknown(f"{context.step} did it and cannot tell")
    output = {context.step: context.attempt, "seen": sorted(data["steps"])}
    shown = {key: data.get(key) for key in metadata.get("shows", ())}
    return dict(metadata.get("returns", output)) | shown


@effects.action("unwork")
def unwork(_data: dict[str, Any], context: ActionContext) -> None:
    """Undo, which may be asked for twice."""
    metadata = context.metadata
    _fail(metadata.get("undo_fail"), metadata.get("undo_mended_by"), context)
    _write(context, "unbegin")
    time.sleep(metadata.get("undo_sleep_s", 0))
    _wait_for(metadata.get("undo_waits_for"))
    _write(context, "undo")
    time.sleep(context.metadata.get("undo_rest_s", 0))


@effects.action("work_unless_bad")
def work_unless_bad(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Do one item of a list; a bad one cannot be done unless it is mended."""
    mended_by = context.metadata.get("mended_by")
    if data["item"] == "bad" and not (mended_by and Path(mended_by).exists()):
        raise NonRetryable("a bad item")
    _write(context, "do")
    return {"done": data["item"]}


@effects.action("look")
def look(_data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Tell whether the step's effect is there."""
    _write(context, "probe")
    _wait_for(context.metadata.get("probe_waits_for"))
    match context.metadata.get("probe_says", "truth"):
        case "nothing":
            return {"sorry": "nobody knows"}
        case "error":
            raise ValueError("nobody answers")
    wanted = f"do {context.saga_id} {context.step} "
    lines = Path(os.environ["EFFECTS_FILE"]).read_text().splitlines()
    happened = any(line.startswith(wanted) for line in lines)
    return {"happened": happened, "output": {"found": happened}}


@effects.action("work_until_cancelled")
def work_until_cancelled(_data: dict[str, Any], context: ActionContext) -> None:
    """Have an effect, and go on until the saga gives up."""
    _write(context, "begin")
    while not context.cancelled:
        time.sleep(0.05)
        context.heartbeat()
    _write(context, "do")


@effects.action("work_async")
async def work_async(_data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Be a coroutine."""
    await asyncio.sleep(context.metadata.get("sleep_s", 0))
    _write(context, "do")
    return {context.step: "async"}


@effects.action("return_what")
def return_what(_data: dict[str, Any], context: ActionContext) -> Any:
    """Return something that cannot be stored, or too much of it."""
    kind = context.metadata["kind"]
    return {
        "nan": {"x": float("nan")},
        "list": [1],
        "big": {"x": "y" * 300_000},
        "huge": {"x": "y" * 2_000_000},
    }[kind]


@effects.action("insert_row")
def insert_row(_data: dict[str, Any], context: ActionContext) -> None:
    """Work on the connection whose work commits with the step's completion."""
    context.connection.exec_driver_sql(
        "INSERT INTO business (saga, step, attempt) VALUES (%s, %s, %s)",
        (context.saga_id, context.step, context.attempt),
    )
    _fail(context.metadata.get("fail"), None, context)


@second.action("work")
def work_elsewhere(_data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Be served from another pool."""
    _write(context, "do")
    return {context.step: "second"}
