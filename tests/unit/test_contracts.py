"""Names on the wire: changing one breaks producers that are out there."""

from __future__ import annotations

import json
from typing import get_type_hints

from orchestration import contracts
from orchestration.core.saga.model import Direction


def test_task_names_and_queues_are_what_others_rely_on() -> None:
    assert contracts.SAGA_START == "saga.start"
    assert contracts.STEP_TASKS == {
        Direction.DO: "saga.step",
        Direction.UNDO: "saga.compensate",
        Direction.PROBE: "saga.probe",
    }
    assert (contracts.SAGA_SWEEP, contracts.PROVENANCE_SEQUENCE) == (
        "saga.sweep",
        "provenance.sequence",
    )
    assert (contracts.DEFAULT_QUEUE, contracts.CHORES_QUEUE) == ("celery", "chores")
    assert contracts.pool_queue("default") == "agents.default"


def test_a_start_message_is_json() -> None:
    message = contracts.start_message({"name": "t", "steps": []}, {"x": 1}, "id")
    assert json.loads(json.dumps(message)) == {
        "definition": {"name": "t", "steps": []},
        "initial_data": {"x": 1},
        "transaction_id": "id",
    }


def test_messages_have_these_fields() -> None:
    assert set(get_type_hints(contracts.Hint)) == {
        "version",
        "check_at_ms",
        "gives_up",
    }
    assert set(get_type_hints(contracts.StepMessage)) == {
        "saga_id",
        "step",
        "agent_id",
        "action",
        "timeout_ms",
    }


def test_what_flower_shows_holds_no_payload() -> None:
    label = contracts.step_label("report", "id", "a", Direction.UNDO, 2)
    assert label == "report id · a · undo · attempt 2"


def test_everything_public_exists() -> None:
    assert all(hasattr(contracts, name) for name in contracts.__all__)
