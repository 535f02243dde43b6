"""What JSON can hold, and how a fault shows what it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.jsonable import is_number, is_whole, json_fault, shown
from tests.unit.profiles import examples

LONG = 10**5_000


@pytest.mark.parametrize("value", [0, -(2**53) + 1, 2**53 - 1])
def test_whole_numbers_are_kept_exactly(value: int) -> None:
    assert is_whole(value)
    assert is_number(value)


@pytest.mark.parametrize("value", [True, None, "1", 2**53, 1.0])
def test_these_are_no_whole_numbers(value: object) -> None:
    assert not is_whole(value)


@pytest.mark.parametrize("value", [True, float("nan"), float("inf"), 2**53, "1"])
def test_these_are_no_numbers(value: object) -> None:
    assert not is_number(value)


def test_any_value_can_be_shown() -> None:
    assert shown("x") == "'x'"
    assert shown(LONG) == "a number too long to show"
    assert len(shown(["x" * 10_000] * 10_000)) < 300


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        pytest.param({"a": LONG}, "x['a'] is a number too long to show", id="long"),
        pytest.param({LONG: 1}, "x is a number too long to show", id="long-key"),
        ({"a": [1, {2}]}, "x['a'][1] is {2}"),
        ({"a": "\ud800"}, "x['a'] is '\\ud800'"),
        ({"\ud800": 1}, "x is {'\\ud800': 1}"),
        ({1: 2}, "x is {1: 2}"),
        (b"a", "x is b'a'"),
    ],
)
def test_what_json_has_no_word_for_is_named(value: object, fault: str) -> None:
    assert json_fault(value, "x") == f"{fault}: use what JSON can hold"


def test_what_is_nested_without_end_is_named() -> None:
    value: Any = []
    value.append(value)

    assert "is nested more than 50 deep: flatten it" in (json_fault(value, "x") or "")


@examples(100)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_what_json_can_hold_has_no_fault_and_comes_back(value: object) -> None:
    assert json_fault(value, "x") is None
    assert json.loads(json.dumps(value)) == value
