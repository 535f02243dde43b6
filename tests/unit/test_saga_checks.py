"""What a definition may not be, and that every fault is told at once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.saga.checks import MAX_DEPTH, MAX_STEPS, definition_faults
from orchestration.core.saga.model import RetryPolicy, SagaStep, SagaTransaction
from orchestration.core.saga.step_checks import MAX_MS
from tests.unit.sagas import graphs
from tests.unit.scripted import saga, step

CHILD = saga(step("inner"))


def faults_of(*steps: SagaStep, **options: Any) -> str:
    return "\n".join(definition_faults(saga(*steps, **options)))


def test_a_sound_definition_has_no_faults() -> None:
    assert faults_of(step("a"), step("b", "a")) == ""


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"timeout_ms": 0}, "timeout_ms is 0: give it 1 to"),
        ({"timeout_ms": MAX_MS + 1}, f"give it 1 to {MAX_MS} ms"),
        ({"timeout_ms": "5"}, "timeout_ms is '5': give it a whole number"),
        ({"max_recoveries": -1}, "max_recoveries is -1: give it 0 or more"),
        ({"read_only": True}, "read_only and has a compensation: drop one"),
        ({"action": ""}, "action is empty"),
        ({"compensation": ""}, "compensation is empty"),
        ({"metadata": [1]}, "metadata is [1]: give it an object"),
        ({"metadata": {"a": [{"b": math.nan}]}}, "metadata['a'][0]['b'] is nan"),
        ({"metadata": {"a": 2**53}}, "metadata['a'] is 9007199254740992"),
        ({"metadata": {"a": {1, 2}}}, "metadata['a'] is {1, 2}: use what JSON"),
        ({"metadata": {1: 2}}, "metadata is {1: 2}: use what JSON can hold"),
        ({"metadata": {"a": "\ud800"}}, "use what JSON can hold"),
        ({"depends_on": None}, "depends_on is None: give it a list of names"),
        ({"depends_on": [["a"]]}, "give it a list of names"),
        ({"retry_policy": {"max_attempts": 0}}, "retry_policy: max_attempts is 0"),
        ({"retry_policy": {"max_attempts": "3"}}, "max_attempts is '3': give it a"),
        ({"retry_policy": {"backoff_ms": -1}}, "backoff_ms is -1: give it 0 to"),
        ({"retry_policy": {"max_backoff_ms": -1}}, "max_backoff_ms is -1"),
        ({"retry_policy": {"multiplier": 0.5}}, "multiplier is 0.5: give it 1.0 to"),
        ({"retry_policy": {"multiplier": 1e9}}, "give it 1.0 to 100.0"),
        ({"retry_policy": {"multiplier": math.inf}}, "multiplier is inf"),
        ({"retry_policy": {"jitter": 1.5}}, "jitter is 1.5: give it 0.0 to 1.0"),
        ({"retry_policy": {"tries": 1}}, "a retry policy has no tries; it has"),
        ({"compensation_retry_policy": [1]}, "compensation_retry_policy: a retry"),
        ({"retry_policy": RetryPolicy(jitter=-1)}, "jitter is -1"),
        ({"on_unknown": "PROBE"}, "on_unknown is PROBE: name the agent's action that"),
        ({"when": "a +"}, "when: "),
        ({"map": ""}, "map is empty: name the key of a list in the data"),
        ({"when": 5}, "when is 5: give it text, or nothing"),
    ],
)
def test_a_fault_of_a_step_names_step_value_and_way_out(
    wrong: dict[str, Any], sentence: str
) -> None:
    faults = definition_faults(saga(step("first"), step("second", **wrong)))
    assert len(faults) == 1
    assert faults[0].startswith("step 'second': ")
    assert sentence in faults[0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"wait_for": "a b"}, "wait_for 'a b': use letters, digits, '_' and '-'"),
        ({"wait_for": "go", "saga": CHILD}, "it waits for a signal and runs a saga"),
        ({"wait_for": "go", "map": "items"}, "waits for one signal and has a map"),
        ({"wait_for": "go", "compensation": "undo"}, "has compensation and calls no"),
        ({"saga": CHILD, "action": "act"}, "has action and calls no agent: leave that"),
        ({"saga": {"name": "kid", "steps": [{}]}}, "its saga is none: saga 'kid'"),
        ({"saga": {"name": "kid"}}, "its saga is none: SagaTransaction: 'steps' is"),
        ({"saga": {"name": "", "steps": []}}, "its saga: name '': give it 1 to 200"),
        ({"action": "act"}, "agent_id '' with action act: name the agent that has it"),
    ],
)
def test_what_does_not_go_together_in_one_step_is_told(
    wrong: dict[str, Any], sentence: str
) -> None:
    told = faults_of(step("first"), SagaStep("second", **wrong)).splitlines()
    assert all(fault.startswith("step 'second': ") for fault in told)
    assert any(sentence in fault for fault in told)


def test_a_celery_task_needs_no_agent_and_an_agent_has_a_name() -> None:
    assert faults_of(SagaStep("a", action="celery:app.charge")) == ""
    assert "agent_id 'a b': use letters" in faults_of(SagaStep("a", "a b"))


@pytest.mark.parametrize("wrong", [{"when": "go"}, {"map": "items"}])
def test_a_pivot_is_done_once(wrong: dict[str, Any]) -> None:
    fault = faults_of(step("a", is_pivot=True, **wrong))
    assert fault.startswith("step 'a': it is the pivot and has a condition or a map")


def test_sagas_are_nested_to_a_bound() -> None:
    deep = CHILD
    for depth in range(2, MAX_DEPTH + 1):
        nested = saga(SagaStep("kid", saga=deep))
        assert ("nested" in faults_of(*nested.steps)) is (depth > MAX_DEPTH)
        deep = nested
    told = faults_of(SagaStep("kid", saga=deep))
    assert f"its saga is nested {MAX_DEPTH + 1} deep: at most {MAX_DEPTH}" in told


@pytest.mark.parametrize(
    ("locks", "sentence"),
    [
        (["l"] * 21, "it has 21 locks: at most 20"),
        ([""], "lock '': give it 1 to 200 printable characters"),
        (["a\x00"], "give it 1 to 200 printable characters"),
        (["{"], "name a key of the data as {key}"),
        (["{a.b}"], "lock '{a.b}': 'a.b' is no key; name one as {key}"),
        (["{}"], "'' is no key; name one as {key}"),
        (["{a!r}"], "'a' is no key; name one as {key}"),
        (5, "locks is 5: give it a list of names"),
    ],
)
def test_locks_are_names_or_are_filled_in_from_the_data(
    locks: Any, sentence: str
) -> None:
    assert sentence in faults_of(step("a"), locks=locks)
    assert faults_of(step("a"), locks=["door", "safe {n}"]) == ""


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({f"k{n}": 1 for n in range(21)}, "21 search attributes: at most 20"),
        ({"a b": 1}, "search attribute 'a b': use letters, digits, '_' and '-'"),
        ({5: 1}, "search attribute 5: use letters"),
        ({"a": "x" * 201}, "search attribute 'a': give it at most 200 printable"),
        ({"a": "\n"}, "search attribute 'a': give it at most 200 printable"),
        ({"a": True}, "search attribute 'a' is True: give it text or a number"),
        ({"a": None}, "search attribute 'a' is None: give it text or a number"),
        ({"a": math.nan}, "search attribute 'a' is nan: give it text or a number"),
        ([1], "search_attributes is [1]: give it an object"),
    ],
)
def test_search_attributes_are_text_or_numbers(attributes: Any, sentence: str) -> None:
    assert sentence in faults_of(step("a"), search_attributes=attributes)
    sound = {"city": "Bonn", "euros": 1.5, "n": 2}
    assert faults_of(step("a"), search_attributes=sound) == ""


def test_a_saga_with_a_pivot_runs_in_the_pivot_or_after_it() -> None:
    kid = SagaStep("kid", saga=saga(step("p", is_pivot=True)))
    way_out = "step 'kid' runs a saga that has a pivot: make the step this saga's pivot"
    assert faults_of(kid).startswith(way_out)
    outer = SagaStep("outer", saga=saga(kid))
    assert "step 'outer' runs a saga that has a pivot" in faults_of(outer)
    assert faults_of(step("p", is_pivot=True), replace(kid, depends_on=["p"])) == ""
    before = replace(kid, depends_on=["a"]), step("p", "kid", is_pivot=True)
    assert way_out in faults_of(step("a"), *before)
    assert faults_of(replace(kid, is_pivot=True)) == ""


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "x" * 201, 5, None])
def test_names_and_agent_ids_are_words(name: Any) -> None:
    faults = definition_faults(saga(SagaStep(name, "agent"), SagaStep("b", name)))
    assert [fault.split(": ")[0] for fault in faults] == [f"step {name!r}", "step 'b'"]


@pytest.mark.parametrize("name", ["", "x" * 201, "a\x00b", 5])
def test_a_sagas_name_is_short_and_printable(name: Any) -> None:
    (fault,) = definition_faults(SagaTransaction(name, [step("a")]))
    assert fault.startswith("name")


@pytest.mark.parametrize("saga_id", ["", "a b", "x" * 201, "é/", 5])
def test_a_sagas_id_is_a_word(saga_id: Any) -> None:
    transaction = SagaTransaction("t", [step("a")], transaction_id=saga_id)
    (fault,) = definition_faults(transaction)
    assert fault.startswith("transaction_id")


@pytest.mark.parametrize("timeout_ms", [0, -1, MAX_MS + 1, 1.5, math.nan, "5", True])
def test_a_sagas_timeout_is_a_time(timeout_ms: Any) -> None:
    assert "timeout_ms is" in faults_of(step("a"), timeout_ms=timeout_ms)


def test_a_saga_has_at_least_one_step_and_not_too_many() -> None:
    assert "it has no steps: give it at least one" in faults_of()
    many = [step(f"s{n}") for n in range(MAX_STEPS + 1)]
    assert faults_of(*many) == f"it has {MAX_STEPS + 1} steps: at most {MAX_STEPS}"


@pytest.mark.parametrize("steps", [None, 5, "abc", {"a": 1}])
def test_steps_are_a_list(steps: Any) -> None:
    (fault,) = definition_faults(SagaTransaction("t", steps))
    assert fault.startswith("steps is")


def test_what_is_no_step_is_named_by_its_place() -> None:
    wrong: Any = {"name": "b"}
    faults = definition_faults(SagaTransaction("t", [step("a"), wrong, step("a")]))
    assert "steps[1] is a dict: give a SagaStep" in faults
    assert "step 'a' is there 2 times: names must be unique" in faults


def test_unknown_dependencies_are_named_with_the_known_ones() -> None:
    assert faults_of(step("a"), step("b", "x")) == (
        "step 'b' depends on 'x', which is no step of it: use one of a, b"
    )


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([step("a", "a")], "a -> a"),
        ([step("a", "b"), step("b", "a")], "a -> b -> a"),
        ([step("r"), step("a", "r", "c"), step("b", "a"), step("c", "b")], "a -> c"),
    ],
)
def test_a_cycle_is_shown(steps: list[SagaStep], cycle: str) -> None:
    faults = faults_of(*steps)
    assert faults.startswith(f"a cycle: {cycle}")
    assert faults.endswith("drop one of these depends_on")


def test_a_saga_has_one_pivot_at_most() -> None:
    pivots = [step("a", is_pivot=True), step("b", is_pivot=True)]
    assert faults_of(*pivots).startswith("2 pivots (a, b)")


@pytest.mark.parametrize("policy", ["RETRY", "COMPENSATE"])
def test_a_pivot_of_unknown_outcome_can_only_escalate(policy: str) -> None:
    assert "can only PROBE or ESCALATE" in faults_of(
        step("a", is_pivot=True, on_unknown=policy)
    )
    assert faults_of(step("a", is_pivot=True, on_unknown="ESCALATE")) == ""


def test_a_step_after_the_pivot_has_no_compensation() -> None:
    steps = step("p", is_pivot=True), step("b", "p")
    assert "'b' comes after the pivot 'p' and has a compensation" in faults_of(*steps)
    assert faults_of(steps[0], step("b", "p", compensation=None)) == ""


def test_what_can_be_undone_has_an_order_to_the_pivot() -> None:
    steps = step("a"), step("p", "a", is_pivot=True), step("aside")
    assert "'aside' can be undone and has no order to the pivot" in faults_of(*steps)
    assert faults_of(*steps[:2], step("aside", compensation=None)) == ""


def test_every_fault_is_told_at_once() -> None:
    faults = definition_faults(
        SagaTransaction(
            "",
            [
                step("a", "x", timeout_ms=0),
                step("a", is_pivot=True, on_unknown="RETRY"),
                step("b c", retry_policy={"max_attempts": 0}),
                step("d", is_pivot=True, max_recoveries=-1),
            ],
            timeout_ms=0,
            transaction_id="no id",
        )
    )
    assert len(faults) == 11
    assert all(": " in fault for fault in faults)


@given(graphs(), st.randoms(use_true_random=False))
def test_a_graph_has_a_cycle_exactly_if_one_is_put_in(
    steps: list[SagaStep], random: Any
) -> None:
    assert "cycle" not in faults_of(*steps)
    if not any(s.depends_on for s in steps):
        return
    last = random.choice([s for s in steps if s.depends_on])
    closing = [
        SagaStep(s.name, "agent", depends_on=(*s.depends_on, last.name))
        if s.name == last.depends_on[0]
        else s
        for s in steps
    ]
    assert "cycle" in faults_of(*closing)


def test_metadata_may_not_be_endlessly_deep() -> None:
    deep: Any = {}
    for _ in range(60):
        deep = {"a": deep}
    assert "nested more than 50 deep: flatten it" in faults_of(step("a", metadata=deep))
    assert faults_of(step("a", metadata={"a": [None, True, 1, 1.5, "x"]})) == ""
