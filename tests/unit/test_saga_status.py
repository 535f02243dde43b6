"""What the outside is told, and how events are named and folded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestration.core.saga.acts import Who, signal
from orchestration.core.saga.events import (
    EventType,
    NewFact,
    SagaEvent,
    saga_uuid,
    stream_of,
)
from orchestration.core.saga.execution import execution_of
from orchestration.core.saga.fold import apply, fold
from orchestration.core.saga.model import SagaState, SagaStep
from orchestration.core.saga.outcomes import Succeeded, idempotency_key
from tests.unit.scripted import (
    DO,
    ERROR,
    FOR_GOOD,
    LOST,
    RETRYABLE,
    T0,
    UNDO,
    Script,
    begun,
    saga,
    step,
)


def test_the_status_of_a_saga_that_has_just_begun() -> None:
    status = execution_of(Script(step("a"), data={"x": 1}).view)
    assert (status.saga_id, status.transaction_id, status.name) == ("t", "t", "t")
    assert (status.state, status.version, status.result) == ("RUNNING", 1, {})
    assert (status.started_at, status.ended_at, status.error) == (T0, None, None)
    (report,) = status.steps
    assert (report.status, report.undo_status, report.attempts) == ("IDLE", "IDLE", 0)


def test_a_saga_waits_when_nothing_runs_and_something_is_due_later() -> None:
    script = Script(step("a"), step("b"), step("c", "a"))
    script.do("a", RETRYABLE)
    assert execution_of(script.view).state is SagaState.WAITING
    script.start("b")
    assert execution_of(script.view).state is SagaState.RUNNING


def test_a_saga_waits_for_what_the_side_tables_know() -> None:
    status = execution_of(Script(step("a")).view, waiting_for="a worker")
    assert (status.state, status.waiting_for) == (SagaState.WAITING, "a worker")


def test_the_status_of_a_saga_that_was_undone_names_every_step_s_fate() -> None:
    script = Script(
        step("reads", compensation=None, read_only=True),
        step("kept"),
        step("chosen", metadata={"compensate": True}),
        step("cannot", compensation=None),
        step("fails"),
        compensation_strategy="SELECTIVE",
    )
    for name in ("reads", "kept", "chosen"):
        script.do(name)
    script.do("cannot", Succeeded({"n": 1}))
    script.later(seconds=1)
    script.do("fails", FOR_GOOD)
    script.undo("fails")
    assert execution_of(script.view).state is SagaState.COMPENSATING
    script.undo("chosen")
    status = execution_of(script.view)
    assert status.state is SagaState.COMPENSATED
    assert status.completed_steps == ("reads", "kept", "chosen", "cannot")
    assert status.compensated_steps == ("fails", "chosen")
    assert status.kept_steps == ("kept",)
    assert status.uncompensated_steps == ("cannot",)
    assert (status.failed_step, status.error) == ("fails", ERROR)
    assert status.ended_at == T0 + timedelta(seconds=1)
    assert status.result == {"n": 1}
    assert {r.name: r.undo_status for r in status.steps}["fails"] == "DONE"


def test_a_step_that_waited_for_a_signal_leaves_nothing_to_be_undone() -> None:
    script = Script(SagaStep("approve", wait_for="approved"), step("fails"))
    script.look()
    decision = signal(
        script.view, script.now, Who("ann"), name="approved", data={}, signal_id="1"
    )
    script.record(decision.facts)
    script.do("fails", FOR_GOOD)
    status = execution_of(script.view)
    assert (status.state, status.completed_steps) == ("COMPENSATED", ("approve",))
    assert status.uncompensated_steps == ()


def test_a_step_s_report_counts_attempts_and_shows_the_latest_error() -> None:
    script = Script(step("a"))
    script.do("a", RETRYABLE)
    assert execution_of(script.view).steps[0].error == ERROR
    script.later(minutes=1)
    script.do("a", LOST)
    script.later(minutes=1)
    script.do("a", FOR_GOOD)
    script.undo("a", RETRYABLE)
    (report,) = execution_of(script.view).steps
    assert (report.status, report.attempts) == ("UNKNOWN", 3)
    assert (report.undo_status, report.undo_attempts) == ("WAITING", 1)


def test_a_stream_begins_with_its_start() -> None:
    assert fold("t", []) is None
    first = SagaEvent(1, EventType.SAGA_COMPLETED, {}, T0)
    with pytest.raises(ValueError, match="saga t: its first event is SAGA_COMPLETED"):
        fold("t", [first])


def test_an_outcome_of_an_attempt_that_is_not_open_changes_nothing() -> None:
    script = Script(step("a"))
    data = {"step": "a", "attempt": 1, "round": 1, "token": "", "error": ERROR}
    for event_type, direction in {
        EventType.STEP_COMPLETED: DO,
        EventType.STEP_FAILED: DO,
        EventType.STEP_TIMED_OUT: DO,
        EventType.STEP_COMPENSATED: UNDO,
        EventType.STEP_COMPENSATION_FAILED: UNDO,
    }.items():
        after = apply(script.view, SagaEvent(2, event_type, data, T0))
        late = frozenset({("a", direction, 1, 1)})
        assert after == replace(script.view, version=2, late=late)


def test_a_second_start_is_history_only() -> None:
    script = Script(step("a"))
    again = replace(begun(saga(step("a"))), version=2)
    assert apply(script.view, again) == replace(script.view, version=2)


def test_a_timeout_does_not_take_the_place_of_an_earlier_cause() -> None:
    script = Script(step("a"), step("b"), step("c", "a"))
    script.start("b")
    script.do("a", FOR_GOOD)
    event = SagaEvent(script.view.version + 1, EventType.SAGA_TIMED_OUT, {}, T0)
    assert apply(script.view, event).cause == script.view.cause


def test_one_fact_has_one_id_whoever_records_it() -> None:
    data = {"step": "a", "attempt": 1, "round": 1, "token": "x"}
    fact = NewFact(EventType.STEP_STARTED, data)
    same = NewFact(EventType.STEP_STARTED, data | {"token": "y"})
    assert fact.event_id("t", 1) == same.event_id("t", 7)
    others = {
        NewFact(EventType.STEP_STARTED, data | {"attempt": 2}).event_id("t", 1),
        NewFact(EventType.STEP_STARTED, data | {"round": 2}).event_id("t", 1),
        NewFact(EventType.STEP_STARTED, data | {"step": "b"}).event_id("t", 1),
        NewFact(EventType.STEP_FAILED, data).event_id("t", 1),
        fact.event_id("other", 1),
    }
    assert len(others | {fact.event_id("t", 1)}) == 6


def test_a_late_result_is_told_apart_by_direction() -> None:
    data = {"step": "a", "attempt": 1, "round": 1}
    ids = {
        NewFact(EventType.STEP_LATE_RESULT, data | {"direction": d}).event_id("t", 1)
        for d in (DO, UNDO)
    }
    assert len(ids) == 2


def test_a_fact_about_the_saga_may_come_again_at_another_version() -> None:
    pause = NewFact(EventType.SAGA_PAUSED, {"reason": "x"})
    assert pause.event_id("t", 1) == pause.event_id("t", 1)
    assert pause.event_id("t", 1) != pause.event_id("t", 2)


def test_streams_keys_and_correlations_are_named_by_the_saga() -> None:
    assert stream_of("t") == "saga-t"
    assert idempotency_key("t", "a", UNDO, 2) == "t:a:undo:2"
    assert saga_uuid("t") == saga_uuid("t") != saga_uuid("u")
