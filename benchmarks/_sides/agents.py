"""What our worker hosts: steps that do nothing, or take time; messages are counted."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any, Final

from orchestration.agents import ActionContext, Agent, Message

agent = Agent("agent-bench")

SLOTS: Final = 4_096
"""Counters in the file that BENCH_COUNTERS names; each process has one."""

_counters: list[mmap.mmap] = []


@agent.action("noop")
def noop(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Do nothing."""
    del data, context
    return {}


@agent.action("undo")
def undo(data: dict[str, Any], context: ActionContext) -> None:
    """Undo nothing."""
    del data, context


@agent.action("nap")
def nap(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Take as long as the step's metadata say."""
    del data
    time.sleep(float(context.metadata["seconds"]))
    return {}


@agent.on_message
def count(message: Message) -> dict[str, Any]:
    """Count a message where the producer sees it; answer nothing much."""
    del message
    if not _counters:
        with Path(os.environ["BENCH_COUNTERS"]).open("r+b") as file:
            _counters.append(mmap.mmap(file.fileno(), 0))
    at = 8 * (os.getpid() % SLOTS)
    (before,) = struct.unpack_from("q", _counters[0], at)
    struct.pack_into("q", _counters[0], at, before + 1)
    return {}
