"""Steps that need no agent: those that cannot begin fail with a reason."""

from __future__ import annotations

import pytest

from orchestration.core.saga.decide import advance
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.forward import MAX_ITEMS
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.outcomes import Succeeded
from tests.unit.scripted import Script, step


def test_a_list_has_a_bound() -> None:
    items = {"items": [0] * (MAX_ITEMS + 1)}
    script = Script(step("each", map="items"), data=items)
    script.look()
    assert script.view.state is SagaState.COMPENSATED
    assert script.view.do_of("each").error == {
        "type": "TooManyItems",
        "message": "step 'each' maps 'items', which has 1001 items: at most 1000; "
        "split the list, or use a swarm",
    }


@pytest.mark.parametrize(
    ("data", "found"), [({}, "nothing"), ({"items": "abc"}, "str")]
)
def test_what_is_no_list_is_not_mapped(data: dict[str, object], found: str) -> None:
    script = Script(step("each", map="items"), data=data)
    script.look()
    message = f"step 'each' maps 'items', which is {found}, not a list"
    assert script.view.do_of("each").error == {"type": "NoList", "message": message}


def test_an_empty_list_is_gathered_at_once() -> None:
    script = Script(step("each", map="items"), data={"items": []})
    script.look()
    assert script.types == ["STEP_EXPANDED", "STEP_GATHERED", "SAGA_COMPLETED"]


def test_a_condition_over_data_in_conflict_fails_its_step() -> None:
    script = Script(step("a"), step("b"), step("join", "a", "b", when="x == 1"))
    script.do("a", Succeeded({"x": 1}))
    script.do("b", Succeeded({"x": 2}))
    error = script.view.do_of("join").error
    assert error["type"] == "DataConflict"
    assert "'a' and 'b' both wrote 'x'" in error["message"]


def test_a_condition_that_cannot_be_answered_passes_its_step_over() -> None:
    script = Script(step("a", when="nobody_knows > 1"))
    assert advance(script.view, script.now).facts[0].data["problem"]


def test_a_view_has_no_fields_but_its_own() -> None:
    script = Script(step("a"))
    with pytest.raises(TypeError, match=r"SagaView has no \['states'\]"):
        evolve(script.view, states=1)
