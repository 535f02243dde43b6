"""The agents that the usage examples name, doing next to nothing.

An action fails for good while a file ``fail-<action>`` is in the folder that the
variable SWITCHES names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orchestration.agents import ActionContext, Agent, Message
from orchestration.errors import NonRetryable

HOSTED = {
    "agent-data-collector": ("collect_data", "delete_collected_data"),
    "agent-validator": ("validate_framework_completeness", "reset_validation_state"),
    "agent-calculator": ("calculate_csrd_metrics", "clear_calculations"),
    "agent-reporter": ("generate_xbrl_report", "delete_draft_report"),
    "agent-publisher": ("publish_to_esma",),
    "data-agent": ("collect_data", "delete_collected"),
    "validator-agent": ("validate_framework", "reset_validation"),
    "calculator-agent": ("calculate_metrics", "clear_calculations"),
    "reporter-agent": ("generate_report", "delete_report"),
    "publisher-agent": ("publish_report",),
}


def _host(agent: Agent, name: str) -> None:
    @agent.action(name)
    def act(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        if (Path(os.environ["SWITCHES"]) / f"fail-{name}").exists():
            raise NonRetryable(f"{name} cannot")
        if context.direction == "undo":
            return {}
        return {"report_id": "REPORT-1", "order": [*data.get("order", []), name]}


for agent_id, names in HOSTED.items():
    hosted = Agent(agent_id)
    for name in names:
        _host(hosted, name)

coordinator = Agent("swarm-coordinator")


@coordinator.action()
def distributed_calculation(
    data: dict[str, Any], context: ActionContext
) -> dict[str, Any]:
    del context
    return {"tonnes": data["tonnes"] * data["index"]}


# kg of CO2e per kWh: three methods, which is why their mean is asked for.
FACTORS = {"agent-calc-001": 0.354, "agent-calc-002": 0.363, "agent-calc-003": 0.381}


def _calculate(agent: Agent, kg_per_kwh: float) -> None:
    @agent.on_message
    def calculate(message: Message) -> dict[str, Any]:
        if message.payload["task_type"] != "carbon_calculation":
            raise NonRetryable(f"no calculation: {message.payload['task_type']}")
        supplier = message.payload["supplier_id"]
        kwh = int(supplier.removeprefix("SUP-"))  # as much as its number says
        return {"supplier_id": supplier, "emissions_kg": kwh * kg_per_kwh}


for agent_id, factor in FACTORS.items():
    _calculate(Agent(agent_id, agent_type="calculator"), factor)
