"""Agents of pipelines: each says what it made of the data.

Metadata: ``adds`` to ``n``; ``waits_for``, a file; ``begun``, a folder where each
leaves a file of its step's name, holding its pid; ``fails``, the agents that fail for
good, or the items at which they do; ``stumbles``, the agents that just fail;
``mended_by``: fail until that file is there; ``sleeps``, seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.agents import (
    ActionContext,
    Agent,
    Partition,
    partition_handler,
)
from orchestration.errors import NonRetryable

Data = dict[str, Any]


def _host(agent: Agent) -> None:
    @agent.action("work")
    def work(data: Data, context: ActionContext) -> Data:
        told = context.metadata
        if "begun" in told:
            mark = Path(told["begun"]) / context.step
            mark.write_text(str(os.getpid()), "utf-8")
        while "waits_for" in told and not Path(told["waits_for"]).exists():
            time.sleep(0.01)
        time.sleep(told.get("sleeps", 0))
        if agent.agent_id in told.get("fails", ()):
            raise NonRetryable(f"{agent.agent_id} fails for good")
        if "mended_by" in told and not Path(told["mended_by"]).exists():
            raise NonRetryable(f"{agent.agent_id} waits to be mended")
        if agent.agent_id in told.get("stumbles", ()):
            raise ValueError(f"{agent.agent_id} stumbles")
        n = data.get("item", data.get("n", 0)) + told.get("adds", 1)
        return {"n": n, "by": [*data.get("by", ()), agent.agent_id]}

    @agent.action("square")
    def square(data: Data, context: ActionContext) -> Data:
        told = context.metadata
        if "begun" in told:
            (Path(told["begun"]) / str(data["index"])).touch()
        while "waits_for" in told and not Path(told["waits_for"]).exists():
            time.sleep(0.01)
        if data.get("item") in told.get("fails", ()):
            raise NonRetryable(f"{data['item']} has no square")
        return {"square": data["item"] ** 2 + data.get("plus", 0)}

    @agent.action("forget")
    def forget(data: Data, context: ActionContext) -> None:
        del data, context


@partition_handler("halves")
def halves(partition: Partition, metadata: Mapping[str, Any]) -> float:
    return sum(item / 2 for item in partition.rows) + metadata["input"].get("plus", 0)


for name in ("a", "b", "c"):
    _host(Agent(f"agent-{name}", capabilities=["counting", f"is-{name}"]))
_host(Agent("agent-far", capabilities=["is-far"], pool="far"))
