"""Times that run out: of a step, of the saga, and what is left when they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import SagaCompensated
from orchestration.saga import SagaState, SagaTransaction
from orchestration.saga_client import result_or_raise
from tests.support.front import Effects, Front, linear, step

pytestmark = pytest.mark.integration

Gate = Callable[[], Path]

# What has to come before these run out comes in time on a busy host too.
STEP_MS = 4_000
SAGA_MS = 6_000


def test_a_step_over_its_time_is_unknown_and_tried_again_under_its_key(
    front: Front, effects: Effects, gate: Gate
) -> None:
    never = gate()
    transaction = linear(
        1,
        s1={"timeout_ms": STEP_MS, "wait_for_file": str(never), "max_recoveries": 1},
    )
    status = front.run(transaction)
    assert front.types(status.saga_id).count("STEP_TIMED_OUT") == 2
    assert {e.key for e in effects.all(status.saga_id, what="begin")} == {
        f"{status.saga_id}:s1:do:1"
    }
    # It may have taken effect, so it is undone before the saga is called undone.
    assert (status.state, status.compensated_steps) == (
        SagaState.COMPENSATED,
        ("s1",),
    )


def test_a_timed_out_step_follows_its_policy_for_unknown_outcomes(
    front: Front, gate: Gate
) -> None:
    never = str(gate())
    slow = {"timeout_ms": STEP_MS, "wait_for_file": never}
    paused = front.run(linear(1, s1={**slow, "on_unknown": "ESCALATE"}))
    assert (paused.state, paused.unresolved_steps) == (SagaState.PAUSED, ("s1",))
    probed = front.run(linear(1, s1={**slow, "probe": "look", "max_recoveries": 0}))
    assert probed.state is SagaState.COMPENSATED
    assert "STEP_PROBED" in front.types(probed.saga_id)


def test_a_coroutine_over_its_time_is_cancelled(front: Front, effects: Effects) -> None:
    slow = {"action": "work_async", "sleep_s": 30, "timeout_ms": 200}
    status = front.run(linear(1, s1={**slow, "max_recoveries": 0}))
    assert "STEP_TIMED_OUT" in front.types(status.saga_id)
    assert effects.lines(status.saga_id, "do") == []


def test_an_undo_over_its_time_is_tried_again_and_then_a_dead_letter(
    front: Front,
) -> None:
    transaction = linear(
        2,
        s1={"undo_sleep_s": 30, "timeout_ms": STEP_MS, "max_recoveries": 1},
        s2={"fail": "for good"},
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATION_FAILED
    assert status.steps[0].undo_attempts == 2
    assert status.steps[0].error is not None
    assert status.steps[0].error["type"] == "StepTimedOut"


def test_a_saga_over_its_time_is_undone_once_what_runs_has_ended(
    front: Front, effects: Effects
) -> None:
    """The step hears that its saga gives up, and only therefore ends."""
    transaction = linear(3, s2={"action": "work_until_cancelled"}, timeout_ms=SAGA_MS)
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert (status.failed_step, status.error) == (None, None)
    assert effects.lines(status.saga_id, "do") == ["s1", "s2"]
    assert effects.left(status.saga_id) == set()
    with pytest.raises(SagaCompensated, match="out of time"):
        result_or_raise(status)


def test_undoing_is_not_bound_by_the_sagas_time(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = linear(
        2,
        s1={"undo_waits_for": str(ends)},
        s2={"fail": "for good"},
        timeout_ms=SAGA_MS,
    )
    saga_id = front.start(transaction)
    front.await_event(saga_id, "STEP_COMPENSATION_STARTED", step="s1")
    started = front.status(saga_id).started_at.timestamp()
    front.await_time(started + SAGA_MS / 1_000 + 1.5)  # the sweep has looked by now
    ends.touch()
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert "SAGA_TIMED_OUT" not in front.types(status.saga_id)
    assert effects.left(status.saga_id) == set()


def test_a_retry_that_is_due_after_the_sagas_end_is_not_waited_for(
    front: Front,
) -> None:
    policy = {"max_attempts": 2, "backoff_ms": 60_000}
    failing = {"fail": "once", "retry_policy": policy}
    status = front.run(linear(1, s1=failing, timeout_ms=SAGA_MS))
    assert (status.state, status.steps[0].attempts) == (SagaState.COMPENSATED, 1)


def test_time_that_runs_out_while_the_pivot_runs_waits_for_its_outcome(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = linear(
        3,
        s2={"is_pivot": True, "wait_for_file": str(ends)},
        s3={"compensation": None},
        timeout_ms=SAGA_MS,
    )
    saga_id = front.start(transaction)
    front.await_event(saga_id, "SAGA_TIMED_OUT")
    ends.touch()
    status = front.wait(saga_id)
    assert (status.state, status.completed_steps) == (SagaState.PAUSED, ("s1", "s2"))
    assert effects.lines(saga_id, "undo") == []
    # An operator's retry gives it all its time again.
    front.act("retry", saga_id)
    assert front.wait(saga_id).completed_steps == ("s1", "s2", "s3")


def test_time_that_runs_out_after_the_pivot_pauses_the_saga(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction(
        "after",
        [
            step("pivot", is_pivot=True),
            step("a", "pivot", compensation=None, action="work_until_cancelled"),
            step("b", "a", compensation=None),
        ],
        timeout_ms=SAGA_MS,
    )
    status = front.run(transaction)
    assert (status.state, status.completed_steps) == (
        SagaState.PAUSED,
        ("pivot", "a"),
    )
    assert effects.lines(status.saga_id, "undo") == []


def test_a_halting_saga_over_its_time_fails_as_it_stands(
    front: Front, effects: Effects
) -> None:
    transaction = linear(
        3,
        s2={"action": "work_until_cancelled"},
        timeout_ms=SAGA_MS,
        on_failure="HALT",
    )
    status = front.run(transaction)
    assert (status.state, status.completed_steps) == (SagaState.FAILED, ("s1", "s2"))
    front.act("retry", status.saga_id)
    assert front.wait(status.saga_id).state is SagaState.COMPLETED
    assert effects.lines(status.saga_id, "do") == ["s1", "s2", "s3"]
