"""What happens next, told case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.core.saga.decide import Refusal, advance
from orchestration.core.saga.execution import execution_of
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.outcomes import Failed, Lost, Succeeded
from orchestration.core.saga.timing import (
    RESEND_AFTER,
    RETRY_SLACK,
    check_after_claim,
    wake_at,
)
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


def test_a_saga_begins_with_its_roots_each_on_a_line_of_its_own() -> None:
    script = Script(step("a"), step("b"), step("c", "a"), step("join", "c", "b"))
    decision = script.look()
    assert decision.lines == (("a", "c"), ("b",))
    assert decision.check_at == T0 + RESEND_AFTER


def test_what_became_ready_is_sent_and_what_was_sent_before_is_not() -> None:
    script = Script(step("a"), step("b"), step("c", "a"), step("d", "c", "b"))
    assert script.do("a").lines == (("c",),)
    assert script.do("b").lines == ()
    assert script.do("c").lines == (("d",),)


def test_the_last_step_completes_the_saga() -> None:
    script = pair()
    script.do("a")
    decision = script.do("b")
    assert decision.view.state is SagaState.COMPLETED
    assert (decision.check_at, decision.lines) == (None, ())
    assert script.types[-1] == "SAGA_COMPLETED"
    assert script.view.ended_at == T0


def test_a_decision_about_a_final_saga_is_empty() -> None:
    script = Script(step("a"))
    script.do("a")
    decision = script.look()
    assert (decision.facts, decision.lines, decision.check_at) == ((), (), None)


# --- claims


def test_a_claim_is_refused_while_another_delivery_holds_it() -> None:
    script = pair()
    script.start("a")
    assert script.ask("a") is Refusal.HELD


def test_a_claim_is_refused_before_what_it_needs() -> None:
    assert pair().ask("b") is Refusal.NOT_READY


def test_a_claim_is_refused_once_the_step_is_done() -> None:
    script = pair()
    script.do("a")
    assert script.ask("a") is Refusal.SETTLED


def test_a_claim_is_refused_before_its_next_attempt_is_due() -> None:
    script = Script(step("a", retry_policy=QUICK))
    script.do("a", RETRYABLE)
    assert script.ask("a") is Refusal.NOT_DUE
    script.later(seconds=1.1)
    assert script.start("a") == 2


def test_a_claim_is_refused_once_the_saga_gives_up() -> None:
    script = Script(step("a"), step("b"), step("c", "a"), step("d", "b"))
    script.start("b")
    script.do("a", FOR_GOOD)
    assert script.ask("c") is Refusal.ENDED
    script.end("b")
    assert script.ask("d") is Refusal.ENDED
    assert script.ask("d", UNDO) is Refusal.NOT_READY


def test_an_undo_is_refused_while_the_saga_goes_forward() -> None:
    script = pair()
    script.do("a")
    assert script.ask("a", UNDO) is Refusal.ENDED


def test_an_undo_of_a_later_wave_is_not_ready_and_of_an_earlier_one_settled() -> None:
    script = Script(step("a"), step("b"), step("c"))
    script.do("a")
    script.do("b")
    assert script.do("c", FOR_GOOD).lines == (("b", "a"),)
    assert script.ask("a", UNDO) is Refusal.NOT_READY
    script.undo("b")
    assert script.ask("b", UNDO) is Refusal.SETTLED
    assert script.start("a", UNDO) == 1


# --- undoing


def test_undos_of_one_each_go_out_as_one_chain_and_a_wider_wave_apart() -> None:
    script = Script(
        *(step("a"), step("b"), step("c", "a", "b"), step("d", "c"), step("e", "d")),
        compensation_strategy="CASCADE",
    )
    for name in "abcd":
        script.do(name)
    assert script.do("e", FOR_GOOD).lines == (("d", "c"),)
    assert script.undo("d").lines == (("c",),)
    assert script.undo("c").lines == (("a",), ("b",))
    assert script.undo("a").lines == ()
    script.undo("b")
    assert script.types[-1] == "COMPENSATION_COMPLETED"


def test_a_saga_with_nothing_to_undo_is_compensated_in_the_same_decision() -> None:
    script = Script(step("a"), step("b"))
    script.do("a", FOR_GOOD)
    assert script.types[-3:] == [
        "STEP_FAILED",
        "COMPENSATION_STARTED",
        "COMPENSATION_COMPLETED",
    ]


@pytest.mark.parametrize(
    ("policy", "undone", "failed"),
    [("HALT", (), ("b",)), ("CONTINUE", ("a",), ("b",))],
)
def test_a_failing_undo_halts_the_others_or_lets_them_go_on(
    policy: str, undone: tuple[str, ...], failed: tuple[str, ...]
) -> None:
    script = Script(step("a"), step("b"), step("c"), on_compensation_failure=policy)
    script.do("a")
    script.do("b")
    script.do("c", FOR_GOOD)
    script.undo("b", FOR_GOOD)
    if policy == "CONTINUE":
        script.undo("a")
    status = execution_of(script.view)
    assert status.state is SagaState.COMPENSATION_FAILED
    assert (status.compensated_steps, status.failed_compensations) == (undone, failed)
    assert script.ask("a", UNDO) is Refusal.ENDED


def test_a_lost_undo_is_tried_again_whatever_the_policy_for_doing() -> None:
    script = Script(step("a", on_unknown="COMPENSATE", max_recoveries=1))
    script.do("a", LOST)
    script.undo("a", DUE_AT_ONCE)
    assert script.view.phase("a", UNDO).status is PhaseStatus.WAITING
    script.undo("a", DUE_AT_ONCE)
    assert script.view.state is SagaState.COMPENSATION_FAILED
    assert script.types.count("STEP_COMPENSATION_FAILED") == 2


def test_undoing_has_no_deadline_but_wakes_for_its_retries() -> None:
    script = Script(step("a", compensation_retry_policy=QUICK), step("b"))
    script.do("a")
    script.do("b", FOR_GOOD)
    assert wake_at(script.view) is None
    script.later(days=1)
    script.undo("a", RETRYABLE)
    due_at = script.view.phase("a", UNDO).due_at
    assert due_at is not None
    assert wake_at(script.view, script.now) == due_at + RETRY_SLACK
    assert script.look().lines == ()
    script.later(seconds=5)
    assert script.look().lines == (("a",),)


# --- the pivot


def with_pivot(**options: object) -> Script:
    return Script(
        step("a"),
        step("pivot", is_pivot=True, **options),
        step("b", compensation=None),
    )


def test_the_pivot_waits_for_steps_that_it_does_not_name() -> None:
    script = Script(
        step("a"),
        step("aside", compensation=None),
        step("pivot", "a", is_pivot=True),
    )
    assert script.do("a").lines == ()
    assert script.ask("pivot") is Refusal.NOT_READY
    assert script.do("aside").lines == (("pivot",),)


def test_giving_up_after_the_pivot_pauses_and_undoes_nothing() -> None:
    script = with_pivot()
    script.do("a")
    script.do("pivot")
    script.do("b", FOR_GOOD)
    assert script.view.state is SagaState.PAUSED
    assert script.view.paused_because == "gave up after the pivot"
    assert script.view.waves == ()


def test_a_pivot_of_unknown_outcome_pauses_and_is_unresolved() -> None:
    script = with_pivot()
    script.do("a")
    script.do("pivot", LOST)
    status = execution_of(script.view)
    assert (status.state, status.unresolved_steps) == (SagaState.PAUSED, ("pivot",))
    assert script.ask("b") is Refusal.ENDED


@pytest.mark.parametrize("strategy", ["BACKWARD", "SELECTIVE", "PARALLEL"])
def test_a_pivot_that_failed_cleanly_is_not_undone_itself(strategy: str) -> None:
    script = Script(
        step("a", metadata={"compensate": True}),
        step("pivot", is_pivot=True),
        compensation_strategy=strategy,
    )
    script.do("a")
    script.do("pivot", FOR_GOOD)
    assert script.view.waves == (("a",),)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (OK, SagaState.PAUSED),
        (FOR_GOOD, SagaState.COMPENSATING),
        (RETRYABLE, SagaState.COMPENSATING),
        (LOST, SagaState.PAUSED),
    ],
)
def test_a_timeout_while_the_pivot_runs_waits_for_its_outcome(
    outcome: Succeeded | Failed | Lost, state: SagaState
) -> None:
    script = Script(
        step("a"),
        step("pivot", is_pivot=True),
        step("b", compensation=None),
        timeout_ms=1_000,
    )
    script.do("a")
    script.start("pivot")
    script.later(seconds=2)
    script.look()
    assert script.types[-1] == "SAGA_TIMED_OUT"
    assert script.view.state is SagaState.RUNNING
    script.end("pivot", outcome)
    assert script.view.state is state


# --- time


def test_a_saga_out_of_time_undoes_what_it_did() -> None:
    script = pair(timeout_ms=1_000)
    script.do("a")
    script.later(seconds=1)
    decision = script.look()
    assert script.types[-2:] == ["SAGA_TIMED_OUT", "COMPENSATION_STARTED"]
    assert decision.lines == (("a",),)
    status = execution_of(script.view)
    assert (status.failed_step, status.error) == (None, None)


def test_an_outcome_at_the_deadline_counts_and_the_timeout_follows() -> None:
    script = pair(timeout_ms=1_000)
    script.start("a")
    script.later(seconds=2)
    script.end("a")
    assert script.types == [
        "STEP_STARTED",
        "STEP_COMPLETED",
        "SAGA_TIMED_OUT",
        "COMPENSATION_STARTED",
    ]


def test_the_last_step_may_complete_a_saga_whose_time_is_over() -> None:
    script = Script(step("a"), timeout_ms=1_000)
    script.start("a")
    script.later(seconds=2)
    script.look()
    script.end("a")
    assert script.view.state is SagaState.COMPLETED


def test_a_saga_that_only_waits_is_looked_at_by_its_deadline() -> None:
    script = pair(timeout_ms=60_000)
    script.start("a")
    at = check_after_claim(script.view, "a", DO, script.now)
    assert at == script.view.deadline
    assert script.look().check_at == script.view.deadline


def test_a_claim_leaves_the_others_in_the_sweeps_sight() -> None:
    script = Script(step("a"), step("b"), step("c", "a", "b"))
    assert check_after_claim(script.view, "a", DO, T0) == T0 + RESEND_AFTER
    script.do("a")
    script.do("b")
    script.do("c", FOR_GOOD)
    assert check_after_claim(script.view, "b", UNDO, T0) is None


def test_a_retry_that_is_overdue_is_sent_again_like_any_message() -> None:
    script = Script(step("a", retry_policy=QUICK))
    script.do("a", RETRYABLE)
    now = script.later(seconds=60)
    decision = script.look()
    assert decision.lines == (("a",),)
    # Sent when it was due, 10 s later, 20 s after that, and now 40 s after that.
    assert decision.check_at == T0 + timedelta(milliseconds=1_001, seconds=70)
    assert wake_at(script.view, now) == script.view.deadline


def test_time_alone_moves_no_saga_that_is_final_or_waits_for_what_runs() -> None:
    script = Script(step("a"), step("b"))
    script.start("a")
    script.later(hours=2)
    script.look()
    assert script.view.cause == {"reason": "timeout"}
    assert wake_at(script.view, script.now) is None
    script.end("a", FOR_GOOD)
    assert script.view.state is SagaState.COMPENSATED
    assert wake_at(script.view, script.now) is None


def test_advancing_asks_the_events_only() -> None:
    script = pair()
    script.do("a")
    assert advance(script.view, script.now) == advance(script.view, script.now)


def test_a_busy_branch_does_not_put_off_the_resend_of_another() -> None:
    script = Script(step("lost"), step("b1"), step("b2", "b1"), step("b3", "b2"))
    script.start("b1")
    script.later(seconds=9)
    decision = script.end("b1")
    assert decision.check_at == T0 + RESEND_AFTER
