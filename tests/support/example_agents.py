"""The agents that the usage examples name, doing next to nothing.

An action fails for good while a file ``fail-<action>`` is in the folder that the
variable SWITCHES names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orchestration.agents import ActionContext, Agent
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
