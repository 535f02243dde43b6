"""Agents whose every effect is a line in a file, to hold against the history.

A step's metadata says how it behaves: ``sleep_s`` before its effect, ``rest_s`` after
it, for its undo ``undo_sleep_s`` and ``undo_rest_s``; ``fail`` (``"once"``,
``"always"``, ``"for good"``, ``"unknown"``); ``undo_fail`` likewise;
``wait_for_file``: go on only once that file is there, ``rest_at_file`` likewise once
the effect is there, ``look_at_file`` likewise for a probe. Data with ``healed`` in
them let nothing fail.

A line is ``what saga step attempt pid round fence``; what is ``begin``, ``do``,
``unbegin``, ``undo`` or ``probe``.
"""

from __future__ import annotations

import asyncio
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
    words = (
        what,
        context.saga_id,
        context.step,
        context.attempt,
        os.getpid(),
        context.round,
        max(context.locks.values(), default=0),
    )
    line = " ".join(map(str, words)) + "\n"
    descriptor = os.open(
        os.environ["EFFECTS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    try:
        os.write(descriptor, line.encode())  # one write: lines never mix
    finally:
        os.close(descriptor)


def _fail(how: str | None, context: ActionContext) -> None:
    if how == "always" or (how == "once" and context.attempt == 1):
        raise ValueError(f"{context.step} fails {how}")
    if how == "for good":
        raise NonRetryable(f"{context.step} fails for good")
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
        _fail(metadata.get("fail"), context)
    _write(context, "begin")
    _wait(metadata)
    _write(context, "do")
    time.sleep(metadata.get("rest_s", 0))
    _wait_for(metadata.get("rest_at_file"))
    return {context.step: context.attempt, "seen": sorted(data["steps"])}


@effects.action("unwork")
def unwork(_data: dict[str, Any], context: ActionContext) -> None:
    """Undo, which may be asked for twice."""
    _fail(context.metadata.get("undo_fail"), context)
    _write(context, "unbegin")
    _wait({"sleep_s": context.metadata.get("undo_sleep_s", 0)})
    _write(context, "undo")
    time.sleep(context.metadata.get("undo_rest_s", 0))


@effects.action("look")
def look(_data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Tell from the file whether the step took effect, as a probe."""
    _write(context, "probe")
    _wait_for(context.metadata.get("look_at_file"))
    sought = f"do {context.saga_id} {context.step} "
    return {"happened": sought in Path(os.environ["EFFECTS_FILE"]).read_text()}


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
    return {"nan": {"x": float("nan")}, "list": [1], "big": {"x": "y" * 300_000}}[kind]


@effects.action("insert_row")
def insert_row(_data: dict[str, Any], context: ActionContext) -> None:
    """Work on the connection whose work commits with the step's completion."""
    context.connection.exec_driver_sql(
        "INSERT INTO business (saga, step, attempt) VALUES (%s, %s, %s)",
        (context.saga_id, context.step, context.attempt),
    )
    _fail(context.metadata.get("fail"), context)


@second.action("work")
def work_elsewhere(_data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Be served from another pool."""
    _write(context, "do")
    return {context.step: "second"}
