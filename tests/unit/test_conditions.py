"""Conditions: what they mean, and how they say what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.core.condition_grammar import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES
from orchestration.core.conditions import (
    Condition,
    compile_condition,
    condition_fault,
)
from orchestration.errors import InvalidCondition, OrchestrationError

PAYLOAD = {
    "task_type": "carbon_calculation",
    "supplier": {"id": "SUP-12345", "country": "DE"},
    "tags": ["scope3", "urgent"],
    "rows": 12,
    "share": 0.5,
    "final": True,
    "note": None,
    "empty": [],
}
VALUES = {
    "payload": PAYLOAD,
    "priority": "HIGH",
    "sender_id": "pipeline-001",
    "limit": 12,
    "tags": ["scope3", "urgent"],
}


def test_the_example_of_the_first_release_works_as_written() -> None:
    condition = compile_condition("payload.get('task_type') == 'carbon_calculation'")
    message = {"task_type": "carbon_calculation", "supplier_id": "SUP-12345"}
    assert condition.matches({"payload": message})
    assert not condition.matches({"payload": {"task_type": "report"}})


@pytest.mark.parametrize(
    "text",
    [
        "payload['task_type'] == 'carbon_calculation'",
        "payload.get('rows') == 12",
        "payload.get('rows') == 12.0",
        "payload.get('rows') != 13",
        "10 < payload.get('rows') <= 12",
        "payload['share'] >= .5 and payload['share'] < 1e3",
        "-1 < payload['rows']",
        "payload.get('final')",
        "payload.get('final') is True",
        "payload.get('final') == 1",
        "payload.get('note') is None",
        "payload.get('rows') is not None",
        "payload.get('missing') is None",
        "payload.get('missing', 'there') == 'there'",
        "payload.get('missing', {}).get('id', 5) == 5",
        "payload.get('supplier').get('country') == 'DE'",
        "payload['supplier']['country'] in ('DE', 'AT', 'CH')",
        "payload['supplier']['country'] in ['DE']",
        "payload['supplier']['country'] in {'DE', 'AT'}",
        "payload['supplier']['country'] not in ()",
        "payload['supplier'] == {'id': 'SUP-12345', 'country': 'DE'}",
        "'urgent' in payload['tags']",
        "'late' not in payload['tags']",
        "payload['tags'] == ['scope3', 'urgent']",
        "payload['tags'] == tags",
        "payload['tags'][0] == 'scope3' and tags[-1] == 'urgent'",
        "payload['tags'][0] in tags",
        "priority in [payload['task_type'], 'HIGH']",
        "tags in [payload['tags']]",
        "'id' in payload['supplier']",
        "'SUP-' in payload['supplier']['id']",
        "payload['supplier']['id'].startswith('SUP-')",
        "payload['supplier']['id'].endswith('5')",
        "'carbon_calculation'.startswith(payload['task_type'])",
        "payload.get(payload.get('missing', 'rows')) == limit",
        "len(payload['tags']) == 2",
        "len(tags) < limit and len(priority) == 4",
        "not payload['empty'] and not payload.get('missing')",
        "payload['empty'] or payload['rows']",
        "priority == 'LOW' or priority == 'HIGH'",
        "(priority == 'LOW' or priority == 'HIGH') and limit == 12",
        "priority == 'LOW' or not (limit < 12 or limit > 12)",
        "priority[0] == 'H'",
        "'g' < priority or 'A' < priority",
        "True",
        "'any text'",
        "  limit == 12\n  and priority == 'HIGH'\n",
        "\tlimit\n==\n12",
        "payload.get('größe', 'ö\\u00df\\'\\n') == \"öß'\\n\"",
        "1 == limit == 12 or 12 == limit == payload['rows'] != 13",
    ],
)
def test_these_match(text: str) -> None:
    assert compile_condition(text).outcome(VALUES) == (True, None)


@pytest.mark.parametrize(
    "text",
    [
        "payload.get('task_type') == 'report'",
        "payload.get('rows') == '12'",
        "payload.get('rows') < 12",
        "12 < payload.get('rows') < missing",
        "payload.get('missing')",
        "payload['empty']",
        "payload['note']",
        "priority == 'HIGH' and limit == 1",
        "not priority",
        "'scope' in payload['tags']",
        "payload['tags'] == {'a': 1}",
        "payload['tags'] == payload['supplier']",
        "'urgent' not in payload['tags']",
        "payload['supplier'] == {}",
        "False",
        "None",
        "0",
        "''",
        "[]",
        "{}",
    ],
)
def test_these_do_not_match(text: str) -> None:
    assert compile_condition(text).outcome(VALUES) == (False, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("missing == 1", "there is no 'missing'"),
        ("priority == 'HIGH' and missing", "there is no 'missing'"),
        ("payload['missing'] == 1", "there is no such key"),
        ("tags[2] == 'x'", "list index out of range"),
        ("tags['a'] == 'x'", "list indices must be integers or slices, not str"),
        ("limit['a'] == 'x'", "'int' object is not subscriptable"),
        ("payload['note'].get('a') == 1", ".get is for objects, not for NoneType"),
        ("tags.get('a') == 1", ".get is for objects, not for list"),
        ("limit.startswith('a')", ".startswith is for texts, not for int"),
        ("tags.endswith('a')", ".endswith is for texts, not for list"),
        ("priority.startswith(limit)", "startswith first arg must be str"),
        ("limit > 'a'", "'>' not supported between instances of 'int' and 'str'"),
        ("tags < [1]", "'<' not supported between instances of 'str' and 'int'"),
        ("payload < payload", "not supported between instances of 'dict' and 'dict'"),
        ("'a' in limit", "argument of type 'int' is not iterable"),
        ("limit in priority", "requires string as left operand, not int"),
        ("payload.get(tags) == 1", "unhashable type: 'list'"),
        ("tags in payload", "unhashable type: 'list'"),
        ("len(limit) > 1", "object of type 'int' has no len()"),
    ],
)
def test_an_error_in_the_evaluation_is_no_match_and_has_words(
    text: str, words: str
) -> None:
    condition = compile_condition(text)
    matches, error = condition.outcome(VALUES)
    assert not matches
    assert not condition.matches(VALUES)
    assert error is not None
    assert words in error


def test_what_is_decided_already_is_not_evaluated() -> None:
    assert compile_condition("limit == 12 or missing").outcome(VALUES) == (True, None)
    assert compile_condition("limit < 0 and missing").outcome(VALUES) == (False, None)
    assert compile_condition("1 < 0 < missing").outcome(VALUES) == (False, None)


def test_a_condition_says_what_it_reads() -> None:
    text = "payload.get('a') == limit and not (limit > 5 or 'limits' in tags)"
    condition = compile_condition(text)
    assert condition.text == text
    assert condition.names == {"payload", "limit", "tags"}
    assert compile_condition("len(size) == 1").names == {"size"}
    assert repr(condition).startswith("Condition(text=")


def test_a_condition_is_compiled_once() -> None:
    text = "payload.get('once') == 'only'"
    one = compile_condition(text)
    other = compile_condition(text, names=["payload"])
    assert isinstance(one, Condition)
    assert other is one


def test_names_that_are_not_given_are_refused_with_those_that_are() -> None:
    compile_condition("payload == 1", names=("payload", "sender_id"))
    with pytest.raises(InvalidCondition) as caught:
        compile_condition(
            "payload == 1 and  paylaod == 2", names={"sender_id", "payload"}
        )
    assert caught.value.position == 19
    assert "'paylaod' is not known here; known are payload, sender_id" in str(
        caught.value
    )
    fault = condition_fault("x", names=())
    assert fault is not None
    assert "'x' is not known here; known are none" in fault


def test_a_name_is_refused_though_the_condition_was_compiled_before() -> None:
    compile_condition("told == 1")
    assert condition_fault("told == 1", names=["other"]) is not None
    assert condition_fault("told == 1", names=["told"]) is None


def test_an_error_tells_text_place_fault_and_what_is_allowed() -> None:
    text = "limit == 1 and\n payload.get('a').pop('b')"
    with pytest.raises(InvalidCondition) as caught:
        compile_condition(text)
    error = caught.value
    assert isinstance(error, OrchestrationError)
    assert error.text == text
    assert text[error.position - 1 :] == ".pop('b')"
    assert repr(text) in str(error)
    assert "the call of .pop() is not allowed; a condition is made of" in str(error)
    assert condition_fault(text) == str(error)


def test_places_are_counted_in_characters() -> None:
    with pytest.raises(InvalidCondition) as caught:
        compile_condition("\n payload['größe'] == '€' and a.b")
    assert caught.value.position == 32
    with pytest.raises(InvalidCondition) as caught:
        compile_condition("  'ö' == == a")
    assert caught.value.position == 10


def test_an_error_shows_the_part_of_a_long_text_that_it_is_about() -> None:
    text = " or ".join(f"a == 'text {n}'" for n in range(20)) + " or a + b"
    fault = condition_fault(text + " or a == 'the end'" * 4)
    assert fault is not None
    assert "or a + b or" in fault
    assert "text 0" not in fault
    assert "the end' or a == 'the end' or a == 'the end'" not in fault


@pytest.mark.parametrize("text", [None, 5, b"True", ["True"], {}, True])
def test_what_is_no_text_is_no_condition(text: Any) -> None:
    with pytest.raises(InvalidCondition, match="a condition is a text, this is <class"):
        compile_condition(text)
    assert condition_fault(text) is not None


def test_limits_are_what_they_say() -> None:
    at = "x" * MAX_CHARACTERS
    assert condition_fault(at) is None
    assert "characters, at most 2000" in str(condition_fault(at + "x"))
    nodes = " or ".join(["x"] * (MAX_NODES - 1))
    assert condition_fault(nodes) is None
    assert f"more than {MAX_NODES} parts" in str(condition_fault(nodes + " or x"))
    depth = "not " * (MAX_DEPTH - 1) + "x"
    assert condition_fault(depth) is None
    assert f"nested more than {MAX_DEPTH} deep" in str(condition_fault("not " + depth))
    brackets = "(" * MAX_DEPTH + "x" + ")" * MAX_DEPTH
    assert condition_fault(brackets) is None
    assert f"more than {MAX_DEPTH} deep" in str(condition_fault(f"({brackets})"))
