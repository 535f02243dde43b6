"""How single steps behave on real workers: retries, timeouts, outputs, connections."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from orchestration.errors import (
    InvalidSaga,
    PayloadTooLarge,
    SagaCompensated,
    SagaConflict,
    SagaNotFound,
    SagaStillRunning,
    UnknownAgent,
)
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def test_a_linear_saga_runs_its_steps_once_and_in_order(
    front: Front, effects: Effects
) -> None:
    transaction = linear(5)
    result = front.execute(transaction, seed=1)
    saga_id = transaction.transaction_id
    assert effects.lines(saga_id, "do") == ["s1", "s2", "s3", "s4", "s5"]
    assert result["s5"] == 1
    assert result["seen"] == ["s1", "s2", "s3", "s4"]


def test_a_fan_out_and_its_join_run_every_step_once(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction(
        "diamond",
        [
            step("first"),
            *(step(name, "first", fail="once") for name in ("left", "mid", "right")),
            step("join", "left", "mid", "right"),
            step("last", "join"),
        ],
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPLETED
    done = effects.lines(status.saga_id, "do")
    assert sorted(done) == sorted(["first", "left", "mid", "right", "join", "last"])
    assert (done[0], done[-2:]) == ("first", ["join", "last"])


def test_an_unordered_pair_that_writes_one_key_differently_fails_at_the_join(
    front: Front,
) -> None:
    transaction = SagaTransaction(
        "conflict",
        # ``seen`` differs: one has an ancestor, the other has none.
        [step("a"), step("b", "a"), step("c"), step("join", "b", "c")],
    )
    status = front.run(transaction)
    assert status.failed_step == "join"
    assert status.error is not None
    assert status.error["type"] == "DataConflict"
    assert "'seen'" in status.error["message"]


@pytest.mark.parametrize(
    ("how", "attempts"), [("once", 2), ("unknown", 2)], ids=["failed", "unknown"]
)
def test_an_attempt_that_did_not_end_well_is_tried_again(
    front: Front, how: str, attempts: int
) -> None:
    status = front.run(linear(2, s1={"fail": how}))
    assert status.state is SagaState.COMPLETED
    assert status.steps[0].attempts == attempts


def test_a_step_that_keeps_failing_undoes_the_saga(
    front: Front, effects: Effects
) -> None:
    transaction = linear(3, s3={"fail": "always"})
    with pytest.raises(SagaCompensated) as caught:
        front.execute(transaction)
    status = caught.value.status
    assert (status.failed_step, status.steps[2].attempts) == ("s3", 2)
    assert status.compensated_steps == ("s2", "s1")
    assert effects.left(status.saga_id) == set()


def test_an_undo_that_keeps_failing_is_never_called_compensated(front: Front) -> None:
    transaction = linear(3, s1={"undo_fail": "always"}, s3={"fail": "for good"})
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATION_FAILED
    assert status.failed_compensations == ("s1",)
    assert status.compensated_steps == ("s2",)


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        ("BACKWARD", [["s3"], ["s2"], ["s1"]]),
        ("FORWARD", [["s1"], ["s2"], ["s3"]]),
        ("PARALLEL", [["s1", "s2", "s3"]]),
        ("CASCADE", [["s3"], ["s2"], ["s1"]]),
        ("SELECTIVE", [["s4"], ["s2"]]),
    ],
)
def test_each_strategy_undoes_in_its_order(
    front: Front, effects: Effects, strategy: str, order: list[list[str]]
) -> None:
    transaction = linear(
        5,
        s2={"compensate": True},
        s4={"fail": "for good"},
        compensation_strategy=strategy,
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    undone = effects.lines(status.saga_id, "undo")
    at = 0
    for wave in order:
        assert sorted(undone[at : at + len(wave)]) == wave
        at += len(wave)
    assert at == len(undone)
    assert status.kept_steps == (("s1", "s3") if strategy == "SELECTIVE" else ())


def test_after_the_pivot_nothing_is_undone_and_giving_up_pauses(
    front: Front, effects: Effects
) -> None:
    transaction = linear(
        4,
        s2={"is_pivot": True},
        s3={"compensation": None},
        s4={"compensation": None, "fail": "always"},
    )
    status = front.run(transaction)
    assert status.state is SagaState.PAUSED
    assert status.completed_steps == ("s1", "s2", "s3")
    assert effects.lines(status.saga_id, "undo") == []


def test_a_step_over_its_time_is_recorded_as_timed_out_and_tried_again(
    front: Front,
) -> None:
    transaction = linear(
        1, s1={"timeout_ms": 3_000, "sleep_s": 30, "max_recoveries": 1}
    )
    status = front.run(transaction)  # its undo has as much time, and needs less
    types = front.types(status.saga_id)
    assert types.count("STEP_TIMED_OUT") == 2
    # It may have taken effect, so it is undone before the saga is called undone.
    assert status.state is SagaState.COMPENSATED
    assert status.compensated_steps == ("s1",)


def test_a_coroutine_is_an_action_and_has_its_time_too(
    front: Front, effects: Effects
) -> None:
    quick = linear(1, s1={"action": "work_async"})
    assert front.execute(quick)["s1"] == "async"
    slow = linear(
        1,
        s1={
            "action": "work_async",
            "sleep_s": 30,
            "timeout_ms": 200,
            "max_recoveries": 0,
        },
    )
    status = front.run(slow)
    assert "STEP_TIMED_OUT" in front.types(status.saga_id)
    assert effects.lines(status.saga_id, "do") == []


def test_a_saga_over_its_time_is_undone(front: Front, effects: Effects) -> None:
    transaction = linear(3, s2={"sleep_s": 1.5}, timeout_ms=1_000)
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert "SAGA_TIMED_OUT" in front.types(status.saga_id)
    assert status.failed_step is None
    assert effects.left(status.saga_id) == set()


@pytest.mark.parametrize("kind", ["nan", "list", "big"])
def test_an_output_that_cannot_be_stored_leaves_an_unknown_outcome(
    front: Front, kind: str
) -> None:
    transaction = linear(
        1, s1={"action": "return_what", "kind": kind, "max_recoveries": 0}
    )
    status = front.run(transaction)
    assert front.types(status.saga_id)[2] == "STEP_UNKNOWN"
    assert status.compensated_steps == ("s1",)


def test_work_on_the_context_connection_commits_with_the_completion(
    front: Front, running: Stack
) -> None:
    engine = create_engine(running.env["DATABASE_URL"])
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS business (saga text, step text, attempt int)"
        )
    status = front.run(
        linear(
            2, s1={"action": "insert_row"}, s2={"action": "insert_row", "fail": "once"}
        )
    )
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT step, attempt FROM business WHERE saga = %s ORDER BY step",
            (status.saga_id,),
        ).fetchall()
    engine.dispose()
    # The first attempt at s2 inserted too; its row went with its failure.
    assert [tuple(row) for row in rows] == [("s1", 1), ("s2", 2)]


def test_a_due_time_in_postgres_carries_a_longer_wait(front: Front) -> None:
    policy = {"max_attempts": 2, "backoff_ms": 5_500, "jitter": 0.0}
    transaction = linear(1, s1={"fail": "once", "retry_policy": policy})
    saga_id = front.start(transaction)
    wait_until(
        lambda: front.status(saga_id).state is SagaState.WAITING, "the saga waits"
    )
    assert front.wait(saga_id).state is SagaState.COMPLETED


def test_a_second_execution_of_one_transaction_waits_for_the_first(
    front: Front, effects: Effects
) -> None:
    transaction = linear(2, s1={"sleep_s": 0.3})
    results: list[dict[str, object]] = []
    threads = [
        threading.Thread(target=lambda: results.append(front.execute(transaction)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert effects.lines(transaction.transaction_id, "do") == ["s1", "s2"]


def test_one_id_with_another_definition_or_input_is_refused(front: Front) -> None:
    transaction = linear(1)
    front.execute(transaction, amount=1)
    with pytest.raises(SagaConflict, match=transaction.transaction_id):
        front.start(transaction, amount=2)
    other = linear(2, transaction_id=transaction.transaction_id)
    with pytest.raises(SagaConflict):
        front.start(other, amount=1)


def test_what_no_worker_ever_hosted_is_refused_before_anything_starts(
    front: Front,
) -> None:
    transaction = SagaTransaction(
        "strangers",
        [
            SagaStep("x", "agent-nobody", compensation="undo_x"),
            step("y", action="no_such_action"),
        ],
    )
    with pytest.raises(UnknownAgent) as caught:
        front.start(transaction)
    assert len(caught.value.faults) == 3
    with pytest.raises(SagaNotFound):
        front.status(transaction.transaction_id)


def test_faults_and_large_input_are_refused_before_anything_starts(
    front: Front,
) -> None:
    broken = SagaTransaction("broken", [step("a", "b"), step("b", "a"), step("c", "d")])
    with pytest.raises(InvalidSaga, match="'d'"):
        front.start(broken)
    with pytest.raises(PayloadTooLarge, match="262144"):
        front.start(linear(1), blob="x" * 300_000)


def test_waiting_ends_at_its_limit_and_the_saga_goes_on(
    front: Front, effects: Effects, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    saga_id = front.start(linear(2, s1={"wait_for_file": str(gate)}))
    with pytest.raises(SagaStillRunning):
        front.wait(saga_id, timeout_s=0.1)
    gate.touch()
    assert front.wait(saga_id).state is SagaState.COMPLETED
    assert effects.lines(saga_id, "do") == ["s1", "s2"]


def test_steps_go_to_their_agents_pool(front: Front, effects: Effects) -> None:
    transaction = SagaTransaction(
        "two pools", [step("here"), SagaStep("there", "agent-second", action="work")]
    )
    assert front.execute(transaction)["there"] == "second"
