"""Messages on either broker; without beat, so that none is made up for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, front_door, linear, step
from tests.support.stack import Stack

pytestmark = pytest.mark.integration


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, stack: Stack) -> Stack:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    return stack


@pytest.fixture
def effects(broker: Stack, tmp_path: Path) -> Effects:
    found = Effects(tmp_path / "effects")
    broker.env["EFFECTS_FILE"] = str(found.path)
    return found


@pytest.fixture
def front(broker: Stack, effects: Effects) -> Iterator[Front]:
    worker = broker.worker("-I", "tests.support.effects_agents", "-c", "2", wait=False)
    broker.chores(wait=False).wait_ready()
    worker.wait_ready()
    with front_door(broker.env) as front:
        yield front


def test_probes_children_and_acts_go_by_messages(
    front: Front, effects: Effects, broker: Stack
) -> None:
    # A probe is a task of the agent's pool.
    probed = front.run(linear(2, s1={"fail": "unseen", "probe": "look"}))
    assert probed.state is SagaState.COMPLETED
    assert effects.lines(probed.saga_id, "probe") == ["s1"]

    # Chores begin a child, hear of its end, and have it undone.
    family = SagaTransaction(
        "family",
        [SagaStep("child", saga=linear(2)), step("last", "child", fail="for good")],
    )
    undone = front.run(family)
    assert undone.state is SagaState.COMPENSATED
    child = undone.child_ids["child"]
    assert effects.lines(child, "undo") == ["s2", "s1"]

    # They take locks.
    locked = front.run(linear(1, locks=["door"]))
    assert [e.locks for e in effects.all(locked.saga_id)] == [{"door": 1}] * 2

    # They pass on what is asked of a parent.
    gate = effects.path.with_name("gate")
    inner = linear(2, s1={"wait_for_file": str(gate)})
    saga_id = front.start(SagaTransaction("family", [SagaStep("child", saga=inner)]))
    child = front.await_event(saga_id, "STEP_WAITING").data["for"]["saga"]
    effects.await_begin(child, "s1")
    front.act("pause", saga_id)
    front.await_event(child, "SAGA_PAUSED")
    front.act("resume", saga_id)
    front.await_event(child, "SAGA_RESUMED")

    # A producer without this package cancels: the parent, and by it the child.
    bare = Celery(broker=broker.env["CELERY_BROKER_URL"], set_as_current=False)
    bare.send_task("saga.cancel", kwargs={"saga_id": saga_id, "why": "no more"})
    front.await_event(child, "SAGA_CANCEL_REQUESTED")
    bare.close()
    gate.touch()
    assert front.wait(saga_id).is_cancelled
    assert effects.left(child) == set()
