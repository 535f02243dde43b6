"""Rules: what is refused, in which order they are asked, and how they are found."""

from __future__ import annotations

import copy
from collections import UserDict
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.conditions import compile_condition
from orchestration.core.messaging.model import Message, Priority
from orchestration.core.routing.checks import CONDITION_NAMES, rule_faults
from orchestration.core.routing.model import RouteRule, RoutingStrategy
from orchestration.core.routing.rules import RuleIndex, values_of
from orchestration.core.routing.table import RouteTable
from orchestration.errors import InvalidRoute
from tests.unit.profiles import examples
from tests.unit.routed import message


def rule(name: str, condition: str | None = None, priority: int = 0) -> RouteRule:
    return RouteRule(name, priority, condition, targets=["agent-a"])


def table(*rules: RouteRule) -> RouteTable:
    made = RouteTable()
    for one in rules:
        made = made.with_rule(one)
    return made


def taken_by(made: RouteTable, sent: Message) -> str | None:
    found = made.route(sent)
    return found and found.name


def test_a_rule_is_written_as_in_the_example() -> None:
    made = RouteRule(
        name="route_carbon_calculations",
        priority=100,
        condition="payload.get('task_type') == 'carbon_calculation'",
        targets=["agent-calc-001", "agent-calc-002", "agent-calc-003"],
        strategy=RoutingStrategy.LEAST_LOADED,
    )
    assert rule_faults(made) == ()
    assert made.targets == ("agent-calc-001", "agent-calc-002", "agent-calc-003")
    assert RouteRule(**made.to_json()) == made


def test_a_plain_name_of_a_strategy_is_one() -> None:
    made = RouteRule("r", targets="agent-a", strategy="round_robin")
    assert made.strategy is RoutingStrategy.ROUND_ROBIN
    assert made.targets == ("agent-a",)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "name ''"),
        ({"name": "a\n"}, "printable"),
        ({"priority": "high"}, "whole number"),
        ({"priority": True}, "whole number"),
        ({"enabled": "yes"}, "True or False"),
        ({"strategy": "FASTEST"}, "use one of ROUND_ROBIN"),
        ({"strategy": 7}, "strategy 7"),
        ({"condition": "payload.pop('x')"}, "pop"),
        ({"condition": "salary > 3"}, "'salary' is not known here"),
        ({"condition": 3}, "a condition is a text"),
        ({"targets": []}, "leads nowhere"),
        ({"targets": None}, "give a list of agents' ids"),
        ({"targets": {"agent-a": 1}}, "give a list of agents' ids"),
        ({"targets": ["agent a"]}, "target 'agent a'"),
        ({"targets": [3]}, "target 3"),
        ({"targets": ["agent-a", "agent-a"]}, "twice"),
        ({"capability": "x"}, "targets and a capability"),
        ({"targets": [], "capability": ""}, "capability ''"),
        ({"key": ""}, "key ''"),
        ({"locations": [1]}, "locations (1,)"),
    ],
)
def test_a_fault_is_named_with_its_value(wrong: dict[str, Any], words: str) -> None:
    made = RouteRule(**({"name": "r", "targets": ["agent-a"]} | wrong))
    with pytest.raises(InvalidRoute) as caught:
        RouteTable().with_rule(made)
    assert any(words in fault for fault in caught.value.faults), caught.value.faults


def test_all_faults_are_named_at_once() -> None:
    wrong = RouteRule("r", condition="payload.x", strategy="NONE", targets=[])
    with pytest.raises(InvalidRoute) as caught:
        table(rule("r")).with_rule(wrong)
    assert len(caught.value.faults) == 4
    assert "route 'r' was refused" in str(caught.value)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(InvalidRoute, match="there is a rule of that name"):
        table(rule("r"), rule("r"))


def test_the_highest_priority_is_asked_first_and_of_equals_the_older() -> None:
    made = table(rule("a", None, 1), rule("b", None, 5), rule("c", None, 5))
    assert [one.name for one in made.rules] == ["b", "c", "a"]
    assert taken_by(made, message()) == "b"
    assert taken_by(made.without_rule("b"), message()) == "c"


def test_removing_what_is_not_there_changes_nothing() -> None:
    made = table(rule("a"))
    assert made.without_rule("b") is made
    assert made.without_static("x") is made


def test_a_rule_that_is_not_enabled_takes_nothing() -> None:
    off = RouteRule("off", 9, None, targets=["agent-a"], enabled=False)
    assert taken_by(table(off, rule("on")), message()) == "on"


def test_a_static_route_takes_what_no_rule_takes() -> None:
    made = table(rule("r", "payload.get('x') == 1")).with_static("calc", ["agent-b"])
    assert taken_by(made, message("calc", {"x": 1})) == "r"
    assert taken_by(made, message("calc", {"x": 2})) == "static:calc"
    assert taken_by(made, message("other")) is None
    assert taken_by(made.without_static("calc"), message("calc")) is None


def test_a_static_route_is_judged_as_a_rule_is() -> None:
    with pytest.raises(InvalidRoute, match="leads nowhere"):
        RouteTable().with_static("calc", [])
    with pytest.raises(InvalidRoute, match="strategy 'X'"):
        RouteTable().with_static("calc", ["agent-a"], "X")


