"""Names on the wire: changing one breaks producers that are out there."""

from __future__ import annotations

import json
from typing import get_type_hints

import beat_schedule
from orchestration import contracts
from orchestration.core.messaging.model import Message
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
    assert contracts.AGENT_MESSAGE == "agent.message"
    assert contracts.ROUTING_DISPATCH == "routing.dispatch"
    assert contracts.PIPELINE_RUN == "pipeline.run"
    assert (contracts.DEFAULT_QUEUE, contracts.CHORES_QUEUE) == ("celery", "chores")
    assert contracts.pool_queue("default") == "agents.default"


def test_all_that_beat_starts_is_for_the_chores_worker() -> None:
    started = {task for task, _ in beat_schedule.SCHEDULE.values()}
    assert started <= {*contracts.CHORES}
    assert contracts.SWARM_EVAPORATE in started


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

    assert set(get_type_hints(contracts.MessageItem)) == {
        "agent_id",
        "message",
        "pattern",
        "attempt",
        "sought",
    }


def test_what_flower_shows_holds_no_payload() -> None:
    message = Message(
        sender_id="planner",
        recipient_id="agent-x",
        message_type="COMMAND",
        payload={"secret": 1},
        message_id="m",
    )
    item = contracts.MessageItem(agent_id="agent-x", message=message.to_json())
    label = contracts.message_label([item])
    assert label == "COMMAND m · planner → agent-x"
    assert contracts.message_label([item] * 3) == f"{label} · and 2 more"
    label = contracts.step_label("report", "id", "a", Direction.UNDO, 2)
    assert label == "report id · a · undo · attempt 2"


def test_everything_public_exists() -> None:
    assert all(hasattr(contracts, name) for name in contracts.__all__)
