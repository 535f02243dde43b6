"""What a pipeline may not be: every fault at once, each with its way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from orchestration.core.jsonable import shown
from orchestration.core.pipeline.compiling import compiled
from orchestration.core.pipeline.model import (
    ExecutionMode,
    PipelineDefinition,
    PipelineStage,
)
from orchestration.core.saga.checks import definition_faults
from orchestration.core.saga.shape import shape_faults

__all__ = ["pipeline_faults"]


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)


# What its step tells of is not told here: its name, its saga, its times.
_STAGE: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "agents": (_is_texts, "give a list of ids"),
    "condition": (
        lambda value: isinstance(value, str | Mapping | None),
        "give a text, or one for each agent",
    ),
    "items": (
        lambda value: isinstance(value, str | None),
        "name the key of a list in its input",
    ),
    "merge": (lambda value: isinstance(value, bool), "give true or false"),
    "metadata": (lambda value: isinstance(value, Mapping), "give an object"),
    "swarm_config": (lambda value: isinstance(value, Mapping | None), "give an object"),
}


def pipeline_faults(
    pipeline: PipelineDefinition, *, run_id: str, timeout_ms: int | None = None
) -> tuple[str, ...]:
    """Return everything that is wrong with a pipeline; empty if nothing is.

    What its saga would be refused for is told of the stages that are sound by
    themselves, so that one mistake is told once.

    Args:
        pipeline: The definition.
        run_id: Of the run.
        timeout_ms: For the run; None: the pipeline's own.
    """
    given: object = pipeline.stages
    if not isinstance(given, Sequence) or isinstance(given, str):
        return (f"stages is {shown(given)}: give a list of PipelineStage",)
    faults, unsound = [], set()
    for at, stage in enumerate(given):
        if not isinstance(stage, PipelineStage):
            faults.append(f"stages[{at}] is {shown(stage)}: give a PipelineStage")
            continue
        found = [f"stage {stage.name!r}: {fault}" for fault in _about(stage)]
        unsound |= {stage.name} if found and isinstance(stage.name, str) else set()
        faults += found
    if len(faults) and any(not isinstance(stage, PipelineStage) for stage in given):
        return tuple(faults)
    saga = compiled(pipeline, run_id=run_id, timeout_ms=timeout_ms)
    known = tuple(f"step {name!r}:" for name in unsound)
    for fault in definition_faults(saga):
        if not fault.startswith(known):
            faults.append(_of_a_pipeline(fault))
    return tuple(faults)


def _of_a_pipeline(fault: str) -> str:
    """Return what is wrong with a saga in the words of the pipeline that it is."""
    return (
        fault.replace("step ", "stage ", 1)
        .replace("no step of it", "no stage of it")
        .replace("it has no steps", "it has no stages")
        .replace("transaction_id", "run_id")
    )


def _about(stage: PipelineStage) -> Iterator[str]:
    """Yield what is wrong with a stage that its step could not tell."""
    if misshapen := shape_faults(_STAGE, stage):
        yield from misshapen.values()
        return
    yield from _about_doers(stage)
    yield from _about_condition(stage)
    if stage.mode is ExecutionMode.MAP and not stage.items:
        yield "its mode is MAP: name the key of a list in its input, as items"
    if stage.items is not None and not _is_shared_out(stage):
        yield f"it has items and its mode is {stage.mode}: use MAP"
    if stage.merge and stage.mode is not ExecutionMode.PARALLEL:
        yield f"it has merge and its mode is {stage.mode}: use PARALLEL"


def _about_doers(stage: PipelineStage) -> Iterator[str]:
    """Judge who does it: agents, a capability, a saga or a swarm, and only one."""
    doers = {
        "agents": bool(stage.agents) and stage.swarm_config is None,
        "a capability": stage.capability is not None,
        "a saga": stage.saga is not None,
        "a swarm": stage.swarm_config is not None,
    }
    given = [what for what, is_there in doers.items() if is_there]
    if not given:
        yield "nobody does it: name agents, a capability, a saga or a swarm_config"
    if len(given) > 1:
        yield f"it has {' and '.join(given)}: say in one way who does it"
    if stage.saga is not None and stage.action is not None:
        yield "it has a saga and an action: the saga's steps have their own"
    if stage.mode is ExecutionMode.PARALLEL and not (
        stage.agents or stage.swarm_config is not None
    ):
        yield "its mode is PARALLEL: name the agents that do it at once"


def _about_condition(stage: PipelineStage) -> Iterator[str]:
    condition = stage.condition
    if stage.mode is ExecutionMode.CONDITIONAL and condition is None:
        yield "its mode is CONDITIONAL: give it a condition, or one for each agent"
    if not isinstance(condition, Mapping):
        return
    if stage.mode is not ExecutionMode.CONDITIONAL:
        yield f"it has a condition per agent and its mode is {stage.mode}: CONDITIONAL"
    if others := [agent for agent in condition if agent not in stage.agents]:
        names = ", ".join(map(str, others))
        yield f"its condition names {names}, which is none of its agents: add it"


def _is_shared_out(stage: PipelineStage) -> bool:
    return stage.mode is ExecutionMode.MAP or stage.swarm_config is not None
