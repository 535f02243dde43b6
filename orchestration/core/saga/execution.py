"""What the outside is told about a saga: its status, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestration.core.saga.data import saga_result
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.view import PhaseStatus, SagaView

__all__ = ["SagaExecution", "StepReport", "execution_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How one step stands.

    Attributes:
        agent_id: Who does it, as it is named or was chosen; several, if it has them.
        status: IDLE, RUNNING, AWAITING (a signal, a saga, a swarm), WAITING (for its
            next attempt), DONE, SKIPPED, FAILED or UNKNOWN.
        undo_status: The same of its undoing; IDLE if nothing was undone.
        attempts: How often it was tried.
        undo_attempts: How often undoing it was tried.
        error: ``{"type", "message"}`` of its latest failure, or None.
        awaits: What it waits for while AWAITING: ``{"signal": name}``, ``{"saga": id}``
            or ``{"swarm": id}``.
    """

    name: str
    agent_id: str
    status: str
    undo_status: str
    attempts: int
    undo_attempts: int
    error: Mapping[str, Any] | None
    awaits: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaExecution:
    """A saga's status, folded from its events.

    Attributes:
        skipped_steps: Steps that their condition passed over.
        kept_steps: Completed steps that SELECTIVE leaves as they are.
        uncompensated_steps: Completed steps of a saga that was undone whose effects
            remain: they have no compensation, are not read-only and waited for no
            signal, or an operator had their undoing skipped.
        failed_compensations: Steps whose undoing failed for good.
        unresolved_steps: Steps of which nobody knows whether they took effect.
        failed_step: The step that made the saga give up, or None.
        error: ``{"type", "message"}`` of that, or None.
        waiting_for: Whom or what it waits for, in words, or None.
        is_on_hold: Whether an operator paused it, to go on later.
        is_cancelled: Whether it gave up because somebody asked for it.
        parent_id: The saga it is a step of, or None.
        child_ids: The sagas and swarms that its steps wait for, by step.
        result: The overlaid outputs of completed steps.
        version: How many events were folded.
    """

    saga_id: str
    name: str
    state: SagaState
    completed_steps: tuple[str, ...]
    skipped_steps: tuple[str, ...]
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
    is_on_hold: bool
    is_cancelled: bool
    parent_id: str | None
    child_ids: Mapping[str, str]
    search_attributes: Mapping[str, str | float]
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
        skipped_steps=view.settled(PhaseStatus.SKIPPED),
        compensated_steps=undone,
        kept_steps=view.kept,
        uncompensated_steps=_uncompensated(view),
        failed_compensations=_undo_settled(view, PhaseStatus.FAILED),
        unresolved_steps=_unresolved(view, undone),
        failed_step=view.cause.get("step") if view.cause else None,
        error=error,
        waiting_for=waiting_for or view.paused_because or _awaited(view),
        started_at=view.started_at,
        ended_at=view.ended_at,
        is_on_hold=view.is_on_hold,
        is_cancelled=view.is_cancelled,
        parent_id=view.parent.saga_id if view.parent else None,
        child_ids=_children(view),
        search_attributes=dict(view.transaction.search_attributes),
        steps=tuple(_report(view, name) for name in view.plan.by_name),
        result=saga_result(view),
        version=view.version,
    )


def _state(view: SagaView, waiting_for: str | None) -> SagaState:
    """RUNNING reads as WAITING when all that is left waits for a time or a worker."""
    if view.state is not SagaState.RUNNING:
        return view.state
    statuses = {phase.status for phase in (*view.do.values(), *view.probe.values())}
    if PhaseStatus.RUNNING in statuses:
        return view.state
    waits = {PhaseStatus.WAITING, PhaseStatus.AWAITING} & statuses
    if waits or waiting_for or view.lacks_locks:
        return SagaState.WAITING
    return view.state


def _awaited(view: SagaView) -> str | None:
    """Return in words what the saga waits for by its own account."""
    if view.state.is_over:
        return None
    if view.lacks_locks:
        return f"the locks {', '.join(view.transaction.locks)}"
    # What turned to undoing has no use for a signal any more.
    sides = (view.undo,) if view.state in _UNDONE else (view.do, view.undo)
    waits = [
        " ".join(pair)
        for side in sides
        for phase in side.values()
        if phase.status is PhaseStatus.AWAITING
        for pair in phase.awaits.items()
    ]
    return ", ".join(waits) or None


def _children(view: SagaView) -> dict[str, str]:
    return {
        name: phase.awaits.get("saga") or phase.awaits["swarm"]
        for name, phase in view.do.items()
        if "signal" not in phase.awaits and phase.awaits
    }


def _undo_settled(view: SagaView, status: PhaseStatus) -> tuple[str, ...]:
    chosen = [n for n, phase in view.undo.items() if phase.status is status]
    return tuple(sorted(chosen, key=lambda name: view.undo[name].settled_at))


def _uncompensated(view: SagaView) -> tuple[str, ...]:
    if view.state not in _UNDONE:
        return ()
    steps, gathered = view.plan.by_name, view.plan.instances
    skipped = _undo_settled(view, PhaseStatus.SKIPPED)
    return tuple(
        name
        for name in view.completed
        if name in skipped
        or not (
            steps[name].can_be_undone
            or steps[name].read_only
            or steps[name].wait_for is not None  # nothing was done
            or name in gathered
        )
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
            if phase.is_doubtful
            and phase.status in (PhaseStatus.WAITING, PhaseStatus.IDLE)
        )
    return tuple(name for name in unknown if name not in undone)


def _report(view: SagaView, name: str) -> StepReport:
    done, undone = view.do_of(name), view.undo_of(name)
    return StepReport(
        name=name,
        agent_id=view.agent_of(name) or ", ".join(view.plan.by_name[name].agents),
        status=done.status,
        undo_status=undone.status,
        attempts=done.attempt,
        undo_attempts=undone.attempt,
        error=undone.error or done.error,
        awaits=done.awaits,
    )
