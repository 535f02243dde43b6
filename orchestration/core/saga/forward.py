"""What happens to a step without an agent: conditions, lists, signals, child sagas.

And swarms, and which of several agents a step is given to by its data.

Each of these is decided from the events alone, by whoever looks at the saga first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import uuid5

from orchestration.core.conditions import Condition, compile_condition
from orchestration.core.saga.data import ancestor_outputs, gathered, step_input
from orchestration.core.saga.events import EventType, NewFact, saga_uuid
from orchestration.core.saga.model import Direction, SagaStep
from orchestration.core.saga.timing import whole_ms
from orchestration.core.saga.undoing import current_wave
from orchestration.core.saga.view import Phase, PhaseStatus, SagaView
from orchestration.errors import DataConflict

__all__ = [
    "MAX_ITEMS",
    "child_id",
    "routed",
    "without_agent",
    "without_agent_undo",
]

MAX_ITEMS = 1_000
"""How many items the list of a mapped step may have."""


def child_id(saga_id: str, step: str, round_: int) -> str:
    """Return the id of what a step runs, saga or swarm: one for each round of it."""
    return str(uuid5(saga_uuid(saga_id), f"{step}:{round_}"))


def without_agent(view: SagaView, now: datetime) -> NewFact | None:
    """Return the next fact about a step that needs no agent; None: there is none."""
    if view.lacks_locks:
        return None
    for name in view.plan.ready(view.satisfied):
        phase = view.do_of(name)
        if phase.status is PhaseStatus.AWAITING:
            fact = _awaited(view, name, phase, now)
        elif phase.status is PhaseStatus.IDLE and not _is_plain(view, name):
            fact = _begun(view, name, phase, now)
        else:
            continue
        if fact is not None:
            return fact
    return None


def without_agent_undo(view: SagaView) -> NewFact | None:
    """Return the fact that a step's own saga is to be undone; None: no such step."""
    if view.lacks_locks:
        return None
    for name in current_wave(view):
        phase = view.undo_of(name)
        if phase.status is PhaseStatus.IDLE and view.plan.by_name[name].saga:
            child = child_id(view.saga_id, name, view.do_of(name).round)
            return _waiting(name, Direction.UNDO, phase, {"saga": child}, None)
    return None


def _is_plain(view: SagaView, name: str) -> bool:
    return view.plan.is_plain(name) and name not in view.plan.instances


def _awaited(view: SagaView, name: str, phase: Phase, now: datetime) -> NewFact | None:
    """Complete a step whose signal has come, or fail one that waited in vain."""
    signal = phase.awaits.get("signal")
    told = {"step": name, "attempt": phase.attempt, "round": phase.round}
    if signal is not None and view.signals.get(signal):
        heard = view.signals[signal][0]
        output = heard if isinstance(heard, Mapping) else {name: heard}
        return NewFact(EventType.STEP_COMPLETED, told | {"output": dict(output)})
    if signal is not None and phase.until is not None and phase.until <= now:
        error = {
            "type": "SignalTimeout",
            "message": f"signal {signal!r} did not come in time",
        }
        return NewFact(EventType.STEP_FAILED, told | {"error": error})
    return None


def _begun(view: SagaView, name: str, phase: Phase, now: datetime) -> NewFact | None:
    """Begin, expand, gather or pass over a step; None: it is an agent's after all."""
    step = view.plan.by_name[name]
    told = {"step": name, "attempt": phase.attempt, "round": phase.round}
    try:
        if name in view.plan.instances:
            gathered(view, name)
            return NewFact(EventType.STEP_GATHERED, told)
        data = step_input(view, name, Direction.DO)
    except DataConflict as exc:
        return _failed(told, "DataConflict", str(exc))
    values = data | {"data": data, "outputs": ancestor_outputs(view, name)}
    if step.when is not None:
        holds, problem = _condition(step.when).outcome(values)
        if not holds:
            why = {"when": step.when} | ({"problem": problem} if problem else {})
            return NewFact(EventType.STEP_SKIPPED, told | why)
    if step.map is not None:
        return _expanded(told, step, data)
    if step.agents:
        return NewFact(EventType.STEP_EXPANDED, {**told, "count": len(step.agents)})
    if step.choose and view.lacks_agent(name):
        return _chosen(told, step, values)
    if step.is_waiting:
        return _waiting(name, Direction.DO, phase, *_awaits(view, step, phase, now))
    return None


