"""Celery tasks of an app as steps, unchanged."""

from __future__ import annotations

import pytest

from orchestration.errors import InvalidSaga, UnknownAgent
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, step

pytestmark = pytest.mark.integration

TASKS = "tests.support.plain_tasks"
MODULES = f"tests.support.effects_agents,{TASKS}"


def task(name: str, **options: object) -> SagaStep:
    return SagaStep(name, action=f"celery:{TASKS}.{name}", **options)


def notes(effects: Effects, word: str) -> list[str]:
    """Return the lines of tasks that have that word, oldest first."""
    text = effects.path.with_name(f"{effects.path.name}-tasks").read_text()
    return [line for line in text.splitlines() if word in line.split()]


def test_a_task_gets_what_it_has_parameters_for_and_returns_the_output(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction("tasks", [task("charge")])
    status = front.run(transaction, amount=11, unrelated="x")
    assert status.state is SagaState.COMPLETED
    assert status.result == {"payment": "11 EUR"}
    assert notes(effects, "11") == [f"charge 11 EUR {status.saga_id}:charge:do:1"]


def test_what_is_no_dict_stands_under_the_steps_name(front: Front) -> None:
    transaction = SagaTransaction(
        "tasks", [task("total"), step("s2", returns={}, shows=["total"])]
    )
    assert front.execute(transaction, amounts=[1, 2, 3])["total"] == 6


def test_a_task_undoes_what_a_task_did(front: Front, effects: Effects) -> None:
    transaction = SagaTransaction(
        "tasks",
        [
            task("charge", compensation=f"celery:{TASKS}.refund"),
            step("s2", fail="for good"),
        ],
    )
    status = front.run(transaction, amount=12, currency="CHF")
    assert status.state is SagaState.COMPENSATED
    assert notes(effects, "refund") == ["refund 12 CHF"]


def test_a_tasks_own_retry_is_another_attempt_after_its_countdown(
    front: Front, effects: Effects
) -> None:
    status = front.run(SagaTransaction("tasks", [task("patient")]), word="w1")
    assert status.state is SagaState.COMPLETED
    assert (status.steps[0].attempts, status.result) == (2, {"tries": 1})
    assert notes(effects, "w1") == ["patient w1 0", "patient w1 1"]
    [failed] = [e for e in front.history(status.saga_id) if e.type == "STEP_FAILED"]
    assert failed.data["error"]["type"] == "RetryLater"
    assert "not yet" in failed.data["error"]["message"]
    started = front.await_event(status.saga_id, "STEP_STARTED", attempt=2)
    due_ms = failed.data["retry_at_ms"]
    # The countdown's 300 ms, from a moment before the failure was recorded.
    assert due_ms - failed.recorded_at.timestamp() * 1_000 <= 301
    assert due_ms <= started.recorded_at.timestamp() * 1_000


def test_how_often_a_task_is_retried_is_the_steps_to_say(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction(
        "tasks", [task("never", retry_policy={"max_attempts": 3})]
    )
    status = front.run(transaction, word="w2")
    assert (status.state, status.steps[0].attempts) == (SagaState.COMPENSATED, 3)
    assert len(notes(effects, "w2")) == 3


def test_a_parameter_that_the_data_do_not_have_fails_the_step_at_once(
    front: Front,
) -> None:
    status = front.run(SagaTransaction("tasks", [task("charge")]), currency="EUR")
    assert (status.state, status.steps[0].attempts) == (SagaState.COMPENSATED, 1)
    assert status.error is not None
    assert "needs amount, which the data of step 'charge' do not have" in str(
        status.error["message"]
    )


def test_a_task_may_ask_for_the_context(front: Front) -> None:
    transaction = SagaTransaction("tasks", [task("told")])
    result = front.execute(transaction)
    assert result == {"saga": transaction.transaction_id, "attempt": 1}


def test_tasks_that_no_worker_has_are_refused_before_the_start(front: Front) -> None:
    missing = SagaStep("a", action="celery:myapp.nothing")
    with pytest.raises(UnknownAgent, match="no worker has the task"):
        front.start(SagaTransaction("tasks", [missing]))
    unnamed = SagaStep("a", action="charge")
    with pytest.raises(InvalidSaga, match="agent_id '' with action charge"):
        front.start(SagaTransaction("tasks", [unnamed]))
    # The saga's own tasks are no app's.
    ours = SagaStep("a", action="celery:saga.sweep")
    with pytest.raises(UnknownAgent):
        front.start(SagaTransaction("tasks", [ours]))
