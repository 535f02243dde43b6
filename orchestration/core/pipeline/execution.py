"""What the outside is told about a run of a pipeline: its status, in one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from orchestration.core.saga.execution import SagaExecution, StepReport
from orchestration.core.saga.model import SagaState

__all__ = ["PipelineExecution", "PipelineState", "StageReport", "execution_of"]


class PipelineState(StrEnum):
    """Where a run stands.

    CANCELLING: what runs is told, and sagas that were stages are undone. FAILED and
    PAUSED wait for a person: ``retry`` and ``resume`` go on from there.
    """

    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


_STATES: Final[Mapping[SagaState, PipelineState]] = {
    SagaState.RUNNING: PipelineState.RUNNING,
    SagaState.WAITING: PipelineState.WAITING,
    SagaState.COMPLETED: PipelineState.COMPLETED,
    SagaState.FAILED: PipelineState.FAILED,
    SagaState.PAUSED: PipelineState.PAUSED,
    SagaState.COMPENSATING: PipelineState.CANCELLING,
    SagaState.COMPENSATED: PipelineState.CANCELLED,
    SagaState.COMPENSATION_FAILED: PipelineState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """How one stage stands.

    Attributes:
        status: IDLE, RUNNING, AWAITING (a saga or a swarm), WAITING (for its next
            attempt), DONE, SKIPPED (by its condition), FAILED or UNKNOWN.
        agents: Who did it, or is at it; of a capability the one that was chosen.
        attempts: How often it was tried, by all of them.
        child_id: The saga or swarm that does it, if one does.
        error: ``{"type", "message"}`` of its latest failure, or None.
    """

    name: str
    status: str
    agents: tuple[str, ...]
    attempts: int
    child_id: str | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineExecution:
    """The status of a run, folded from its events.

    Attributes:
        stages: In the pipeline's order.
        failed_stage: The stage that made it give up, or None.
        error: ``{"type", "message"}`` of that, or None.
        waiting_for: Whom or what it waits for, in words, or None.
        result: The overlaid outputs of the completed stages.
    """

    run_id: str
    name: str
    state: PipelineState
    stages: tuple[StageReport, ...]
    failed_stage: str | None
    error: Mapping[str, Any] | None
    waiting_for: str | None
    started_at: datetime
    ended_at: datetime | None
    result: Mapping[str, Any]


def execution_of(saga: SagaExecution) -> PipelineExecution:
    """Return the status of a run from that of its saga."""
    parts: dict[str, list[StepReport]] = {}
    for step in saga.steps:
        parts.setdefault(stage_of(step.name), []).append(step)
    failed = saga.failed_step
    return PipelineExecution(
        run_id=saga.saga_id,
        name=saga.name,
        state=_STATES[saga.state],
        stages=tuple(_report(name, own, saga) for name, own in parts.items()),
        failed_stage=None if failed is None else stage_of(failed),
        error=saga.error,
        waiting_for=saga.waiting_for,
        started_at=saga.started_at,
        ended_at=saga.ended_at,
        result=saga.result,
    )


def stage_of(step: str) -> str:
    """Return the stage that a step is part of: ``sort[2]`` is of ``sort``."""
    return step.partition("[")[0]


def _report(name: str, steps: Sequence[StepReport], saga: SagaExecution) -> StageReport:
    """Put together a stage from its step, and from its instances if it has any."""
    *instances, whole = steps
    status, error = whole.status, whole.error
    if instances and status == "IDLE":
        status = next(
            (one for one in _TELLING if any(s.status == one for s in instances)), status
        )
        error = next((s.error for s in instances if s.error is not None), None)
    agents = dict.fromkeys(step.agent_id for step in instances or steps)
    return StageReport(
        name=name,
        status=status,
        agents=tuple(agent for agent in agents if agent),
        attempts=sum(step.attempts for step in steps),
        child_id=saga.child_ids.get(name),
        error=error,
    )


_TELLING: Final = ("FAILED", "UNKNOWN", "RUNNING", "AWAITING", "WAITING", "DONE")
