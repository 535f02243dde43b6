"""What operators' acts mean, told case by case."""

from __future__ import annotations

from orchestration.core.saga.acts import (
    Who,
    cancel,
    pause,
    replay,
    resume,
    retry,
    skip,
    undo,
)
from orchestration.core.saga.decide import Refusal
from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.undoing import failed_undos, newly_failed_undos
from tests.unit.scripted import FOR_GOOD, UNDO, Script, step

ANN = Who("ann")


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
