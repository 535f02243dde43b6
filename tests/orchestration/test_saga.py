"""Sagas as an app uses them: real workers, seen through ``orchestration.saga`` only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from orchestration.errors import InvalidSaga, SagaCompensated, SagaNotFound, SagaPaused
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.conftest import migrate
from tests.support.front import Effects, Front, front_door, linear, step
from tests.support.servers import fresh_database
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

MODULES = "tests.support.effects_agents,tests.orchestration.meeting_agents"
AGENTS = ("-I", MODULES, "-c", "2", "--without-mingle")


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    """What the agents have done."""
    return Effects(tmp_path_factory.mktemp("effects") / "effects")


@pytest.fixture(scope="module")
def front(
    postgres_server: str, redis_databases: tuple[str, str], effects: Effects
) -> Iterator[Front]:
    """A producer beside a prefork worker, a chores worker and beat."""
    with fresh_database(postgres_server) as database_url:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_databases[0],
            "CELERY_BROKER_URL": redis_databases[1],
            "ORCHESTRATION_KEY_PREFIX": "sagas_",
            "EFFECTS_FILE": str(effects.path),
            "MEETING": str(effects.path.parent),
        }
        stack = Stack(environment, prepare=migrate)
        try:
            parts = [
                stack.worker(*AGENTS, wait=False),
                stack.chores("--without-mingle", wait=False),
                stack.beat(wait=False),
            ]
            for part in parts:
                part.wait_ready()
            with front_door(stack.env) as front:
                yield front
        finally:
            stack.close()


def test_saga_execution_success(front: Front, effects: Effects) -> None:
    transaction = linear(3)
    result = front.execute(transaction, customer="c-1")
    assert (result["s1"], result["s2"], result["s3"]) == (1, 1, 1)
    status = front.status(transaction.transaction_id)
    assert status.state is SagaState.COMPLETED
    assert status.completed_steps == ("s1", "s2", "s3")
    assert effects.lines(status.saga_id, "do") == ["s1", "s2", "s3"]
    assert front.types(status.saga_id) == [
        "SAGA_STARTED",
        *("STEP_STARTED", "STEP_COMPLETED") * 3,
        "SAGA_COMPLETED",
    ]


def test_saga_execution_failure(front: Front, effects: Effects) -> None:
    transaction = linear(3, s3={"fail": "always"})
    with pytest.raises(SagaCompensated) as caught:
        front.execute(transaction)
    status = caught.value.status
    assert (status.failed_step, status.steps[2].attempts) == ("s3", 2)
    assert status.error == {"type": "ValueError", "message": "s3 fails always"}
    assert effects.left(status.saga_id) == set()
    assert "step 's3' gave up (ValueError: s3 fails always)" in str(caught.value)


def test_backward_compensation(front: Front, effects: Effects) -> None:
    status = front.run(linear(4, s4={"fail": "for good"}))
    assert status.state is SagaState.COMPENSATED
    assert effects.lines(status.saga_id, "undo") == ["s3", "s2", "s1"]
    assert status.compensated_steps == ("s3", "s2", "s1")


def test_parallel_compensation(front: Front) -> None:
    """Each undo waits for the other: one after the other they would never end."""
    together = {"action": "arrive", "compensation": "meet", "timeout_ms": 20_000}
    transaction = SagaTransaction(
        "meeting",
        [
            SagaStep("a", "agent-meeting", metadata={"others": ["b"]}, **together),
            SagaStep("b", "agent-meeting", metadata={"others": ["a"]}, **together),
            step("c", fail="for good"),
        ],
        compensation_strategy="PARALLEL",
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert set(status.compensated_steps) == {"a", "b"}
    assert [step.undo_attempts for step in status.steps] == [1, 1, 0]


def test_pivot_point_no_compensation(front: Front, effects: Effects) -> None:
    transaction = linear(
        3, s2={"is_pivot": True}, s3={"compensation": None, "fail": "always"}
    )
    with pytest.raises(SagaPaused) as caught:
        front.execute(transaction)
    status = caught.value.status
    assert (status.failed_step, status.completed_steps) == ("s3", ("s1", "s2"))
    assert effects.lines(status.saga_id, "undo") == []
    assert "COMPENSATION_STARTED" not in front.types(status.saga_id)


def test_dependency_resolution(front: Front, effects: Effects) -> None:
    transaction = SagaTransaction(
        "diamond",
        [
            step("join", "left", "right"),
            step("left", "root"),
            step("right", "root"),
            step("root"),
            step("last", "join"),
        ],
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPLETED
    done = effects.lines(status.saga_id, "do")
    assert sorted(done) == ["join", "last", "left", "right", "root"]
    assert (done[0], done[3:]) == ("root", ["join", "last"])
    assert status.result["seen"] == ["join", "left", "right", "root"]


def test_circular_dependency_detection(front: Front) -> None:
    transaction = SagaTransaction(
        "circle", [step("a", "c"), step("b", "a"), SagaStep("c", "x", depends_on="b")]
    )
    with pytest.raises(InvalidSaga, match="a cycle: a -> c -> b -> a") as caught:
        front.start(transaction)
    assert len(caught.value.faults) == 1
    with pytest.raises(SagaNotFound):
        asyncio.run(front.saga.history(transaction.transaction_id))
