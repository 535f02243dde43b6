"""What is wrong with a pipeline is told at once, in its own words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.pipeline.checks import pipeline_faults
from orchestration.core.pipeline.compiling import compiled
from orchestration.core.pipeline.execution import stage_of
from orchestration.core.pipeline.model import (
    ExecutionMode,
    PipelineDefinition,
    PipelineStage,
)
from orchestration.core.saga.checks import definition_faults
from orchestration.core.saga.model import OnFailure, SagaStep, SagaTransaction
from orchestration.core.saga.plan import Plan

CHILD = SagaTransaction("child", [SagaStep("inner", "a")])


def faults(*stages: Any, **options: Any) -> tuple[str, ...]:
    return pipeline_faults(PipelineDefinition(stages=stages), run_id="r", **options)


def stage(name: str = "s", **options: Any) -> PipelineStage:
    return PipelineStage(name, **options)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "nobody does it: name agents, a capability, a saga or a swarm_config"),
        (
            {"agents": ["a"], "capability": "c"},
            "it has agents and a capability: say in one way who does it",
        ),
        (
            {"saga": CHILD, "action": "x"},
            "it has a saga and an action: the saga's steps have their own",
        ),
        (
            {"capability": "c", "mode": "PARALLEL"},
            "its mode is PARALLEL: name the agents that do it at once",
        ),
        (
            {"agents": ["a"], "mode": "CONDITIONAL"},
            "its mode is CONDITIONAL: give it a condition, or one for each agent",
        ),
        (
            {"agents": ["a"], "condition": {"a": "x"}},
            "it has a condition per agent and its mode is SEQUENTIAL: CONDITIONAL",
        ),
        (
            {"agents": ["a"], "condition": {"b": "x"}, "mode": "CONDITIONAL"},
            "its condition names b, which is none of its agents: add it",
        ),
        (
            {"agents": ["a"], "mode": "MAP"},
            "its mode is MAP: name the key of a list in its input, as items",
        ),
        (
            {"agents": ["a"], "items": "x"},
            "it has items and its mode is SEQUENTIAL: use MAP",
        ),
        (
            {"agents": ["a"], "merge": True},
            "it has merge and its mode is SEQUENTIAL: use PARALLEL",
        ),
        (
            {"agents": ["a", "a"]},
            "agent 'a' is named 2 times: once is enough",
        ),
        (
            {"agents": ["a"], "timeout_ms": 0},
            "timeout_ms is 0: give it 1 to 315360000000 ms",
        ),
        (
            {"agents": ["a", "no blanks"]},
            "agent 'no blanks': use letters, digits, '_' and '-'",
        ),
        ({"agents": 7}, "agents is 7: give a list of ids"),
        ({"agents": ["a"], "merge": "yes"}, "merge is 'yes': give true or false"),
        (
            {"metadata": {"swarm_config": "big"}},
            "swarm_config is 'big': give an object",
        ),
    ],
)
def test_a_stages_fault_is_told_with_its_way_out(
    options: dict[str, Any], fault: str
) -> None:
    assert faults(stage(**options)) == (f"stage 's': {fault}",)


def test_all_faults_of_all_stages_are_told_at_once() -> None:
    found = faults(
        stage("one"),
        stage("two", agents=["a"], condition="import os"),
        stage("two", agents=["a"], depends_on=["nobody"]),
        timeout_ms=0,
    )
    text = "\n".join(found)
    assert "stage 'one': nobody does it" in text
    assert "stage 'two': when:" in text
    assert "stage 'two' is there 2 times" in text
    assert "stage 'two' depends on 'nobody', which is no stage of it" in text
    assert "timeout_ms is 0" in text
    assert "step" not in text


def test_what_is_no_stage_is_told() -> None:
    assert faults("s") == ("stages[0] is 's': give a PipelineStage",)
    assert faults() == ("it has no stages: give it at least one",)
    definition = PipelineDefinition(stages="s")  # type: ignore[arg-type]
    [fault] = pipeline_faults(definition, run_id="r")
    assert fault == "stages is 's': give a list of PipelineStage"


def test_an_unknown_mode_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="SEQUENTIAL, PARALLEL, CONDITIONAL, MAP"):
        stage(mode="SIDEWAYS")


# --- the compiler

NAMES = st.sampled_from(["s1", "s2", "s3", "s4"])
AGENTS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def stages(draw: st.DrawFn, name: str) -> PipelineStage:
    """Draw a stage without faults."""
    mode = draw(st.sampled_from(ExecutionMode))
    options: dict[str, Any] = {"mode": mode, "metadata": {"x": draw(JSON)}}
    options["timeout_ms"] = draw(st.none() | st.integers(1, 10**6))
    options["retry_policy"] = {"max_attempts": draw(st.integers(1, 4))}
    who = draw(st.sampled_from(["agents", "capability", "saga"]))
    if mode is ExecutionMode.PARALLEL:
        who, options["merge"] = "agents", draw(st.booleans())
    options[who] = {"capability": "c", "saga": CHILD}.get(who) or draw(AGENTS)
    if mode is ExecutionMode.MAP:
        options["items"] = "items"
    if mode is ExecutionMode.CONDITIONAL:
        options["condition"] = "n > 1"
        if who == "agents" and draw(st.booleans()):
            options["condition"] = {options["agents"][0]: "n > 1"}
    elif draw(st.booleans()):
        options["condition"] = "go"
    return PipelineStage(name, **options)


@st.composite
def pipelines(draw: st.DrawFn) -> PipelineDefinition:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return PipelineDefinition(stages=[draw(stages(name)) for name in names])


@given(pipelines())
def test_what_has_no_faults_compiles_into_a_saga_without_faults(
    pipeline: PipelineDefinition,
) -> None:
    assert pipeline_faults(pipeline, run_id="r") == ()
    saga = compiled(pipeline, run_id="r")
    assert definition_faults(saga) == ()
    assert saga.on_failure is OnFailure.HALT
    assert saga.transaction_id == "r"


@given(pipelines())
def test_each_stage_is_one_step_of_its_name_in_its_place(
    pipeline: PipelineDefinition,
) -> None:
    plan = Plan(tuple(compiled(pipeline, run_id="r").steps))
    assert plan.order == tuple(stage.name for stage in pipeline.stages)
    for stage in pipeline.stages:
        step = plan.by_name[stage.name]
        assert not step.compensation
        assert stage_of(step.name) == step.name


@given(pipelines())
def test_a_pipeline_and_its_saga_survive_json(pipeline: PipelineDefinition) -> None:
    told = json.loads(json.dumps(pipeline.to_json()))
    read = PipelineDefinition.from_json(told)
    saga = compiled(pipeline, run_id="r").to_json()
    assert compiled(read, run_id="r").to_json() == saga
    stored = json.loads(json.dumps(saga, sort_keys=True))
    again = SagaTransaction.from_json(stored, transaction_id="r")
    assert again.to_json() == saga


@given(st.dictionaries(st.sampled_from([*PipelineStage.__slots__]), JSON))
def test_whatever_a_stage_holds_it_is_told_and_nothing_breaks(
    fields: dict[str, Any],
) -> None:
    try:
        made = PipelineStage(**{"name": "s", **fields})
    except ValueError:
        return  # no mode of that name
    for fault in faults(made):
        assert fault


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (7, "it is 7: give it an object"),
        ({}, "'stages' is missing; it has name, stages, timeout_ms"),
        ({"stages": 7}, "stages is 7: give a list"),
        (
            {"stages": [{"name": "s", "mode": "UP"}, {"x": 1}]},
            r"stages\[0\]: 'UP' is no ExecutionMode.*stages\[1\]: 'name' is missing",
        ),
    ],
)
def test_json_that_is_no_pipeline_is_told(value: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        PipelineDefinition.from_json(value)
