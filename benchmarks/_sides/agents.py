"""What our worker hosts: steps that do nothing, and steps that only take time."""

from __future__ import annotations

import time
from typing import Any

from orchestration.agents import ActionContext, Agent

agent = Agent("agent-bench")


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
