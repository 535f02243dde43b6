"""What sagas do in prefork children they do in threads and in a solo worker too."""

from __future__ import annotations

import pytest

from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step

pytestmark = pytest.mark.integration

TASKS = "tests.support.plain_tasks"
MODULES = f"tests.support.effects_agents,{TASKS}"


@pytest.fixture(scope="module", params=["threads", "solo"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_kind_of_step_is_done(front: Front) -> None:
    transaction = SagaTransaction(
        "kinds",
        [
            step("act", action="work_async"),
            SagaStep("task", action=f"celery:{TASKS}.patient", depends_on=["act"]),
            step("each", "task", map="orders", returns={}, shows=["item"]),
            SagaStep("child", saga=linear(2), depends_on=["each"]),
            step("unless", "child", when="orders == []"),
            SagaStep("approval", wait_for="approved", depends_on=["unless"]),
            step("last", "approval", is_pivot=True),
        ],
        locks=["kinds"],
    )
    saga_id = front.start(transaction, orders=["a", "b"], word="w")
    front.act("signal", saga_id, "approved", "yes")
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPLETED
    assert status.skipped_steps == ("unless",)
    assert status.result["each"] == [{"item": "a"}, {"item": "b"}]
    assert (status.result["act"], status.result["approval"]) == ("async", "yes")
    assert status.steps[1].attempts == 2


def test_what_was_done_is_undone(front: Front, effects: Effects) -> None:
    transaction = SagaTransaction(
        "undone",
        [
            step("s1"),
            SagaStep("child", saga=linear(2), depends_on=["s1"]),
            step("s2", "child", map="orders"),
            step("s3", "s2", fail="for good"),
        ],
    )
    status = front.run(transaction, orders=[1, 2, 3])
    assert status.state is SagaState.COMPENSATED
    child = status.child_ids["child"]
    assert effects.left(status.saga_id) | effects.left(child) == set()
    assert effects.lines(status.saga_id, "undo")[-1] == "s1"


def test_unknown_outcomes_are_probed(front: Front, effects: Effects) -> None:
    probed = {"probe": "look", "is_pivot": True}
    there = front.run(linear(1, s1={**probed, "fail": "unseen"}))
    anew = front.run(linear(1, s1={**probed, "fail": "unknown"}))
    assert (there.state, anew.state) == (SagaState.COMPLETED,) * 2
    assert effects.lines(there.saga_id, "do") == ["s1"]
    assert anew.steps[0].attempts == 2


def test_what_runs_hears_of_a_cancel(front: Front, effects: Effects) -> None:
    saga_id = front.start(linear(2, s1={"action": "work_until_cancelled"}))
    effects.await_begin(saga_id, "s1")
    front.act("cancel", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    assert effects.left(saga_id) == set()


def test_a_coroutine_over_its_time_is_cancelled(front: Front) -> None:
    slow = {
        "action": "work_async",
        "sleep_s": 30,
        "timeout_ms": 3_000,
    }  # its undo's, too
    status = front.run(linear(1, s1={**slow, "max_recoveries": 0}))
    assert status.state is SagaState.COMPENSATED
    assert "STEP_TIMED_OUT" in front.types(status.saga_id)
