"""Definitions: names for enums, defaults, and JSON from anybody."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.saga.model import (
    CompensationStrategy,
    Direction,
    OnCompensationFailure,
    RetryPolicy,
    SagaState,
    SagaStep,
    SagaTransaction,
    UnknownPolicy,
    definition_hash,
)
from tests.unit.sagas import transactions

STEP = {"name": "a", "agent_id": "agent"}


@pytest.mark.parametrize("given", ["CASCADE", "cascade", CompensationStrategy.CASCADE])
def test_a_members_name_is_as_good_as_the_member(given: str) -> None:
    transaction = SagaTransaction("t", [], compensation_strategy=given)
    assert transaction.compensation_strategy is CompensationStrategy.CASCADE


def test_each_enum_of_a_definition_takes_names() -> None:
    step = SagaStep("a", "agent", on_unknown="escalate")
    transaction = SagaTransaction("t", [step], on_compensation_failure="CONTINUE")
    assert step.on_unknown is UnknownPolicy.ESCALATE
    assert transaction.on_compensation_failure is OnCompensationFailure.CONTINUE


def test_a_name_that_is_no_member_is_refused_with_the_members() -> None:
    with pytest.raises(ValueError, match=r"'SIDEWAYS'.*use BACKWARD, FORWARD"):
        SagaTransaction("t", [], compensation_strategy="SIDEWAYS")


def test_the_step_s_name_is_its_action_unless_it_has_one() -> None:
    assert SagaStep("a", "agent").action_name == "a"
    step = SagaStep("a", "agent", action="b", compensation="c")
    assert (step.target(Direction.DO), step.target(Direction.UNDO)) == ("b", "c")


def test_a_pivot_escalates_and_other_steps_retry_unless_told_otherwise() -> None:
    assert SagaStep("a", "agent").unknown_policy is UnknownPolicy.RETRY
    assert SagaStep("a", "agent", is_pivot=True).unknown_policy == "ESCALATE"
    assert SagaStep("a", "agent", on_unknown="COMPENSATE").unknown_policy == (
        UnknownPolicy.COMPENSATE
    )


def test_every_transaction_has_an_id_of_its_own_from_birth() -> None:
    one, other = SagaTransaction("t", []), SagaTransaction("t", [])
    assert one.transaction_id != other.transaction_id


def test_one_name_is_as_good_as_a_list_of_one() -> None:
    assert SagaStep("a", "agent", depends_on="before").depends_on == ("before",)
    assert RetryPolicy(non_retryable="KeyError").non_retryable == ("KeyError",)


def test_a_policy_may_be_a_mapping_of_some_of_its_fields() -> None:
    policy = RetryPolicy(max_attempts=7)
    step = SagaStep("a", "agent", retry_policy={"max_attempts": 7})
    assert step.policy(Direction.DO) == policy
    assert step.policy(Direction.UNDO) == RetryPolicy()
    assert RetryPolicy.of(policy) is policy


@pytest.mark.parametrize("wrong", [{"attempts": 3}, {5: 3}, [1], "three", 0, False])
def test_what_is_no_policy_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a retry policy"):
        RetryPolicy.of(wrong)


def test_states_say_whether_anything_may_still_happen() -> None:
    over = {state for state in SagaState if state.is_over}
    final = {state for state in SagaState if state.is_final}
    assert over == {"COMPLETED", "COMPENSATED"}
    assert final == over | {"COMPENSATION_FAILED", "PAUSED", "FAILED"}


@given(transactions())
def test_a_definition_survives_json(transaction: SagaTransaction) -> None:
    text = json.dumps(transaction.to_json(), allow_nan=False)
    again = SagaTransaction.from_json(json.loads(text), transaction_id="drawn")
    assert again.to_json() == transaction.to_json()
    assert definition_hash(again.to_json()) == definition_hash(json.loads(text))


def test_a_definitions_hash_ignores_the_order_of_keys_only() -> None:
    assert definition_hash({"a": 1, "b": 2}) == definition_hash({"b": 2, "a": 1})
    assert definition_hash({"a": 1}) != definition_hash({"a": 2})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (None, "SagaTransaction is None: give it an object"),
        ([], "SagaTransaction is []"),
        ({}, "'name' is missing, 'steps' is missing"),
        ({"name": "t", "steps": [], "retries": 3}, "'retries' is no field of it"),
        ({"name": "t", "steps": 5}, "steps is 5: give it a list"),
        ({"name": "t", "steps": "abc"}, "steps is 'abc': give it a list"),
        ({"name": "t", "steps": {"a": STEP}}, "steps is {'a'"),
        ({"name": "t", "steps": [5]}, "SagaStep is 5: give it an object"),
        ({"name": "t", "steps": [{"agent_id": "a"}]}, "'name' is missing"),
        ({"name": 5, "steps": []}, "name is 5: give it text"),
        ({"name": "t", "steps": [], "timeout_ms": "5"}, "timeout_ms is '5'"),
        ({"name": "t", "steps": [], "compensation_strategy": 5}, "use BACKWARD"),
        ({"name": "t", "steps": [], "compensation_strategy": None}, "give it text"),
    ],
)
def test_json_that_is_no_transaction_is_refused(wrong: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  told below
        SagaTransaction.from_json(wrong, transaction_id="t")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"timeout_ms": "5"}, "timeout_ms is '5': give it a whole number"),
        ({"timeout_ms": True}, "timeout_ms is True: give it a whole number"),
        ({"timeout_ms": 1.5}, "timeout_ms is 1.5: give it a whole number"),
        ({"timeout_ms": float("nan")}, "timeout_ms is nan: give it a whole number"),
        ({"timeout_ms": 2**60}, "give it a whole number"),
        ({"timeout_ms": "1"}, "timeout_ms is '1': give it a whole number"),
        ({"max_recoveries": []}, "max_recoveries is []: give it a whole number"),
        ({"metadata": []}, "metadata is []: give it an object"),
        ({"metadata": None}, "metadata is None: give it an object"),
        ({"depends_on": 5}, "depends_on is 5: give it a list of names"),
        ({"depends_on": {"a": 1}}, "depends_on is {'a': 1}: give it a list of names"),
        ({"depends_on": ["a", 5]}, "depends_on is ('a', 5): give it a list of names"),
        ({"is_pivot": 1}, "is_pivot is 1: give it true or false"),
        ({"read_only": "yes"}, "read_only is 'yes': give it true or false"),
        ({"action": 5}, "action is 5: give it text, or nothing"),
        ({"compensation": ["undo"]}, "compensation is ['undo']: give it text"),
        ({"agent_id": None}, "agent_id is None: give it text"),
        ({"on_unknown": 5}, "5 is no UnknownPolicy: use RETRY"),
        ({"retry_policy": 5}, "a retry policy is 5: give it an object"),
        ({"retry_policy": {"max_attempts": "3"}}, "retry_policy.max_attempts is '3'"),
        (
            {"compensation_retry_policy": {"jitter": float("inf")}},
            "compensation_retry_policy.jitter is inf: give it a number",
        ),
        ({"retry_policy": {"non_retryable": 5}}, "non_retryable is 5: give it a list"),
    ],
)
def test_json_of_a_wrong_type_is_refused(wrong: Any, sentence: str) -> None:
    definition = {"name": "t", "steps": [STEP | wrong]}
    with pytest.raises(ValueError) as caught:  # noqa: PT011  told below
        SagaTransaction.from_json(definition, transaction_id="t")
    assert sentence in str(caught.value)


def test_the_wrong_types_of_all_steps_are_told_at_once() -> None:
    steps = [STEP | {"timeout_ms": "1"}, STEP | {"name": "b", "metadata": 2}, 3]
    with pytest.raises(ValueError, match=r"'1'.* is 2.*is 3"):
        SagaTransaction.from_json({"name": "t", "steps": steps}, transaction_id="t")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "agent_id", "steps", "timeout_ms", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = [*SagaStep("a", "b").to_json()]


@given(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5))
def test_any_json_is_a_definition_or_a_value_error(value: Any, step: Any) -> None:
    for wrong in (value, {"name": "t", "steps": [STEP | step], "timeout_ms": value}):
        with contextlib.suppress(ValueError):
            SagaTransaction.from_json(wrong, transaction_id="t")
