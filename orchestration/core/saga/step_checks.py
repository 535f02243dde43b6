"""What one step's definition may not be, whatever saga it is part of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from orchestration.core.conditions import condition_fault
from orchestration.core.jsonable import json_fault
from orchestration.core.registry.query import Query, query_faults
from orchestration.core.saga.model import (
    CELERY_ACTION,
    Direction,
    RetryPolicy,
    SagaStep,
    UnknownPolicy,
)
from orchestration.core.saga.shape import POLICY, STEP, shape_faults
from orchestration.core.saga.swarm_telling import swarm_faults

__all__ = ["MAX_MS", "NAME", "about_step", "about_time"]

MAX_MS: Final = 315_360_000_000
"""Ten years, milliseconds: beyond it dates overflow, which nobody means."""

NAME: Final = re.compile(r"[\w-]{1,200}")
_NAMED: Final = ("name", "action", "compensation", "probe")
_CHOSEN: Final = ("capability", "choose")
_MAX_MULTIPLIER = 100  # keeps powers of it finite


def about_time(what: str, value: int, *, least: int) -> Iterator[str]:
    """Yield what is wrong with a time in milliseconds, if anything is."""
    if not least <= value <= MAX_MS:
        yield f"{what} is {value}: give it {least} to {MAX_MS} ms"


def about_step(step: SagaStep) -> Iterator[str]:
    """Yield every fault of a step, each with its way out."""
    misshapen = shape_faults(STEP, step)
    yield from misshapen.values()
    if "name" not in misshapen and not NAME.fullmatch(step.name):
        yield f"name {step.name!r}: use letters, digits, '_' and '-'"
    if not misshapen.keys() & {"agent_id", "agents", *_CHOSEN, *_NAMED}:
        yield from _about_agent(step)
    for what in ("action", "compensation", "probe"):
        if getattr(step, what) == "":
            yield f"{what} is empty: name an action of the agent, or leave it out"
    if "timeout_ms" not in misshapen and step.timeout_ms is not None:
        yield from about_time("timeout_ms", step.timeout_ms, least=1)
    if "max_recoveries" not in misshapen and step.max_recoveries < 0:
        yield f"max_recoveries is {step.max_recoveries}: give it 0 or more"
    if step.read_only and step.compensation:
        yield "it is read_only and has a compensation: drop one of them"
    yield from _about_unknown(step)
    if not misshapen.keys() & {
        "agent_id",
        "agents",
        "teamwork",
        *_CHOSEN,
        *_NAMED,
        "map",
    }:
        yield from _about_team(step)
    if not misshapen.keys() & {"when", "map", "wait_for", "saga", "swarm"}:
        yield from _about_kind(step)
    if "metadata" not in misshapen and (fault := json_fault(step.metadata, "metadata")):
        yield fault
    if step.swarm is not None and not misshapen.keys() & {"swarm", "metadata", "name"}:
        fault = json_fault(step.swarm, "swarm")
        yield from (fault,) if fault else swarm_faults(step)
    yield from _about_policies(step)


def _about_agent(step: SagaStep) -> Iterator[str]:
    """An action is an agent's, or a Celery task; what only waits needs neither."""
    if step.agent_id:
        if not NAME.fullmatch(step.agent_id):
            yield f"agent_id {step.agent_id!r}: use letters, digits, '_' and '-'"
        return
    if step.agents or step.is_open:
        return
    if lonely := [t for t in step.targets if not t.startswith(CELERY_ACTION)]:
        yield f"agent_id '' with action {', '.join(lonely)}: name the agent that has it"


