"""Laws of conditions, for any text and any values; Python's own eval is the judge."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.core.conditions import (
    Condition,
    compile_condition,
    condition_fault,
)
from orchestration.errors import InvalidCondition
from tests.unit.drawn_conditions import CONDITIONS, EXPRESSIONS, TEXTS, VALUES
from tests.unit.hostile_conditions import REFUSED

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover

Values = Mapping[str, Any]
EDITS = st.lists(st.tuples(st.integers(0, 200), st.characters() | TEXTS), max_size=3)
SHORT = st.sampled_from([text[:200] for _, text, _ in REFUSED])


def compiled(text: str) -> Condition | None:
    """Return the condition, or None for what is refused; anything else is raised."""
    try:
        return compile_condition(text)
    except InvalidCondition as error:
        told, place = str(error), error.position
    assert told.isprintable()
    assert 1 <= place <= len(text) + 1
    return None


def asked(condition: Condition, values: Values) -> tuple[bool, str | None]:
    """Return the outcome, having seen that the values are what they were."""
    before = json.dumps(values)
    outcome = condition.outcome(values)
    assert json.dumps(values) == before
    assert condition.outcome(values) == outcome
    assert condition.matches(values) is outcome[0]
    return outcome


def refused_or_answered(text: str, values: Values) -> None:
    if condition := compiled(text):
        matches, error = asked(condition, values)
        assert not (matches and error)


@settings(max_examples=600)
@given(TEXTS, VALUES)
def test_any_text_is_refused_or_answered(text: str, values: Values) -> None:
    refused_or_answered(text, values)


@settings(max_examples=400)
@given(EXPRESSIONS, VALUES)
def test_any_expression_is_refused_or_answered(text: str, values: Values) -> None:
    refused_or_answered(text, values)


@settings(max_examples=400)
@given(SHORT | CONDITIONS, EDITS, VALUES)
def test_any_change_of_a_text_is_refused_or_answered(
    text: str, edits: list[tuple[int, str]], values: Values
) -> None:
    for place, new in edits:
        text = text[:place] + new + text[place + 1 :]
    refused_or_answered(text, values)


def by_python(text: str, values: Values) -> tuple[bool, bool]:
    """Return whether Python calls the expression true, and whether it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what can only fail, such as 1['a']
        try:
            found = eval(text, {"__builtins__": {"len": len}}, values)
        except Exception:  # noqa: BLE001  any error there is one here
            return False, True
    return bool(found), False


@settings(max_examples=1_200)
@given(CONDITIONS, VALUES)
def test_conditions_mean_what_they_mean_in_python(text: str, values: Values) -> None:
    if condition := compiled(text):
        matches, error = asked(condition, values)
        assert (matches, error is not None) == by_python(text, values)


@given(CONDITIONS)
def test_what_is_drawn_as_a_condition_is_one(text: str) -> None:
    assert (fault := condition_fault(text)) is None or "more than 20 deep" in fault
