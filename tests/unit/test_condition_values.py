"""What conditions look at: JSON, as much of it as is allowed, and nothing else."""

from __future__ import annotations

import inspect
import sys
from collections import ChainMap, OrderedDict, defaultdict
from collections.abc import Callable
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from orchestration.core.condition_values import MAX_DATA_DEPTH, MAX_WORK
from orchestration.core.conditions import compile_condition, condition_fault


def words_of(text: str, **values: Any) -> str | None:
    return compile_condition(text).outcome(values)[1]


class Level(StrEnum):
    HIGH = "high"


OVER = f"more than {MAX_WORK} values would have to be looked at"


def test_the_work_of_an_evaluation_is_bounded() -> None:
    numbers = list(range(MAX_WORK))
    assert words_of("'x' in n", n=numbers) is None
    assert words_of("'x' in n", n=[*numbers, 1]) == OVER
    assert words_of("'x' in n or 'y' in n", n=numbers) == OVER
    half = numbers[: MAX_WORK // 2]
    assert words_of("a == b", a=half, b=list(half)) is None
    assert words_of("a == b", a=half, b=[*half, 1]) == OVER
    assert words_of("a == b", a={"k": half}, b={"k": half}) == OVER
    assert words_of("a == b", a=[half, half], b=1) == OVER
    assert words_of("a == 'x' or a", a=[*numbers, 1]) is None


def test_the_length_of_a_searched_text_counts() -> None:
    size = "".__sizeof__()
    text = "a" * (MAX_WORK * 64 - size)
    assert words_of("'b' in t", t=text) is None
    assert words_of("'b' in t", t=text + "a" * 64) == OVER
    assert words_of("a == t", t=text + "a" * 64, a="") == OVER
    assert words_of("t.startswith(p)", t="a", p=text + "a" * 64) == OVER
    assert words_of("p in t", t=["a"] * 200, p="a" * 10**6) == OVER
    assert words_of("n == t", t=1, n=10**1_600_000) == OVER
    assert words_of("t == 'b'", t=text * 10) is None


def test_what_is_nested_too_deep_is_not_compared() -> None:
    at = deep(MAX_DATA_DEPTH)
    over = f"a value is nested more than {MAX_DATA_DEPTH} deep"
    assert words_of("a == b", a=at, b=deep(MAX_DATA_DEPTH)) is None
    assert words_of("a == b", a=[at], b=1) == over
    assert words_of("a in b", a=at, b=[[at]]) == over
    assert words_of("a == b", a=[at, Level.HIGH], b=1) == over
    loop: list[Any] = []
    loop.append(loop)
    assert words_of("a == b", a=loop, b=loop) == over


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class Count(IntEnum):
    TWO = 2


class Share(float):
    pass


def test_members_of_enums_are_read_as_json_writes_them() -> None:
    values = {"level": Level.HIGH, "p": {"n": Count.TWO, "s": Share(0.5)}}
    text = "level == 'high' and p['n'] < 3 and p.get('s') == 0.5"
    assert compile_condition(text).outcome(values) == (True, None)
    assert compile_condition("p == {'n': 2, 's': 0.5}").matches(values)
    assert compile_condition("'high' in x").matches({"x": [Level.HIGH]})
    assert compile_condition("x == y").matches({"x": {Level.HIGH: 1}, "y": {"high": 1}})
    nested = {"x": [{"a": [Level.HIGH, 1]}], "y": [{"a": ["high", 1]}]}
    assert compile_condition("x == y").matches(nested)
    assert nested["x"][0]["a"][0] is Level.HIGH
    assert words_of("x == 'a'", x=type("S", (str,), {})("a" * 10**6)) == OVER


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(object(), id="object"),
        ("a",),
        {"a"},
        frozenset("a"),
        b"a",
        bytearray(b"a"),
        1j,
        range(3),
        OrderedDict(a=1),
        defaultdict(int),
        type("L", (list,), {})(),
        int,
        len,
        ...,
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "text",
    [
        "x",
        "x == 'a'",
        "x == y",
        "y == x",
        "'a' in x",
        "y in x",
        "x in y",
        "x['a'] == 1",
        "x.get('a') == 1",
        "p.get('a') == 1",
        "p['a'] == 1",
        "q[0] == 1",
        "p == y",
        "y in q",
        "1 in q",
        "len(x) == 1",
        "x.startswith('a')",
        "not x",
        "x is not None",
    ],
)
def test_what_json_does_not_have_is_not_looked_at(foreign: Any, text: str) -> None:
    values = {"x": foreign, "y": [1], "p": {"a": foreign}, "q": [foreign]}
    matches, error = compile_condition(text).outcome(values)
    assert not matches
    assert error is not None
    assert "is no JSON value" in error


@pytest.mark.parametrize(
    "values",
    [
        MappingProxyType({"a": 1}),
        ChainMap({}, {"a": 1}),
        OrderedDict(a=1),
        defaultdict(int, a=1),
    ],
    ids=lambda values: type(values).__name__,
)
def test_the_values_may_be_any_mapping(values: Any) -> None:
    assert compile_condition("a == 1").outcome(values) == (True, None)
    assert compile_condition("b == 0").outcome(values) == (False, "there is no 'b'")
    assert dict(values) == {"a": 1}


@pytest.mark.parametrize("values", [None, 5, [], "a"])
def test_values_that_are_no_mapping_match_nothing(values: Any) -> None:
    matches, error = compile_condition("a == 1").outcome(values)
    assert not matches
    assert error


def test_a_foreign_key_of_the_hash_that_is_asked_for_is_at_worst_no_match() -> None:
    class Key:
        def __hash__(self) -> int:
            return hash("a")

        def __eq__(self, other: object) -> bool:
            raise NotImplementedError("this key cannot be compared")

    values = {"p": {Key(): 1}}
    for text in ("p.get('a') == 1", "p['a'] == 1", "'a' in p"):
        matches, error = compile_condition(text).outcome(values)
        assert not matches
        assert error == "this key cannot be compared"
    assert "is no JSON value" in str(words_of("p == q", p=values["p"], q={"a": 1}))


def at_the_end_of_the_stack(free: int, ask: Callable[[], Any]) -> Any:
    """Return what ``ask`` returns where the stack has few frames left."""

    def down(levels: int) -> Any:
        return down(levels - 1) if levels else ask()

    return down(sys.getrecursionlimit() - len(inspect.stack(0)) - free)


def test_a_caller_whose_stack_is_nearly_full_gets_an_error_of_ours() -> None:
    text = "[" * 19 + "]" * 19 + " == x"
    fault = at_the_end_of_the_stack(35, lambda: condition_fault(text))
    assert "Python could not compile it here (RecursionError)" in fault
    condition = compile_condition(text)
    deep_lists = {"x": deep(18)}
    assert condition.matches(deep_lists)
    matches, words = at_the_end_of_the_stack(15, lambda: condition.outcome(deep_lists))
    assert not matches
    assert "recursion" in words


def test_an_error_without_words_is_named_by_its_class() -> None:
    class Silent(dict):  # type: ignore[type-arg]
        def get(self, *_: Any) -> Any:
            raise NotImplementedError

    assert compile_condition("a").outcome(Silent()) == (False, "NotImplementedError")
