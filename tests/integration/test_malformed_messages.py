"""Messages that no sender of ours would send: the worker lives, sagas are unharmed."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.adapters.celery_bus import make_producer
from orchestration.contracts import SAGA_COMPENSATE, SAGA_START, SAGA_STEP
from orchestration.saga import SagaState
from tests.support.front import Effects, Front, linear
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

QUEUE = "agents.default"
GOOD: dict[str, Any] = {
    "step": "s2",
    "agent_id": "agent-effects",
    "action": "work",
    "timeout_ms": 1_000,
}
MALFORMED: list[tuple[list[Any], dict[str, Any]]] = [
    ([], {}),
    ([{"version": "x", "check_at_ms": []}], GOOD),
    ([{"version": 2}], GOOD),
    (["left alone: it is done already"], GOOD),
    ([None], GOOD | {"timeout_ms": None}),
    ([None], GOOD | {"timeout_ms": -5}),
    ([None], GOOD | {"step": "no-such-step"}),
    ([None], GOOD | {"step": ["s2"]}),
    ([None], GOOD | {"action": "unwork"}),
    ([None], GOOD | {"saga_id": "no-such-saga"}),
    ([None], GOOD | {"saga_id": 5}),
    ([{"version": 2, "check_at_ms": None}], GOOD),
    ([{"version": 10**30, "check_at_ms": 10**30}], GOOD),
]


def test_malformed_messages_harm_neither_worker_nor_saga(
    front: Front, running: Stack, effects: Effects
) -> None:
    gate = effects.path.with_name("malformed")
    saga_id = front.start(linear(3, s1={"wait_for_file": str(gate)}))
    wait_until(lambda: "s1" in effects.lines(saga_id, "begin"), "s1 has begun")
    producer = make_producer(front.bus.settings)
    for args, kwargs in MALFORMED:
        for task in (SAGA_STEP, SAGA_COMPENSATE):
            given = {"saga_id": saga_id} | kwargs if kwargs else {}
            producer.send_task(task, args, given, queue=QUEUE)
    for definition in (5, [], {}, {"name": "x", "steps": [1]}, {"steps": None}):
        producer.send_task(SAGA_START, [definition])
    producer.close()
    # The other child works all of it off while s1 is held.
    assert front.run(linear(2)).state is SagaState.COMPLETED
    gate.touch()
    assert front.wait(saga_id).state is SagaState.COMPLETED
    assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
    assert effects.lines(saga_id, "undo") == []
    assert "exited" not in running.started[0].log
