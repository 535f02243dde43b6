"""Templates: what their placeholders become, and that every fault is told at once."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.saga.model import SagaTransaction
from orchestration.core.saga.template import (
    ParameterType,
    SagaTemplate,
    TemplateParameter,
)
from orchestration.errors import InvalidTemplate
from tests.unit.sagas import transactions

ORDER: dict[str, Any] = {
    "name": "order",
    "version": "1.2.0",
    "description": "Reserve, then charge.",
    "parameters": {
        "customer": {"type": "string", "description": "Who pays."},
        "rows": {"type": "list", "required": True},
        "timeout_ms": {"type": "integer", "default": 60_000},
        "share": {"type": "number", "default": 0.5, "required": False},
        "urgent": {"type": "boolean", "default": False},
        "options": {"type": "object", "default": {"a": [1]}},
    },
    "saga": {
        "name": "order",
        "timeout_ms": "${timeout_ms}",
        "steps": [
            {
                "name": "reserve",
                "agent_id": "agent-stock",
                "compensation": "release",
                "metadata": {
                    "rows": "${rows}",
                    "note": "${customer}: ${share} in ${timeout_ms} ms, ${urgent}",
                    "options": ["${options}", "${share}", "$${share}"],
                },
            },
            {"name": "charge", "agent_id": "agent-bank"},
        ],
    },
    "initial_data": {"customer": "${customer}", "urgent": "${urgent}", "euros": 5},
}
GIVEN = {"customer": "ACME", "rows": [1, {"a": None}]}


def order(**changes: Any) -> dict[str, Any]:
    return deepcopy(ORDER) | changes


def faults_of(value: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidTemplate) as caught:
        SagaTemplate.from_json(value)
    return caught.value.faults


def test_placeholders_become_values_of_their_type_and_defaults_fill_in() -> None:
    made = SagaTemplate.from_json(ORDER).transaction(GIVEN, transaction_id="o-1")
    assert isinstance(made, SagaTransaction)
    assert (made.name, made.timeout_ms, made.transaction_id) == ("order", 60_000, "o-1")
    reserve, charge = made.steps
    assert (reserve.compensation, charge.agent_id) == ("release", "agent-bank")
    assert reserve.metadata == {
        "rows": [1, {"a": None}],
        "note": "ACME: 0.5 in 60000 ms, false",
        "options": [{"a": [1]}, 0.5, "${share}"],
    }


def test_the_input_comes_from_the_same_parameters() -> None:
    template = SagaTemplate.from_json(ORDER)
    data = template.initial_data(GIVEN | {"urgent": True})
    assert data == {"customer": "ACME", "urgent": True, "euros": 5}
    bare = order(parameters={}, saga={"name": "a", "steps": []})
    del bare["initial_data"]
    assert SagaTemplate.from_json(bare).initial_data({}) == {}


def test_each_saga_has_an_id_of_its_own() -> None:
    template = SagaTemplate.from_json(ORDER)
    one, other = template.transaction(GIVEN), template.transaction(GIVEN)
    assert one.transaction_id != other.transaction_id
    assert one.to_json() == other.to_json()


def test_what_is_made_shares_nothing_with_template_and_parameters() -> None:
    template, given = SagaTemplate.from_json(ORDER), deepcopy(GIVEN)
    before = deepcopy(template.to_json())
    made = template.transaction(given)
    made.steps[0].metadata["rows"].append("changed")
    made.steps[0].metadata["options"][0]["a"].append("changed")
    assert given == GIVEN
    assert template.to_json() == before
    assert template.transaction(given).steps[0].metadata["rows"] == GIVEN["rows"]


def test_a_template_survives_json_and_keeps_none_of_what_it_was_read_from() -> None:
    value = order()
    template = SagaTemplate.from_json(value)
    value["saga"]["steps"].clear()
    again = SagaTemplate.from_json(json.loads(json.dumps(template.to_json())))
    assert again == template
    assert template.label == "order@1.2.0"
    assert template.parameters["share"] == TemplateParameter(
        type=ParameterType.NUMBER, required=False, default=0.5
    )
    assert template.parameters["rows"].to_json() == {
        "type": "list",
        "description": "",
        "required": True,
    }


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("${customer}", "ACME"),
        ("a ${customer} b ${customer}", "a ACME b ACME"),
        ("${customer}${customer}", "ACMEACME"),
        ("$${customer}", "${customer}"),
        ("$$${customer}", "$${customer}"),
        ("$${${customer}}", "${ACME}"),
        ("$ {customer} $customer $$ $", "$ {customer} $customer $$ $"),
        ("price: 5$", "price: 5$"),
        ("$${", "${"),
        ("", ""),
    ],
)
def test_texts_around_placeholders_stay_as_they_are(text: str, made: str) -> None:
    value = order(
        parameters={"customer": {"type": "string"}},
        saga={"name": "a", "steps": [], "timeout_ms": 5},
        initial_data={"text": text, "used": "${customer}"},
    )
    data = SagaTemplate.from_json(value).initial_data({"customer": "ACME"})
    assert data["text"] == made


def test_a_value_that_looks_like_a_placeholder_is_none() -> None:
    given = GIVEN | {"customer": "${share} $${", "rows": ["${customer}"]}
    template = SagaTemplate.from_json(ORDER)
    metadata = template.transaction(given).steps[0].metadata
    assert metadata["rows"] == ["${customer}"]
    assert metadata["note"].startswith("${share} $${: 0.5 in")


@pytest.mark.parametrize(
    ("given", "sentences"),
    [
        (
            {},
            [
                (
                    "parameter 'customer' is missing: give it a value of type string "
                    "(Who pays.)"
                ),
                "parameter 'rows' is missing: give it a value of type list",
            ],
        ),
        (
            GIVEN | {"rows": "r", "custommer": "x", "urgent": 1, "timeout_ms": 5.5},
            [
                (
                    "parameter 'custommer' is not known: it has customer, rows, "
                    "timeout_ms, share, urgent, options"
                ),
                "parameter 'rows' is 'r': give it a value of type list",
                "parameter 'timeout_ms' is 5.5: give it a value of type integer",
                "parameter 'urgent' is 1: give it a value of type boolean",
            ],
        ),
        (
            {"customer": None, "rows": {}, "share": True, "options": []},
            [
                "parameter 'customer' is None: give it a value of type string",
                "parameter 'rows' is {}: give it a value of type list",
                "parameter 'share' is True: give it a value of type number",
                "parameter 'options' is []: give it a value of type object",
            ],
        ),
        (
            GIVEN | {"share": math.nan, "timeout_ms": 2**53, "options": {"a": {1}}},
            [
                "parameter 'timeout_ms' is 9007199254740992: use what JSON can hold",
                "parameter 'share' is nan: use what JSON can hold",
                "parameter 'options'['a'] is {1}: use what JSON can hold",
            ],
        ),
        (5, ["parameters is 5: give it an object"]),
        ([], ["parameters is []: give it an object"]),
    ],
)
def test_all_that_is_wrong_with_parameters_is_told_at_once(
    given: Any, sentences: list[str]
) -> None:
    template = SagaTemplate.from_json(ORDER)
    for ask in (template.transaction, template.initial_data):
        with pytest.raises(InvalidTemplate) as caught:
            ask(given)
        assert list(caught.value.faults) == sentences
        assert str(caught.value).startswith("template 'order@1.2.0' was refused: ")


def test_a_definition_that_is_none_with_these_values_is_refused() -> None:
    value = order(
        parameters={"steps": {"type": "list"}},
        saga={"name": "a", "steps": "${steps}", "timeout": 5},
        initial_data={},
    )
    template = SagaTemplate.from_json(value)
    with pytest.raises(InvalidTemplate, match="'timeout' is no field of it"):
        template.transaction({"steps": []})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "a b"}, "name 'a b': use 1 to 200 letters"),
        ({"name": 5}, "name 5: use 1 to 200 letters"),
        ({"version": "1.0"}, "version '1.0': give it a semantic one, like 1.0.0"),
        ({"version": 1}, "version 1: give it a semantic one"),
        ({"description": None}, "description is None: give it text"),
        ({"sagas": {}}, "'sagas' is no field of it: it has name, version"),
        ({"saga": []}, "saga is []: give it an object"),
        ({"initial_data": "x"}, "initial_data is 'x': give it an object"),
        ({"parameters": []}, "parameters is []: give it an object"),
        ({"saga": ORDER["saga"] | {"x": {1}}}, "saga['x'] is {1}: use what JSON can"),
        (
            {"saga": ORDER["saga"] | {"transaction_id": "o-${customer}"}},
            "saga['transaction_id']: drop it, each saga is given one of its own",
        ),
    ],
)
def test_a_fault_of_a_template_names_the_field_and_the_way_out(
    changes: dict[str, Any], sentence: str
) -> None:
    (fault,) = faults_of(order(**changes))
    assert sentence in fault


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (5, "it is 5: give it an object"),
        ({}, "'type' is missing"),
        ({"type": "text"}, "type 'text': use string, integer, number, boolean, list,"),
        ({"type": ["string"]}, "type ['string']: use string"),
        ({"type": "string", "defualt": 1}, "'defualt' is no field of it: it has type"),
        ({"type": "string", "description": 1}, "description is 1: give it text"),
        ({"type": "string", "default": 5}, "default is 5: give it a value of type str"),
        ({"type": "number", "default": math.inf}, "default is inf: use what JSON can"),
        ({"type": "string", "required": 1}, "required is 1: give it true or false"),
        (
            {"type": "string", "required": True, "default": "a"},
            "it is required and has a default: drop one of them",
        ),
        (
            {"type": "string", "required": False},
            "it is not required and has no default: give it one",
        ),
    ],
)
def test_a_fault_of_a_parameter_names_it_and_the_way_out(
    spec: Any, sentence: str
) -> None:
    (fault,) = faults_of(order(parameters=ORDER["parameters"] | {"customer": spec}))
    assert fault.startswith("parameter 'customer': ")
    assert sentence in fault


@pytest.mark.parametrize("name", ["", "a b", "5a", "größe", "a-b", "a" * 101, 5])
def test_a_parameters_name_is_an_identifier(name: Any) -> None:
    faults = faults_of(order(parameters=ORDER["parameters"] | {name: {"type": "list"}}))
    assert f"parameter {name!r}: name it with ASCII letters" in faults[0]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"a": ["x ${custommer}"]}, "initial_data['a'][0]: '${custommer}' is no param"),
        ({"a": "${}"}, "initial_data['a']: '${}' is no parameter: it has customer, "),
        ({"a": "${ customer }"}, "'${ customer }' is no parameter"),
        ({"a": "${customer"}, "initial_data['a']: '${customer' has no end: close it"),
        ({"a": "${customer${share}}"}, "'${customer' has no end"),
        ({"a": "x ${rows}"}, "'${rows}' is of type list: let it stand alone"),
        ({"a": "${options} "}, "'${options}' is of type object: let it stand alone"),
        ({"a": {"${customer}": 1}}, "'${customer}' stands in a key: it can only stand"),
    ],
)
def test_a_placeholder_without_a_parameter_is_refused_with_its_place(
    data: dict[str, Any], sentence: str
) -> None:
    (fault,) = faults_of(order(initial_data=data))
    assert sentence in fault


def test_every_fault_is_told_at_once() -> None:
    value = {
        "version": "one",
        "parameters": {
            "unused": {"type": "string"},
            "odd": {"type": "text", "required": False},
        },
        "saga": {"name": "${nobody}", "steps": "${odd}"},
        "extra": 1,
    }
    told = [
        "'name' is missing",
        "'extra' is no field of it",
        "version 'one': give it a semantic one",
        "parameter 'odd': type 'text': use string, integer, number, boolean, list, obj",
        "parameter 'odd': it is not required and has no default: give it one",
        "saga['name']: '${nobody}' is no parameter: it has unused, odd; '$${' stan",
        "parameter 'unused' is used nowhere: drop it, or write '${unused}'",
    ]
    for fault, words in zip(faults_of(value), told, strict=True):
        assert fault.startswith(words)


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_what_is_no_object_is_no_template(value: Any) -> None:
    assert faults_of(value) == (f"it is {value!r}: give it an object",)


def test_an_error_tells_which_template_it_is_about() -> None:
    for value, label in (
        (order(version="x"), "'order@x'"),
        (order(name=None), "'1.2.0'"),
        ([], "''"),
    ):
        with pytest.raises(InvalidTemplate, match=f"template {label} was refused"):
            SagaTemplate.from_json(value)


@given(transactions())
def test_a_definition_without_placeholders_is_made_as_it_is(
    transaction: SagaTransaction,
) -> None:
    value = {"name": "drawn", "version": "1.0.0", "saga": transaction.to_json()}
    made = SagaTemplate.from_json(value).transaction({}, transaction_id="drawn")
    assert made.to_json() == transaction.to_json() | {"template": "drawn@1.0.0"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("${}ab", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("${}a", max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text("ab", max_size=2), JSON, max_size=3), JSON)
def test_any_data_is_refused_or_filled(data: dict[str, Any], value: Any) -> None:
    template = order(
        parameters={"a": {"type": "list"}, "b": {"type": "string"}},
        saga={"name": "${b}", "steps": "${a}"},
        initial_data=data,
    )
    try:
        sound = SagaTemplate.from_json(template)
    except InvalidTemplate as error:
        faults = error.faults
    else:
        made = sound.initial_data({"a": [value], "b": "text"})
        assert json.loads(json.dumps(made)) == made
        return
    assert all("initial_data[" in fault for fault in faults)