def _about_team(step: SagaStep) -> Iterator[str]:
    """Judge by whom it is done, where that is not one agent that is named."""
    fields = ("agent_id", "agents", *_CHOSEN)
    if len(given := [what for what in fields if getattr(step, what)]) > 1:
        yield f"it has {' and '.join(given)}: say in one way who does it"
    if step.capability is not None:
        yield from query_faults(Query(capabilities=[step.capability]))
        if step.action_name.startswith(CELERY_ACTION):
            yield "it has a capability and calls a Celery task: drop one of them"
    named = [*step.agents, *(agent for agent, _ in step.choose)]
    for agent in named:
        if not NAME.fullmatch(agent):
            yield f"agent {agent!r}: use letters, digits, '_' and '-'"
    for agent, count in Counter(named).items():
        if count > 1:
            yield f"agent {agent!r} is named {count} times: once is enough"
    for agent, condition in step.choose:
        if fault := condition_fault(condition):
            yield f"the condition of {agent!r}: {fault}"
    if step.teamwork is not None and not step.agents:
        yield f"teamwork is {step.teamwork} and it has no agents: name them"
    if step.teamwork is not None and step.map is not None:
        yield "it has a map, whose items are dealt out: drop teamwork"


def _about_unknown(step: SagaStep) -> Iterator[str]:
    policy = step.unknown_policy
    if policy is UnknownPolicy.PROBE and not step.probe:
        yield "on_unknown is PROBE: name the agent's action that tells, as probe"
    if step.is_pivot and policy.is_undone:
        yield (
            f"it is the pivot and on_unknown is {policy}: "
            "a pivot of unknown outcome can only PROBE or ESCALATE"
        )


def _about_kind(step: SagaStep) -> Iterator[str]:
    """Judge conditions, lists, signals and sagas, and what does not go together."""
    if step.when is not None and (fault := condition_fault(step.when)):
        yield f"when: {fault}"
    if step.map == "":
        yield "map is empty: name the key of a list in the data, or leave it out"
    if step.wait_for is not None and not NAME.fullmatch(step.wait_for):
        yield f"wait_for {step.wait_for!r}: use letters, digits, '_' and '-'"
    kinds = {"waits for a signal": step.wait_for, "runs a saga": step.saga}
    kinds |= {"runs a swarm": step.swarm}
    if len(given := [what for what, value in kinds.items() if value is not None]) > 1:
        yield f"it {' and '.join(given)}: make two steps of it"
    if step.is_waiting:
        extra = ("agent_id", "agents", *_CHOSEN, "action", "compensation", "probe")
        if given := [what for what in extra if getattr(step, what)]:
            yield (
                f"it has {', '.join(given)} and calls no agent: leave that to "
                "another step"
            )
    if step.wait_for is not None and step.map is not None:
        yield "it waits for one signal and has a map: drop one of them"
    if step.is_pivot and (step.when is not None or step.map is not None):
        yield "it is the pivot and has a condition or a map: a pivot is done once"
    if step.is_pivot and (step.agents or step.choose):
        yield "it is the pivot and has several agents: a pivot is done once, by one"
    if step.is_pivot and step.swarm is not None:
        yield "it is the pivot and runs a swarm: what that does cannot be decided once"


def _about_policies(step: SagaStep) -> Iterator[str]:
    for direction in (Direction.DO, Direction.UNDO):
        what = "" if direction is Direction.DO else "compensation_"
        try:
            faults = [*_about_policy(step.policy(direction))]
        except ValueError as exc:
            faults = [str(exc)]
        yield from (f"{what}retry_policy: {fault}" for fault in faults)


def _about_policy(policy: RetryPolicy) -> Iterator[str]:
    if misshapen := shape_faults(POLICY, policy):
        yield from misshapen.values()
        return
    if policy.max_attempts < 1:
        yield f"max_attempts is {policy.max_attempts}: give it 1 or more"
    yield from about_time("backoff_ms", policy.backoff_ms, least=0)
    yield from about_time("max_backoff_ms", policy.max_backoff_ms, least=0)
    if not 1 <= policy.multiplier <= _MAX_MULTIPLIER:
        yield f"multiplier is {policy.multiplier}: give it 1.0 to {_MAX_MULTIPLIER}.0"
    if not 0 <= policy.jitter <= 1:
        yield f"jitter is {policy.jitter}: give it 0.0 to 1.0"
