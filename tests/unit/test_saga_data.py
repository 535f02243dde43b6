"""What steps and compensations are given, and what a saga returns."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.core.saga.data import ancestor_outputs, saga_result, step_input
from orchestration.core.saga.outcomes import Succeeded
from orchestration.errors import DataConflict
from tests.unit.scripted import DO, FOR_GOOD, LOST, UNDO, Script, step


def run(script: Script, **outputs: dict[str, Any]) -> Script:
    for name, output in outputs.items():
        script.do(name, Succeeded(output))
    return script


def diamond(**outputs: dict[str, Any]) -> Script:
    steps = step("a"), step("b", "a"), step("c", "a"), step("join", "b", "c")
    return run(Script(*steps, data={"x": 0, "seed": 1}), **outputs)


def test_a_step_gets_the_initial_data_overlaid_by_its_ancestors() -> None:
    script = diamond(a={"x": 1}, b={"y": 2}, c={"z": 3})
    assert step_input(script.view, "a", DO) == {"x": 0, "seed": 1, "steps": {}}
    assert step_input(script.view, "b", DO) == {
        "x": 1,
        "seed": 1,
        "steps": {"a": {"x": 1}},
    }
    joined = step_input(script.view, "join", DO)
    assert (joined["x"], joined["y"], joined["z"]) == (1, 2, 3)
    assert joined["steps"] == {"a": {"x": 1}, "b": {"y": 2}, "c": {"z": 3}}


def test_later_ancestors_overlay_earlier_ones() -> None:
    script = diamond(a={"x": 1}, b={"x": 2}, c={"z": 3})
    assert step_input(script.view, "join", DO)["x"] == 2


def test_two_unordered_ancestors_may_not_write_one_key_differently() -> None:
    script = diamond(a={}, b={"k": 1}, c={"k": 2})
    with pytest.raises(DataConflict, match=r"'join': 'b' and 'c' both wrote 'k'"):
        step_input(script.view, "join", DO)
    assert ancestor_outputs(script.view, "join")["c"] == {"k": 2}


def test_two_unordered_ancestors_may_agree() -> None:
    script = diamond(a={"k": 0}, b={"k": 1}, c={"k": 1})
    assert step_input(script.view, "join", DO)["k"] == 1


def test_a_conflict_with_an_earlier_writer_is_not_hidden_by_a_later_one() -> None:
    """``b`` follows ``a`` and agrees; ``c`` follows ``b`` but has no order to it."""
    script = Script(
        step("a"), step("b"), step("c", "b"), step("join", "a", "c"), data={}
    )
    run(script, a={"k": 1}, b={"k": 1}, c={"k": 2})
    with pytest.raises(DataConflict, match="'a' and 'c'"):
        step_input(script.view, "join", DO)


def test_the_pivot_gets_what_every_step_before_it_returned() -> None:
    script = Script(
        step("a"), step("aside", compensation=None), step("p", "a", is_pivot=True)
    )
    run(script, a={"x": 1}, aside={"y": 2})
    assert step_input(script.view, "p", DO)["y"] == 2


def test_a_compensation_gets_its_steps_input_and_over_it_the_output() -> None:
    script = Script(step("a"), step("b"), step("c"), data={"seed": 1})
    run(script, a={"x": 1}, b={"x": 2, "id": "b1"})
    script.do("c", FOR_GOOD)
    assert step_input(script.view, "b", UNDO) == {
        "seed": 1,
        "x": 2,
        "id": "b1",
        "steps": {"a": {"x": 1}, "b": {"x": 2, "id": "b1"}},
    }


def test_a_compensation_of_an_unknown_outcome_has_no_output_to_go_by() -> None:
    script = Script(step("a", on_unknown="COMPENSATE"), data={"seed": 1})
    script.do("a", LOST)
    assert step_input(script.view, "a", UNDO) == {"seed": 1, "steps": {"a": {}}}


def test_a_compensation_is_given_its_data_even_where_ancestors_disagree() -> None:
    script = diamond(a={}, b={"k": 1}, c={"k": 2})
    script.do("join", FOR_GOOD)
    assert step_input(script.view, "join", UNDO)["k"] in (1, 2)


def test_the_result_overlays_all_outputs_in_dependency_order() -> None:
    script = diamond(a={"x": 1, "a": 1}, b={"x": 2}, c={"z": 3}, join={"x": 4})
    assert saga_result(script.view) == {"x": 4, "a": 1, "z": 3}