@pytest.mark.parametrize(
    ("condition", "sent", "matches"),
    [
        ("payload.get('t') == 'x'", message(payload={"t": "x"}), True),
        ("payload.get('t') == 'x'", message(payload={"t": "y"}), False),
        ("payload.get('t') == None", message(), True),
        ("payload['t'] == None", message(), False),
        ("payload['t'] == 'x'", message(payload={"t": "x"}), True),
        ("'x' == payload.get('t')", message(payload={"t": "x"}), True),
        ("payload.get('t') in ('x', 'y')", message(payload={"t": "y"}), True),
        ("payload.get('t') in ['x', 'y']", message(payload={"t": "z"}), False),
        ("payload.get('t') == 'x'", message(payload={"t": ["x"]}), False),
        ("payload.get('n') == 1", message(payload={"n": 1.0}), True),
        ("payload.get('n') == 1", message(payload={"n": True}), True),
        ("message_type == 'REQUEST'", message(), True),
        ("message_type == 'EVENT'", message(), False),
        ("priority in ['CRITICAL', 'HIGH']", message(priority=Priority.HIGH), True),
        ("sender_id == 'pipeline-1'", message(), True),
        ("recipient_id == 'calculator' and len(payload) > 1", message(), False),
        ("headers.get('eu') == 'yes'", message(headers={"eu": "yes"}), True),
        ("headers.get('eu') == 'yes'", message(), False),
        ("payload.get('t').startswith('x')", message(), False),
    ],
)
def test_conditions_read_the_message(
    condition: str, sent: Message, *, matches: bool
) -> None:
    assert (taken_by(table(rule("r", condition)), sent) == "r") is matches


class Kind(StrEnum):
    X = "x"


@pytest.mark.parametrize(
    "payload", [MappingProxyType({"t": "x"}), UserDict({"t": "x"}), {"t": Kind.X}]
)
def test_a_payload_that_is_no_plain_dict_is_read_all_the_same(payload: Any) -> None:
    assert taken_by(table(rule("r", "payload.get('t') == 'x'")), message()) is None
    sent = message(payload=payload)
    assert taken_by(table(rule("r", "payload.get('t') == 'x'")), sent) == "r"


def test_a_condition_that_fails_is_no_match_and_is_counted() -> None:
    made = table(rule("bad", "payload['n'] > 3", 9), rule("good"))
    assert taken_by(made, message()) == "good"
    assert taken_by(made.with_rule(rule("new")), message(payload={"n": "x"})) == "good"
    assert made.errors == {"bad": 2}


KEYS = st.sampled_from(["t", "n", "u"])
SCALARS = st.sampled_from(["x", "y", "", 0, 1, 1.0, True, False, None, "REQUEST"])
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.just(Kind.X) | st.just(object())
TESTS = st.one_of(
    st.builds("payload.get({!r}) == {!r}".format, KEYS, SCALARS),
    st.builds("payload[{!r}] == {!r}".format, KEYS, SCALARS),
    st.builds("{!r} == payload.get({!r})".format, SCALARS, KEYS),
    st.builds("payload.get({!r}) in [{!r}, {!r}]".format, KEYS, SCALARS, SCALARS),
    st.builds("payload.get({!r}) != {!r}".format, KEYS, SCALARS),
    st.builds("payload.get({!r}, 'x') == {!r}".format, KEYS, SCALARS),
    st.builds("payload[{!r}] > 0".format, KEYS),
    st.builds("headers.get({!r}) == {!r}".format, KEYS, SCALARS),
    st.builds("message_type == {!r}".format, SCALARS),
    st.builds("priority in ('HIGH', {!r})".format, SCALARS),
    st.just("payload.get('t').startswith('x')"),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda more: st.one_of(
        st.builds("({} and {})".format, more, more),
        st.builds("{}\n and {}".format, TESTS, TESTS),
        st.builds("({} or {})".format, more, more),
        st.builds("not ({})".format, more),
    ),
    max_leaves=4,
)


def one_after_the_other(rules: tuple[RouteRule, ...], sent: Message) -> str | None:
    for one in rules:
        if not one.enabled:
            continue
        if one.condition is None:
            return one.name
        compiled = compile_condition(one.condition, names=CONDITION_NAMES)
        if compiled.matches(values_of(sent)):
            return one.name
    return None


@pytest.mark.no_cover  # tracing lines doubles its time
@given(
    conditions=st.lists(st.none() | CONDITIONS, max_size=8),
    enabled=st.lists(st.booleans(), min_size=8, max_size=8),
    payload=st.dictionaries(KEYS, VALUES),
    headers=st.dictionaries(KEYS, st.sampled_from(["x", "y", ""])),
    priority=st.sampled_from(list(Priority)),
    wrapped=st.booleans(),
)
@examples(400)
def test_the_index_answers_as_asking_all_rules_in_order(
    conditions: list[str | None],
    enabled: list[bool],
    payload: dict[str, Any],
    headers: dict[str, str],
    priority: Priority,
    *,
    wrapped: bool,
) -> None:
    rules = tuple(
        RouteRule(f"r{at}", 0, condition, targets=["agent-a"], enabled=enabled[at])
        for at, condition in enumerate(conditions)
    )
    sent = message(
        payload=MappingProxyType(payload) if wrapped else payload,
        headers=headers,
        priority=priority,
    )
    before = copy.copy(payload)
    found = RuleIndex(rules).match(sent)
    assert (found and found.name) == one_after_the_other(rules, sent)
    assert payload == before
