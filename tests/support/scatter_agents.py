"""Agents that answer as the request's payload says, each by its own id.

``payload["says"][agent_id]`` is the answer; without it, the agent tells the task in
which it was asked. ``payload["fails"]`` names those that fail, and
``payload["refuses"]`` those that do for good; ``payload["waits"]`` has, by id, a file
that the agent waits for first, ``payload["sleeps"]`` how long it sleeps, and
``payload["begun"]`` a folder where each leaves a file of its name when it begins.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from celery import current_task

from orchestration.agents import Agent, Message
from orchestration.errors import NonRetryable

HERE = ("agent-a", "agent-b", "agent-c", "agent-spare")
ELSEWHERE = "agent-elsewhere"  # in a pool, and hence a worker, of its own


def _host(agent: Agent) -> None:
    @agent.on_message(timeout_ms=60_000)
    def answer(message: Message) -> Any:
        payload = message.payload
        if "begun" in payload:
            (Path(payload["begun"]) / agent.agent_id).touch()
        gate = payload.get("waits", {}).get(agent.agent_id)
        while gate is not None and not Path(gate).exists():
            time.sleep(0.01)
        time.sleep(payload.get("sleeps", {}).get(agent.agent_id, 0))
        if agent.agent_id in payload.get("fails", ()):
            raise ValueError(f"{agent.agent_id} cannot")
        if agent.agent_id in payload.get("refuses", ()):
            raise NonRetryable(f"{agent.agent_id} will not")
        says = payload.get("says", {})
        if agent.agent_id in says:
            return says[agent.agent_id]
        task = current_task.request
        return {"task": task.id, "group": task.group, "asked": message.message_id}


for agent_id in HERE:
    _host(Agent(agent_id, capabilities=["answers", f"is-{agent_id}"]))
_host(Agent(ELSEWHERE, pool="elsewhere"))
