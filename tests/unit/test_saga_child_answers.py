"""What a child saga's end means for the step that runs it."""

from __future__ import annotations

import pytest

from orchestration.core.saga.acts import Who, undo
from orchestration.core.saga.children import answer_of, child_start
from orchestration.core.saga.outcomes import Failed, Lost, Succeeded
from tests.unit.scripted import DO, FOR_GOOD, UNDO, Script, step


def broken(outcome: object) -> Script:
    script = Script(step("a"), step("b"))
    script.do("a")
    script.do("b", FOR_GOOD)
    script.undo("a", outcome)
    return script


def test_a_child_on_its_way_answers_nothing() -> None:
    script = Script(step("a"))
    assert answer_of(script.view, DO) is None
    assert answer_of(script.view, UNDO) is None


def test_a_completed_child_answers_with_its_result() -> None:
    script = Script(step("a"))
    script.do("a", Succeeded({"seat": "4a"}))
    assert answer_of(script.view, DO) == Succeeded({"seat": "4a"})


def test_a_child_that_was_undone_failed_cleanly_and_one_that_was_not_is_in_doubt() -> (
    None
):
    undone, left = broken(Succeeded({})).view, broken(FOR_GOOD).view
    message = "saga t is COMPENSATED: no"
    error = {"type": "ValueError", "message": message}
    assert answer_of(undone, DO) == Failed(error, retryable=False)
    assert isinstance(answer_of(left, DO), Lost)
    assert answer_of(undone, UNDO) == Succeeded({})
    failed = answer_of(left, UNDO)
    assert isinstance(failed, Failed)
    assert not failed.retryable


def test_a_child_past_its_pivot_cannot_be_undone_with_its_step() -> None:
    script = Script(step("p", is_pivot=True))
    script.do("p")
    answer = answer_of(script.view, UNDO)
    assert isinstance(answer, Failed)
    assert answer.error["type"] == "PivotCommitted"
    assert answer.error["message"] == "saga t is past its point of no return"


def test_a_child_that_is_being_undone_has_not_answered_yet() -> None:
    script = Script(step("a"))
    script.do("a")
    script.act(undo, Who("saga parent"))
    assert answer_of(script.view, UNDO) is None
    script.undo("a")
    assert answer_of(script.view, UNDO) == Succeeded({})


def test_only_a_step_that_runs_a_saga_begins_one() -> None:
    with pytest.raises(TypeError, match="step 'a' runs no saga"):
        child_start(Script(step("a")).view, "a", "child")