def _chosen(
    told: Mapping[str, Any], step: SagaStep, values: Mapping[str, Any]
) -> NewFact:
    """Give a step to the first agent whose condition holds, or pass it over."""
    problems = {}
    for agent, text in step.choose:
        holds, problem = _condition(text).outcome(values)
        if holds:
            return routed(
                step.name,
                attempt=told["attempt"] + 1,
                round_=told["round"],
                agent_id=agent,
                why={"when": text},
            )
        if problem:
            problems[agent] = problem
    why = {"problem": problems} if problems else {}
    return NewFact(EventType.STEP_SKIPPED, {**told, **why})


def routed(
    step: str, *, attempt: int, round_: int, agent_id: str, why: Mapping[str, Any]
) -> NewFact:
    """Return the fact that an agent was chosen for a step's next attempt.

    Args:
        step: Name of the step.
        attempt: The number of that attempt.
        round_: The round of it.
        agent_id: Whom.
        why: What was gone by, for people.
    """
    data = {"step": step, "for_attempt": attempt, "round": round_, "agent_id": agent_id}
    return NewFact(EventType.STEP_ROUTED, data | dict(why))


@lru_cache(maxsize=1_024)
def _condition(text: str) -> Condition:
    return compile_condition(text)


def _failed(told: Mapping[str, Any], kind: str, message: str) -> NewFact:
    """Return the fact that a step failed before anybody could try."""
    error = {"type": kind, "message": message}
    data = {**told, "attempt": told["attempt"] + 1, "unopened": True, "error": error}
    return NewFact(EventType.STEP_FAILED, data)


def _expanded(
    told: Mapping[str, Any], step: SagaStep, data: Mapping[str, Any]
) -> NewFact:
    items = data.get(step.map or "")
    if not isinstance(items, list):
        found = "nothing" if items is None else type(items).__name__
        message = f"step {step.name!r} maps {step.map!r}, which is {found}, not a list"
        return _failed(told, "NoList", message)
    if len(items) > MAX_ITEMS:
        message = (
            f"step {step.name!r} maps {step.map!r}, which has {len(items)} items: at "
            f"most {MAX_ITEMS}; split the list, or use a swarm"
        )
        return _failed(told, "TooManyItems", message)
    return NewFact(EventType.STEP_EXPANDED, {**told, "count": len(items)})


def _awaits(
    view: SagaView, step: SagaStep, phase: Phase, now: datetime
) -> tuple[dict[str, str], int | None]:
    """Return what a step waits for, and until when, epoch milliseconds."""
    until = None
    if step.timeout_ms is not None:
        until = whole_ms(now + timedelta(milliseconds=step.timeout_ms))
    if step.wait_for is not None:
        return {"signal": step.wait_for}, until
    ends_by = whole_ms(view.deadline)
    until = ends_by if until is None else min(until, ends_by)
    kind = "saga" if step.saga is not None else "swarm"
    return {kind: child_id(view.saga_id, step.name, phase.round)}, until


def _waiting(
    name: str,
    direction: Direction,
    phase: Phase,
    awaits: Mapping[str, str],
    until_ms: int | None,
) -> NewFact:
    data: dict[str, Any] = {
        "step": name,
        "direction": direction,
        "attempt": phase.attempt + 1,
        "round": phase.round,
        "for": dict(awaits),
    }
    if until_ms is not None:
        data["until_ms"] = until_ms
    return NewFact(EventType.STEP_WAITING, data)
