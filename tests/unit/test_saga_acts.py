"""What operators' acts mean, told case by case."""

from __future__ import annotations

from orchestration.core.saga.acts import Who, cancel, undo
from orchestration.core.saga.model import SagaState
from tests.unit.scripted import Script, step

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
