"""Hostile conditions are refused, or answered in bounds and without foreign code."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from orchestration.core.condition_grammar import MAX_NODES
from orchestration.core.condition_values import MAX_WORK
from orchestration.core.conditions import compile_condition
from orchestration.errors import InvalidCondition
from tests.unit.hostile_conditions import BOUNDED, REFUSED, Trap


def test_the_corpus_is_large_and_has_no_text_twice_among_the_refused() -> None:
    refused = [text for _, text, _ in REFUSED]
    assert len(set(refused)) == len(refused) >= 100
    assert len(BOUNDED) >= 50


@pytest.mark.parametrize(
    ("text", "words"),
    [pytest.param(text, words, id=why) for why, text, words in REFUSED],
)
def test_it_is_refused_for_its_reason(text: str, words: str) -> None:
    with pytest.raises(InvalidCondition) as caught:
        compile_condition(text)
    error = caught.value
    assert 1 <= error.position <= len(text) + 1
    fault = str(error).split(f"at character {error.position}: ")[1]
    assert words in fault.split("; a condition is made of")[0]
    assert str(error).isprintable()
    assert len(str(error)) < 1_000


@pytest.mark.parametrize(
    ("text", "values", "error"),
    [pytest.param(*case, id=why) for why, *case in BOUNDED],
)
def test_it_is_bounded(text: str, values: dict[str, Any], error: str | None) -> None:
    before = Trap.sprung
    matches, words = compile_condition(text).outcome(values)
    assert Trap.sprung == before
    if error is None:
        assert words is None
    else:
        assert not matches
        assert words is not None
        assert error in words


def test_traps_work() -> None:
    before = Trap.sprung
    with pytest.raises(SystemExit):
        assert Trap() == 1
    assert Trap.sprung == before + 1
    Trap.sprung = before


@pytest.mark.parametrize(
    ("text", "values"),
    [pytest.param(text, values, id=why) for why, text, values, _ in BOUNDED],
)
def test_no_evaluation_calls_more_than_its_size_and_the_values_allow(
    text: str, values: dict[str, Any]
) -> None:
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    condition = compile_condition(text)
    sys.setprofile(count)
    try:
        condition.outcome(values)
    finally:
        sys.setprofile(None)
    # A node of the text calls two functions at most, a value that is looked at three.
    assert calls <= 2 * MAX_NODES + 3 * MAX_WORK
