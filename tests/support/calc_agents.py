"""The three agents of the example of routing."""

from __future__ import annotations

from typing import Any

from orchestration.agents import ActionContext, Agent, Message


def _host(agent: Agent, tonnes: float) -> None:
    @agent.on_message
    def answer(message: Message) -> dict[str, Any]:
        return {"tonnes": tonnes}

    @agent.action("carbon_calculation")
    def act(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        return {"tonnes": tonnes}


for number in (1, 2, 3):
    _host(Agent(f"agent-calc-{number:03}"), float(number))
