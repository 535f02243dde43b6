"""What operators ask of sagas that are on their way: cancel, pause, resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery

from orchestration.core.saga.ends import result_or_raise
from orchestration.errors import (
    SagaActRefused,
    SagaCancelled,
    SagaCompensated,
    SagaNotFound,
    SagaStillRunning,
)
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

Gate = Callable[[], Path]


def approval(**options: object) -> SagaStep:
    return SagaStep("approval", wait_for="approved", **options)


def in_front_of_a_pivot(**pivot: object) -> SagaTransaction:
    return linear(3, s2={"is_pivot": True, **pivot}, s3={"compensation": None})


# --- cancel


def test_a_saga_that_has_done_nothing_is_cancelled_and_does_nothing(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction("early", [approval(), step("s1", "approval")])
    saga_id = front.start(transaction)
    front.act("cancel", saga_id, by="ann", why="changed our mind")
    status = front.wait(saga_id)
    assert (status.state, status.is_cancelled) == (SagaState.COMPENSATED, True)
    assert effects.all(saga_id) == []
    [asked] = front.told(saga_id, "SAGA_CANCEL_REQUESTED")
    assert asked == {"by": "ann", "why": "changed our mind"}
    with pytest.raises(SagaCancelled, match="was cancelled and has been undone"):
        result_or_raise(status)


def test_what_runs_is_told_of_a_cancel_and_undone_with_the_rest(
    front: Front, effects: Effects
) -> None:
    saga_id = front.start(linear(3, s2={"action": "work_until_cancelled"}))
    effects.await_begin(saga_id, "s2")
    asked = front.act("cancel", saga_id)
    assert (asked.state, asked.is_cancelled) == (SagaState.RUNNING, True)
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert status.compensated_steps == ("s2", "s1")
    assert effects.lines(saga_id, "do") == ["s1", "s2"]
    [told] = front.told(saga_id, "SAGA_CANCEL_REQUESTED")
    assert "@" in told["by"]  # the user and host of this process


def test_a_cancel_while_the_last_step_runs_undoes_that_too(
    front: Front, effects: Effects
) -> None:
    saga_id = front.start(linear(2, s2={"action": "work_until_cancelled"}))
    effects.await_begin(saga_id, "s2")
    front.act("cancel", saga_id)
    status = front.wait(saga_id)
    assert (status.state, status.is_cancelled) == (SagaState.COMPENSATED, True)
    assert effects.left(saga_id) == set()


def test_a_step_that_waits_for_its_retry_is_not_tried_again_after_a_cancel(
    front: Front,
) -> None:
    policy = {"max_attempts": 2, "backoff_ms": 60_000}
    saga_id = front.start(linear(2, s2={"fail": "once", "retry_policy": policy}))
    front.await_event(saga_id, "STEP_FAILED", step="s2")
    front.act("cancel", saga_id)
    status = front.wait(saga_id)
    assert status.compensated_steps == ("s1",)
    assert status.steps[1].attempts == 1


def test_a_second_cancel_adds_nothing(front: Front, effects: Effects) -> None:
    saga_id = front.start(linear(2, s1={"action": "work_until_cancelled"}))
    effects.await_begin(saga_id, "s1")
    front.act("cancel", saga_id)
    front.act("cancel", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    front.act("cancel", saga_id)
    assert len(front.told(saga_id, "SAGA_CANCEL_REQUESTED")) == 1


def test_a_pivot_that_succeeds_has_a_cancel_refused_and_the_saga_goes_on(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    saga_id = front.start(in_front_of_a_pivot(wait_for_file=str(ends)))
    effects.await_begin(saga_id, "s2")
    front.act("cancel", saga_id, by="ann")
    ends.touch()
    status = front.wait(saga_id)
    assert (status.state, status.is_cancelled) == (SagaState.COMPLETED, False)
    assert effects.lines(saga_id, "undo") == []
    [refused] = front.told(saga_id, "SAGA_CANCEL_REFUSED")
    assert refused == {"reason": "the point of no return is behind"}


def test_a_pivot_that_is_the_last_step_and_succeeds_has_a_cancel_refused(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = linear(2, s2={"is_pivot": True, "wait_for_file": str(ends)})
    saga_id = front.start(transaction)
    effects.await_begin(saga_id, "s2")
    front.act("cancel", saga_id)
    ends.touch()
    assert front.wait(saga_id).state is SagaState.COMPLETED
    assert front.types(saga_id)[-2:] == ["SAGA_CANCEL_REFUSED", "SAGA_COMPLETED"]


def test_a_pivot_that_fails_after_a_cancel_is_not_tried_again(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    saga_id = front.start(
        in_front_of_a_pivot(wait_for_file=str(ends), fail="afterwards")
    )
    effects.await_begin(saga_id, "s2")
    front.act("cancel", saga_id)
    ends.touch()
    status = front.wait(saga_id)
    assert (status.state, status.is_cancelled) == (SagaState.COMPENSATED, True)
    assert status.steps[1].attempts == 1
    assert status.compensated_steps == ("s1",)


def test_after_the_pivot_a_cancel_is_refused_and_on_record(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = linear(
        3, s2={"is_pivot": True}, s3={"compensation": None, "wait_for_file": str(ends)}
    )
    saga_id = front.start(transaction)
    effects.await_begin(saga_id, "s3")
    with pytest.raises(SagaActRefused, match="point of no return is behind"):
        front.act("cancel", saga_id, by="ann", why="too late")
    [refused] = front.told(saga_id, "SAGA_CANCEL_REFUSED")
    assert (refused["by"], refused["why"]) == ("ann", "too late")
    ends.touch()
    assert front.wait(saga_id).state is SagaState.COMPLETED


def test_a_paused_saga_is_cancelled_and_undone(front: Front, effects: Effects) -> None:
    transaction = SagaTransaction("held", [step("s1"), approval(depends_on=["s1"])])
    saga_id = front.start(transaction)
    front.await_event(saga_id, "STEP_WAITING")
    front.act("pause", saga_id)
    front.act("cancel", saga_id)
    status = front.wait(saga_id)
    assert (status.state, status.is_on_hold) == (SagaState.COMPENSATED, False)
    assert effects.left(saga_id) == set()


def test_a_saga_that_is_undone_or_over_is_not_cancelled(front: Front) -> None:
    done = front.run(linear(1)).saga_id
    with pytest.raises(SagaActRefused, match="is COMPLETED, cannot cancel"):
        front.act("cancel", done)
    with pytest.raises(SagaNotFound):
        front.act("cancel", "no-such-saga")


def test_a_producer_without_this_package_cancels_by_the_tasks_name(
    front: Front, running: Stack, effects: Effects
) -> None:
    saga_id = front.start(linear(1, s1={"action": "work_until_cancelled"}))
    effects.await_begin(saga_id, "s1")
    bare = Celery(broker=running.env["CELERY_BROKER_URL"], set_as_current=False)
    bare.conf.broker_transport_options = {
        "global_keyprefix": running.env["ORCHESTRATION_KEY_PREFIX"]
    }
    bare.send_task("saga.cancel", kwargs={"saga_id": saga_id})
    status = front.wait(saga_id)
    bare.close()
    assert (status.state, status.is_cancelled) == (SagaState.COMPENSATED, True)


# --- pause and resume


def test_a_paused_saga_lets_what_runs_end_and_begins_nothing(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    saga_id = front.start(linear(3, s2={"wait_for_file": str(ends)}))
    effects.await_begin(saga_id, "s2")
    asked = front.act("pause", saga_id, by="ann", why="lunch")
    assert (asked.state, asked.is_on_hold) == (SagaState.PAUSED, True)
    ends.touch()
    front.await_event(saga_id, "STEP_COMPLETED", step="s2")
    other = front.run(linear(3))  # the worker would have come to s3 by now
    assert other.state is SagaState.COMPLETED
    paused = front.status(saga_id)
    assert paused.completed_steps == ("s1", "s2")
    assert paused.waiting_for == "paused by ann"
    front.act("resume", saga_id, by="bob")
    status = front.wait(saga_id)
    assert status.completed_steps == ("s1", "s2", "s3")
    assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
    [paused_event] = front.told(saga_id, "SAGA_PAUSED")
    assert paused_event["why"] == "lunch"
    assert front.told(saga_id, "SAGA_RESUMED") == [{"by": "bob"}]


def test_a_second_pause_adds_nothing_and_a_resume_needs_a_pause(front: Front) -> None:
    saga_id = front.start(SagaTransaction("held", [approval()]))
    front.await_event(saga_id, "STEP_WAITING")
    with pytest.raises(SagaActRefused, match="only a paused saga can be resumed"):
        front.act("resume", saga_id)
    front.act("pause", saga_id)
    front.act("pause", saga_id)
    assert len(front.told(saga_id, "SAGA_PAUSED")) == 1
    front.act("resume", saga_id)
    front.act("signal", saga_id, "approved")
    assert front.wait(saga_id).state is SagaState.COMPLETED
    with pytest.raises(SagaActRefused, match="only a saga on its way can be paused"):
        front.act("pause", saga_id)


def test_a_due_retry_is_put_off_by_as_long_as_the_saga_was_paused(
    front: Front,
) -> None:
    # It is paused before it is due, by a busy host too.
    policy = {"max_attempts": 2, "backoff_ms": 5_000, "jitter": 0.0}
    saga_id = front.start(linear(1, s1={"fail": "once", "retry_policy": policy}))
    failed = front.await_event(saga_id, "STEP_FAILED")
    front.act("pause", saga_id)
    due_s = failed.data["retry_at_ms"] / 1_000
    front.await_time(due_s + 0.4)
    assert front.types(saga_id)[-1] == "SAGA_PAUSED"
    front.act("resume", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPLETED
    paused = front.await_event(saga_id, "SAGA_PAUSED").recorded_at
    resumed = front.await_event(saga_id, "SAGA_RESUMED").recorded_at
    again = front.await_event(saga_id, "STEP_STARTED", attempt=2)
    stood_s = (resumed - paused).total_seconds()
    # Events carry whole milliseconds.
    assert again.recorded_at.timestamp() + 0.002 >= due_s + stood_s


def test_the_deadline_of_a_paused_saga_and_of_its_signal_stand_still(
    front: Front,
) -> None:
    # On a busy host, too, half of these times is enough for each of pause and signal.
    transaction = SagaTransaction(
        "patient",
        [approval(timeout_ms=8_000), step("s1", "approval")],
        timeout_ms=8_500,
    )
    saga_id = front.start(transaction)
    front.await_event(saga_id, "STEP_WAITING")
    front.act("pause", saga_id)
    started = front.status(saga_id).started_at.timestamp()
    front.await_time(started + 10)
    front.act("resume", saga_id)
    front.act("signal", saga_id, "approved")
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPLETED
    assert "SAGA_TIMED_OUT" not in front.types(saga_id)


def test_a_saga_that_is_being_undone_is_paused_and_undone_further_after_it(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = linear(3, s2={"undo_waits_for": str(ends)}, s3={"fail": "for good"})
    saga_id = front.start(transaction)
    front.await_event(saga_id, "STEP_COMPENSATION_STARTED", step="s2")
    front.act("pause", saga_id)
    ends.touch()
    front.await_event(saga_id, "STEP_COMPENSATED", step="s2")
    assert front.run(linear(2)).state is SagaState.COMPLETED
    assert front.status(saga_id).compensated_steps == ("s2",)
    front.act("resume", saga_id)
    with pytest.raises(SagaCompensated):
        result_or_raise(front.wait(saga_id))
    assert effects.lines(saga_id, "undo") == ["s2", "s1"]


def test_a_caller_waits_for_a_saga_that_is_paused_and_resumed(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    saga_id = front.start(linear(2, s1={"wait_for_file": str(ends)}))
    effects.await_begin(saga_id, "s1")
    front.act("pause", saga_id)
    ends.touch()
    front.await_event(saga_id, "STEP_COMPLETED")
    with pytest.raises(SagaStillRunning):
        front.wait(saga_id, timeout_s=0.2)
    front.act("resume", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPLETED
