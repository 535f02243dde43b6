"""What the outside is told about a saga: its status, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestration.core.saga.data import saga_result
from orchestration.core.saga.fold import PhaseStatus, SagaView
from orchestration.core.saga.model import Direction, SagaState

__all__ = ["SagaExecution", "StepReport", "execution_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How one step stands.

    Attributes:
        status: IDLE, RUNNING, WAITING, DONE, FAILED or UNKNOWN.
        undo_status: The same of its undoing; IDLE if nothing was undone.
        attempts: How often it was tried.
        undo_attempts: How often undoing it was tried.
        error: ``{"type", "message"}`` of its latest failure, or None.
    """

    name: str
    agent_id: str
    status: str
    undo_status: str
    attempts: int
    undo_attempts: int
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaExecution:
    """A saga's status, folded from its events.

    Attributes:
        kept_steps: Completed steps that SELECTIVE leaves as they are.
        uncompensated_steps: Completed steps of a saga that was undone which have no
            compensation and are not read-only: their effects remain.
        failed_compensations: Steps whose undoing failed for good.
        unresolved_steps: Steps of which nobody knows whether they took effect.
        failed_step: The step that made the saga give up, or None.
        error: ``{"type", "message"}`` of that, or None.
        waiting_for: Whom or what it waits for, in words, or None.
        result: The overlaid outputs of completed steps.
        version: How many events were folded.
    """

    saga_id: str
    name: str
    state: SagaState
    completed_steps: tuple[str, ...]
    compensated_steps: tuple[str, ...]
    kept_steps: tuple[str, ...]
    uncompensated_steps: tuple[str, ...]
    failed_compensations: tuple[str, ...]
    unresolved_steps: tuple[str, ...]
    failed_step: str | None
    error: Mapping[str, Any] | None
    waiting_for: str | None
    started_at: datetime
    ended_at: datetime | None
    steps: tuple[StepReport, ...]
    result: Mapping[str, Any]
    version: int

    @property
    def transaction_id(self) -> str:
        """The saga's id under the name that its definition uses."""
        return self.saga_id


def execution_of(view: SagaView, waiting_for: str | None = None) -> SagaExecution:
    """Return the status of a folded saga.

    Args:
        view: The saga.
        waiting_for: What the side tables know of it beyond the events.
    """
    undone = _undo_settled(view, PhaseStatus.DONE)
    error = view.cause.get("error") if view.cause else None
    return SagaExecution(
        saga_id=view.saga_id,
        name=view.transaction.name,
        state=_state(view, waiting_for),
        completed_steps=view.completed,
        compensated_steps=undone,
        kept_steps=view.kept,
        uncompensated_steps=_uncompensated(view),
        failed_compensations=_undo_settled(view, PhaseStatus.FAILED),
        unresolved_steps=_unresolved(view, undone),
        failed_step=view.cause.get("step") if view.cause else None,
        error=error,
        waiting_for=waiting_for or view.paused_because,
        started_at=view.started_at,
        ended_at=view.ended_at,
        steps=tuple(_report(view, name) for name in view.plan.by_name),
        result=saga_result(view),
        version=view.version,
    )


def _state(view: SagaView, waiting_for: str | None) -> SagaState:
    """RUNNING reads as WAITING when all that is left waits for a time or a worker."""
    if view.state is not SagaState.RUNNING or view.running(Direction.DO):
        return view.state
    waits = any(phase.status is PhaseStatus.WAITING for phase in view.do.values())
    return SagaState.WAITING if waits or waiting_for else view.state


def _undo_settled(view: SagaView, status: PhaseStatus) -> tuple[str, ...]:
    chosen = [n for n, phase in view.undo.items() if phase.status is status]
    return tuple(sorted(chosen, key=lambda name: view.undo[name].settled_at))


def _uncompensated(view: SagaView) -> tuple[str, ...]:
    if view.state not in _UNDONE:
        return ()
    steps = view.plan.by_name
    return tuple(
        name
        for name in view.completed
        if not steps[name].compensation and not steps[name].read_only
    )


_UNDONE = (
    SagaState.COMPENSATING,
    SagaState.COMPENSATED,
    SagaState.COMPENSATION_FAILED,
)


def _unresolved(view: SagaView, undone: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [*view.settled(PhaseStatus.UNKNOWN)]
    if view.state is not SagaState.RUNNING:
        # A lost attempt that was to be made again, and no longer is.
        unknown += (
            name
            for name, phase in view.do.items()
            if phase.status is PhaseStatus.WAITING and phase.recoveries
        )
    return tuple(name for name in unknown if name not in undone)


def _report(view: SagaView, name: str) -> StepReport:
    done, undone = view.phase(name, Direction.DO), view.phase(name, Direction.UNDO)
    return StepReport(
        name=name,
        agent_id=view.plan.by_name[name].agent_id,
        status=done.status,
        undo_status=undone.status,
        attempts=done.attempt,
        undo_attempts=undone.attempt,
        error=undone.error or done.error,
    )
