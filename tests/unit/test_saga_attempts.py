"""How an attempt may end, and what that does to its step."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.core.saga.execution import execution_of
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.outcomes import Failed, Lost, Succeeded
from orchestration.core.saga.timing import RETRY_SLACK
from orchestration.core.saga.view import PhaseStatus
from tests.unit.scripted import (
    DO,
    ERROR,
    FOR_GOOD,
    LOST,
    OK,
    RETRYABLE,
    T0,
    UNDO,
    Script,
    step,
)

DUE_AT_ONCE = Lost(ERROR, at_once=True)
QUICK = {"backoff_ms": 1_000, "jitter": 0.0}


def pair(**options: object) -> Script:
    return Script(step("a"), step("b"), **options)


def test_a_failed_attempt_is_tried_again_after_its_backoff() -> None:
    script = Script(step("a", retry_policy=QUICK))
    decision = script.do("a", RETRYABLE)
    phase = script.view.phase("a", DO)
    assert phase.status is PhaseStatus.WAITING
    assert phase.due_at == T0 + timedelta(milliseconds=1_001)
    assert decision.lines == ()
    assert decision.check_at == phase.due_at + RETRY_SLACK


@pytest.mark.parametrize(
    ("asked_ms", "wait_ms"),
    [(250, 250), (-5, 0), (1.5, 2), (10**30, 315_360_000_000)],
)
def test_an_action_may_ask_for_its_next_attempts_time_within_reason(
    asked_ms: float, wait_ms: int
) -> None:
    script = Script(step("a", retry_policy=QUICK))
    script.do("a", Failed(ERROR, retry_in_ms=asked_ms))
    due_at = T0 + timedelta(milliseconds=1 + wait_ms)
    assert script.view.phase("a", DO).due_at == due_at


@pytest.mark.parametrize("fraction_us", [0, 1, 499, 500, 999])
def test_a_retry_without_backoff_is_not_ready_in_the_instant_of_its_failure(
    fraction_us: int,
) -> None:
    script = Script(step("a", retry_policy={"backoff_ms": 0}))
    script.later(microseconds=fraction_us)
    assert script.do("a", RETRYABLE).lines == ()
    script.later(milliseconds=2)
    assert script.start("a") == 2


@pytest.mark.parametrize("fraction_us", [0, 1, 499, 500, 999])
def test_a_lost_attempt_that_the_sweep_found_is_sent_again_at_once(
    fraction_us: int,
) -> None:
    script = pair()
    script.later(microseconds=fraction_us)
    assert script.do("a", DUE_AT_ONCE).lines == (("a", "b"),)


def test_a_lost_undo_that_the_sweep_found_is_sent_again_at_once() -> None:
    script = Script(step("a"), step("b"), step("c"), compensation_strategy="PARALLEL")
    script.do("a")
    script.do("b")
    assert script.do("c", FOR_GOOD).lines == (("a",), ("b",))
    script.start("b", UNDO)
    assert script.undo("a", DUE_AT_ONCE).lines == (("a",),)
    assert script.end("b", OK, UNDO).lines == ()


@pytest.mark.parametrize("outcome", [Failed({"type": "KeyError"}), FOR_GOOD])
def test_an_error_that_no_retry_helps_ends_the_step(outcome: Failed) -> None:
    script = Script(step("a", retry_policy={"non_retryable": "KeyError"}))
    script.do("a", outcome)
    assert script.view.state is SagaState.COMPENSATED
    assert script.view.cause == {
        "reason": "step failed",
        "step": "a",
        "error": outcome.error,
    }


def test_attempts_are_bounded_by_the_policy() -> None:
    script = Script(step("a", retry_policy=QUICK | {"max_attempts": 2}))
    script.do("a", RETRYABLE)
    script.later(seconds=5)
    script.do("a", RETRYABLE)
    assert script.view.phase("a", DO).status is PhaseStatus.FAILED


def test_recoveries_are_bounded_apart_from_attempts() -> None:
    script = Script(step("a", max_recoveries=2, retry_policy={"max_attempts": 1}))
    for _ in range(2):
        script.do("a", LOST)
        assert script.view.phase("a", DO).status is PhaseStatus.WAITING
        script.later(minutes=1)
    script.do("a", LOST)
    assert script.view.phase("a", DO).status is PhaseStatus.UNKNOWN
    assert script.view.waves == (("a",),)


def test_a_clean_failure_after_a_lost_attempt_is_not_clean() -> None:
    script = Script(step("a", retry_policy={"max_attempts": 1}))
    script.do("a", DUE_AT_ONCE)
    script.do("a", RETRYABLE)
    assert script.view.phase("a", DO).status is PhaseStatus.UNKNOWN
    assert script.view.waves == (("a",),)
    script.undo("a")
    status = execution_of(script.view)
    assert (status.compensated_steps, status.unresolved_steps) == (("a",), ())


def test_compensate_policy_undoes_an_unknown_outcome_without_another_attempt() -> None:
    script = Script(step("a", on_unknown="COMPENSATE"))
    script.do("a", Lost(ERROR, timed_out=True))
    assert script.types[-2:] == ["STEP_TIMED_OUT", "COMPENSATION_STARTED"]
    assert script.view.waves == (("a",),)


def test_escalate_policy_pauses_for_a_person() -> None:
    script = Script(step("a"), step("b", on_unknown="ESCALATE"))
    script.do("a")
    decision = script.do("b", LOST)
    assert script.types[-2:] == ["STEP_UNKNOWN", "SAGA_PAUSED"]
    assert decision.check_at is None
    status = execution_of(script.view)
    assert status.state is SagaState.PAUSED
    assert status.unresolved_steps == ("b",)
    assert status.waiting_for == "outcome unknown"


def test_a_failing_branch_waits_for_what_still_runs_and_undoes_it_too() -> None:
    script = Script(step("a"), step("b"), step("c", "a"))
    script.start("a")
    script.start("b")
    decision = script.end("a", FOR_GOOD)
    assert (decision.facts[1:], decision.lines, decision.check_at) == ((), (), None)
    assert script.view.state is SagaState.RUNNING
    assert script.end("b").lines == (("b",),)
    assert script.view.state is SagaState.COMPENSATING


def test_a_sibling_that_fails_while_the_saga_gives_up_is_not_tried_again() -> None:
    script = Script(step("a"), step("b"), step("c", "a", "b"))
    script.start("b")
    script.do("a", FOR_GOOD)
    script.end("b", RETRYABLE)
    assert script.view.phase("b", DO).status is PhaseStatus.FAILED
    assert execution_of(script.view).failed_step == "a"


def test_a_lost_attempt_that_waits_while_the_saga_gives_up_is_undone() -> None:
    script = Script(step("a"), step("b"), step("c", "a", "b"))
    script.do("b", LOST)
    script.do("a", FOR_GOOD)
    assert script.view.waves == (("b",),)


def test_a_lost_attempt_that_waited_and_cannot_be_undone_is_unresolved() -> None:
    script = Script(step("a"), step("b", compensation=None), step("c", "a", "b"))
    script.do("b", LOST)
    assert execution_of(script.view).unresolved_steps == ()
    script.do("a", FOR_GOOD)
    assert script.view.state is SagaState.COMPENSATED
    assert execution_of(script.view).unresolved_steps == ("b",)


def test_a_cleanly_failed_attempt_that_waits_is_not_undone() -> None:
    script = Script(step("a"), step("b"), step("c", "a", "b"))
    script.do("b", RETRYABLE)
    script.do("a", FOR_GOOD)
    assert script.view.waves == ()
    assert script.view.state is SagaState.COMPENSATED


# --- late and repeated outcomes


def test_a_late_result_is_recorded_once_and_changes_nothing() -> None:
    script = pair()
    script.do("a", DUE_AT_ONCE)
    script.start("a")
    before = script.view
    decision = script.end("a", OK, attempt=1)
    assert decision.is_late
    assert [fact.type for fact in decision.facts] == ["STEP_LATE_RESULT"]
    assert script.view.do == before.do
    assert script.view.late == {("a", DO, 1, 1)}
    again = script.end("a", OK, attempt=1)
    assert again.is_late
    assert again.facts == ()


def test_a_late_result_leaves_the_saga_in_the_sweeps_sight() -> None:
    script = pair()
    script.do("a", DUE_AT_ONCE)
    decision = script.end("a", OK, attempt=1)
    assert decision.is_late
    assert decision.check_at == T0 + RETRY_SLACK  # its retry may be lost


def test_a_late_result_at_the_deadline_has_the_saga_looked_at_now() -> None:
    script = pair(timeout_ms=1_000)
    script.do("a", DUE_AT_ONCE)
    now = script.later(seconds=1)
    assert script.end("a", OK, attempt=1).check_at == now
    assert "SAGA_TIMED_OUT" not in script.types


@pytest.mark.parametrize("outcome", [OK, RETRYABLE, LOST])
def test_an_outcome_told_twice_adds_nothing(
    outcome: Succeeded | Failed | Lost,
) -> None:
    script = pair()
    script.do("a", outcome)
    again = script.end("a", outcome)
    assert (again.facts, again.is_late) == ((), False)


def test_an_outcome_told_twice_names_again_what_follows() -> None:
    script = pair()
    assert script.do("a").lines == (("b",),)
    assert script.end("a").lines == (("b",),)
    script.later(hours=2)  # past its deadline there is more to record than to send
    assert script.end("a").lines == ()


def test_a_success_after_the_same_attempt_was_given_up_is_late() -> None:
    script = pair()
    script.do("a", DUE_AT_ONCE)
    assert script.end("a", OK, attempt=1).is_late


def test_a_failure_told_of_an_attempt_that_succeeded_is_late() -> None:
    script = pair()
    script.do("a")
    assert script.end("a", RETRYABLE).is_late
    assert script.view.completed == ("a",)


def test_a_late_effect_of_an_undone_step_is_undone_again() -> None:
    script = Script(step("a", on_unknown="COMPENSATE"), step("b"))
    script.do("a", LOST)
    script.undo("a")
    decision = script.end("a", OK, attempt=1)
    assert decision.lines == (("a",),)
    assert decision.direction is UNDO
