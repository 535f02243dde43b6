"""What a caller who waits for a saga is told of its end."""

from __future__ import annotations

import pytest

from orchestration.core.saga.acts import Who, cancel, pause
from orchestration.core.saga.ends import is_on_its_way, result_or_raise, still_running
from orchestration.core.saga.execution import execution_of
from orchestration.core.saga.outcomes import Succeeded
from orchestration.errors import (
    SagaCancelled,
    SagaCompensated,
    SagaCompensationFailed,
    SagaFailed,
    SagaNotCompleted,
    SagaPaused,
)
from tests.unit.scripted import FOR_GOOD, Script, step

ANN = Who("ann")


def ended(**options: object) -> Script:
    """Return a saga whose second step failed for good."""
    pivot = {"is_pivot": True} if options.pop("pivot", False) else {}
    last = step("b", compensation=None)
    script = Script(step("a", **pivot), last, **options)
    script.do("a")
    script.do("b", FOR_GOOD)
    return script


def told(script: Script) -> SagaNotCompleted:
    with pytest.raises(SagaNotCompleted) as caught:
        result_or_raise(execution_of(script.view))
    return caught.value


def test_a_completed_saga_gives_its_result() -> None:
    script = Script(step("a"))
    script.do("a", Succeeded({"euros": 3}))
    assert result_or_raise(execution_of(script.view)) == {"euros": 3}


def test_each_other_end_has_an_error_that_names_step_and_cause() -> None:
    undone, broken = ended(), ended()
    undone.undo("a")
    broken.undo("a", FOR_GOOD)
    for script, kind in (
        (undone, SagaCompensated),
        (broken, SagaCompensationFailed),
        (ended(on_failure="HALT"), SagaFailed),
        (ended(pivot=True), SagaPaused),
    ):
        error = told(script)
        assert type(error) is kind
        assert str(error).endswith("step 'b' gave up (ValueError: no)")
        assert error.status.failed_step == "b"


def test_a_saga_out_of_time_says_so() -> None:
    script = Script(step("a"), timeout_ms=1_000)
    script.later(seconds=2)
    script.look()
    assert str(told(script)).endswith("the saga gave up (timeout: out of time)")


def test_a_cancelled_saga_is_told_apart_once_it_is_undone() -> None:
    script = Script(step("a"), step("b"))
    script.do("a")
    script.act(cancel, ANN)
    script.undo("a")
    assert type(told(script)) is SagaCancelled
    assert str(told(script)) == "saga t was cancelled and has been undone"


def test_a_pause_by_people_is_no_end() -> None:
    script = Script(step("a"))
    assert is_on_its_way(execution_of(script.view))
    script.act(pause, ANN)
    assert is_on_its_way(execution_of(script.view))
    assert not is_on_its_way(execution_of(ended(pivot=True).view))


def test_a_wait_that_ends_first_says_that_the_saga_goes_on() -> None:
    text = "saga t still runs after 50 ms; it goes on"
    assert str(still_running("t", 50)) == text
