"""What operators' acts mean, told case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.core.saga.acts import (
    Who,
    cancel,
    pause,
    replay,
    resolve,
    resume,
    retry,
    skip,
    undo,
)
from orchestration.core.saga.decide import Refusal
from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.model import Direction, SagaState
from orchestration.core.saga.outcomes import Outcome, Succeeded
from orchestration.core.saga.undoing import failed_undos, newly_failed_undos
from tests.unit.scripted import FOR_GOOD, LOST, RETRYABLE, T0, UNDO, Script, step

ANN = Who("ann")
PROBE = Direction.PROBE


def test_a_cancel_while_the_last_step_runs_undoes_all_of_it() -> None:
    script = Script(step("a"), step("b"))
    script.do("a")
    script.start("b")
    script.act(cancel, ANN)
    script.end("b")
    assert script.view.waves == (("b",), ("a",))


def test_a_last_step_that_is_the_pivot_has_the_cancel_refused() -> None:
    script = Script(step("a"), step("b", is_pivot=True))
    script.do("a")
    script.start("b")
    script.act(cancel, ANN)
    script.end("b")
    assert script.types[-2:] == ["SAGA_CANCEL_REFUSED", "SAGA_COMPLETED"]


def test_a_completed_saga_is_undone_with_its_parent() -> None:
    script = Script(step("a"), step("b"))
    script.do("a")
    script.do("b")
    script.act(undo, ANN)
    assert (script.view.state, script.view.waves) == (
        SagaState.COMPENSATING,
        (("b",), ("a",)),
    )


@pytest.mark.parametrize("outcome", [LOST, FOR_GOOD])
def test_a_step_that_took_effect_does_not_hide_that_its_sibling_did_not_end_well(
    outcome: Outcome,
) -> None:
    unknown = {"on_unknown": "ESCALATE"}
    script = Script(step("a", **unknown), step("b", **unknown), step("end", "a", "b"))
    script.start("a")
    script.start("b")
    script.end("a", LOST)
    script.end("b", outcome)
    script.act(resolve, ANN, step="a", happened=True)
    assert script.view.cause is not None
    assert script.view.cause["step"] == "b"
    state = SagaState.PAUSED if outcome is LOST else SagaState.COMPENSATING
    assert script.view.state is state


def test_timers_stand_still_while_a_saga_is_paused_and_begin_anew_after_it() -> None:
    policy = {"backoff_ms": 4_999, "jitter": 0.0}
    before = step("before", retry_policy=policy)
    within = step("within", retry_policy=policy)
    script = Script(before, within, step("end", "before", "within"))
    script.start("within")
    script.do("before", RETRYABLE)  # due after 5 s
    script.later(seconds=2)
    script.act(pause, ANN)
    script.later(seconds=60)
    script.end("within", RETRYABLE)
    script.later(seconds=40)
    script.act(resume, ANN)
    resumed_at = script.now
    assert script.view.do_of("before").due_at == resumed_at + timedelta(seconds=3)
    assert script.view.do_of("within").due_at == resumed_at + timedelta(seconds=5)
    assert script.view.deadline == T0 + timedelta(hours=1, seconds=100)


def test_a_step_that_was_not_done_is_tried_at_once_after_a_pause() -> None:
    script = Script(step("a", probe="look"))
    script.do("a", LOST)
    script.start("a", PROBE)
    script.act(pause, ANN)
    script.later(seconds=60)
    script.end("a", Succeeded({"happened": False}), PROBE)
    script.later(seconds=60)
    assert script.act(resume, ANN).lines == (("a",),)


def test_a_resumed_saga_that_lacks_its_locks_asks_for_them_at_once() -> None:
    script = Script(step("a"), locks=["door"])
    assert script.look().attends
    script.act(pause, ANN)
    assert script.act(resume, ANN).attends


def test_a_saga_that_is_undone_again_needs_its_locks_again() -> None:
    script = Script(step("a"), step("b"), locks=["door"])
    script.record([NewFact(EventType.LOCKS_ACQUIRED, {"locks": {"door": 1}})])
    script.do("a")
    script.do("b", FOR_GOOD)
    script.undo("a")
    replayed = script.act(replay, ANN)
    assert (replayed.attends, replayed.lines) == (True, ())
    assert script.ask("a", UNDO) is Refusal.NOT_READY
    script.record([NewFact(EventType.LOCKS_ACQUIRED, {"locks": {"door": 3}})])
    assert script.look().lines == (("a",),)


def test_a_rewind_goes_on_after_its_failed_undo_is_settled() -> None:
    script = Script(step("a"), step("b"), step("c"), on_failure="HALT")
    script.do("a")
    script.do("b")
    script.do("c", FOR_GOOD)
    script.act(retry, ANN, from_step="b")
    script.undo("b", FOR_GOOD)
    assert script.view.state is SagaState.COMPENSATION_FAILED
    script.act(skip, ANN, step="b")
    assert script.types[-2:] == ["COMPENSATION_SKIPPED", "SAGA_RETRIED"]
    assert script.view.do_of("b").round == 2


def test_an_undo_that_was_not_tried_again_has_not_failed_anew() -> None:
    script = Script(step("a"), step("b"), step("c"), on_compensation_failure="CONTINUE")
    script.do("a")
    script.do("b")
    script.do("c", FOR_GOOD)
    script.undo("b", FOR_GOOD)
    script.undo("a", FOR_GOOD)
    assert newly_failed_undos(script.view) == ("b", "a")
    script.act(retry, ANN, from_step="a")
    script.undo("a", FOR_GOOD)
    assert failed_undos(script.view) == ("b", "a")
    assert newly_failed_undos(script.view) == ("a",)


def test_a_replay_from_a_later_step_does_not_pass_over_what_failed() -> None:
    script = Script(step("a"), step("b"), step("c"), on_compensation_failure="CONTINUE")
    script.do("a")
    script.do("b")
    script.do("c", FOR_GOOD)
    script.undo("b", FOR_GOOD)
    script.undo("a")
    script.act(replay, ANN, from_step="a")
    assert script.view.waves == (("b",), ("a",))
    script.undo("b", FOR_GOOD)
    script.undo("a")
    assert script.view.state is SagaState.COMPENSATION_FAILED
