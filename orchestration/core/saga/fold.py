"""From events to a state: the one place where a saga's past gets its meaning.

``SagaView`` is immutable. ``apply`` takes one event, ``fold`` a whole stream; any
prefix of a stream folds to a valid view. An outcome counts only if it belongs to the
attempt that is open: whatever comes later is kept as history and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestration.core.saga.compensation import Waves
from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.model import Direction, SagaState, SagaTransaction
from orchestration.core.saga.plan import Plan

__all__ = ["Phase", "PhaseStatus", "SagaView", "apply", "fold"]


class PhaseStatus(StrEnum):
    """Where the doing, or the undoing, of one step stands."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    WAITING = "WAITING"  # for its next attempt, at ``due_at``
    DONE = "DONE"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The doing, or the undoing, of one step.

    Attributes:
        attempt: Number of the latest attempt; 0 before the first.
        failures: Attempts that failed cleanly.
        recoveries: Attempts whose outcome was unknown.
        token: The delivery that holds, or held, the latest attempt.
        settled_at: Stream version of the event that ended it.
    """

    status: PhaseStatus = PhaseStatus.IDLE
    attempt: int = 0
    round: int = 1
    failures: int = 0
    recoveries: int = 0
    token: str = ""
    started_at: datetime | None = None
    due_at: datetime | None = None
    output: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    settled_at: int = 0


_IDLE = Phase()


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaView:
    """A saga's state after ``version`` events.

    Attributes:
        cause: Why it gave up: ``{"reason", "step", "error"}``; None while it has not.
        waves: The undo plan, once compensation has started.
        late: Attempts (step, direction, number, round) whose result is on record and
            came too late to count.
        paused_because: Why it stands still, if it does.
    """

    saga_id: str
    version: int = 0
    state: SagaState = SagaState.RUNNING
    transaction: SagaTransaction
    plan: Plan
    definition_hash: str = ""
    initial_data: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime
    ended_at: datetime | None = None
    do: Mapping[str, Phase] = field(default_factory=dict)
    undo: Mapping[str, Phase] = field(default_factory=dict)
    cause: Mapping[str, Any] | None = None
    waves: Waves = ()
    kept: tuple[str, ...] = ()
    late: frozenset[tuple[str, Direction, int, int]] = frozenset()
    paused_because: str | None = None

    @property
    def deadline(self) -> datetime:
        """When the saga as a whole has run out of time."""
        return self.started_at + timedelta(milliseconds=self.transaction.timeout_ms)

    @property
    def completed(self) -> tuple[str, ...]:
        """Names of completed steps, oldest first."""
        return self.settled(PhaseStatus.DONE)

    def phase(self, name: str, direction: Direction) -> Phase:
        """Return how the step's doing, or undoing, stands."""
        side = self.do if direction is Direction.DO else self.undo
        return side.get(name, _IDLE)

    def running(self, direction: Direction) -> tuple[str, ...]:
        """Return the names of steps with an open attempt."""
        side = self.do if direction is Direction.DO else self.undo
        return tuple(n for n, p in side.items() if p.status is PhaseStatus.RUNNING)

    def settled(self, *statuses: PhaseStatus) -> tuple[str, ...]:
        """Return the steps whose doing ended so, in the order in which it did."""
        chosen = [n for n, phase in self.do.items() if phase.status in statuses]
        return tuple(sorted(chosen, key=lambda name: self.do[name].settled_at))

    @property
    def pivot_committed(self) -> bool:
        """Whether the point of no return is behind."""
        pivot = self.plan.pivot
        return (
            pivot is not None
            and self.phase(pivot, Direction.DO).status is PhaseStatus.DONE
        )


def fold(saga_id: str, events: Iterable[SagaEvent]) -> SagaView | None:
    """Return the state after ``events``, which start at version 1; None if none."""
    view: SagaView | None = None
    for event in events:
        view = _begin(saga_id, event) if view is None else apply(view, event)
    return view


def apply(view: SagaView, event: SagaEvent) -> SagaView:
    """Return the state after one more event."""
    view = replace(view, version=event.version)
    match event.type:
        case EventType.STEP_STARTED:
            return _attempt_began(view, event, Direction.DO)
        case EventType.STEP_COMPENSATION_STARTED:
            return _attempt_began(view, event, Direction.UNDO)
        case EventType.STEP_COMPLETED:
            return _attempt_ended(view, event, Direction.DO, PhaseStatus.DONE)
        case EventType.STEP_COMPENSATED:
            return _attempt_ended(view, event, Direction.UNDO, PhaseStatus.DONE)
        case EventType.STEP_FAILED:
            return _attempt_failed(view, event, Direction.DO)
        case EventType.STEP_COMPENSATION_FAILED:
            return _attempt_failed(view, event, Direction.UNDO)
        case EventType.STEP_TIMED_OUT | EventType.STEP_UNKNOWN:
            return _attempt_lost(view, event)
        case EventType.STEP_LATE_RESULT:
            return _too_late(view, event, Direction(event.data["direction"]))
        case EventType.SAGA_TIMED_OUT:
            return replace(view, cause=view.cause or {"reason": "timeout"})
        case EventType.COMPENSATION_STARTED:
            waves = tuple(tuple(wave) for wave in event.data["waves"])
            kept = tuple(event.data.get("kept_steps", ()))
            state = SagaState.COMPENSATING
            return replace(view, state=state, waves=waves, kept=kept)
        case EventType.SAGA_PAUSED:
            why = str(event.data["reason"])
            return replace(view, state=SagaState.PAUSED, paused_because=why)
        case EventType.COMPENSATION_COMPLETED:
            return _ended(view, event, SagaState.COMPENSATED)
        case EventType.COMPENSATION_FAILED:
            return _ended(view, event, SagaState.COMPENSATION_FAILED)
        case EventType.SAGA_COMPLETED:
            return _ended(view, event, SagaState.COMPLETED)
        case EventType.SAGA_STARTED:  # only ever the first; see ``_begin``
            return view


def _begin(saga_id: str, event: SagaEvent) -> SagaView:
    if event.type is not EventType.SAGA_STARTED:
        raise ValueError(f"saga {saga_id}: its first event is {event.type}")
    definition = event.data["definition"]
    transaction = SagaTransaction.from_json(definition, transaction_id=saga_id)
    return SagaView(
        saga_id=saga_id,
        version=event.version,
        transaction=transaction,
        plan=Plan(tuple(transaction.steps)),
        definition_hash=event.data["definition_hash"],
        initial_data=event.data["initial_data"],
        started_at=event.recorded_at,
    )


def _put(view: SagaView, name: str, direction: Direction, phase: Phase) -> SagaView:
    if direction is Direction.DO:
        return replace(view, do={**view.do, name: phase})
    return replace(view, undo={**view.undo, name: phase})


def _attempt_began(view: SagaView, event: SagaEvent, direction: Direction) -> SagaView:
    before = view.phase(event.step, direction)
    phase = replace(
        before,
        status=PhaseStatus.RUNNING,
        attempt=event.data["attempt"],
        round=event.data["round"],
        token=event.data["token"],
        started_at=event.recorded_at,
        due_at=None,
    )
    return _put(view, event.step, direction, phase)


def _open_phase(view: SagaView, event: SagaEvent, direction: Direction) -> Phase | None:
    """Return the phase if the event belongs to its open attempt."""
    phase = view.phase(event.step, direction)
    same = (phase.attempt, phase.round) == (event.data["attempt"], event.data["round"])
    return phase if same and phase.status is PhaseStatus.RUNNING else None


def _too_late(view: SagaView, event: SagaEvent, direction: Direction) -> SagaView:
    data = event.data
    attempt = (event.step, direction, data["attempt"], data["round"])
    return replace(view, late=view.late | {attempt})


def _attempt_ended(
    view: SagaView, event: SagaEvent, direction: Direction, status: PhaseStatus
) -> SagaView:
    phase = _open_phase(view, event, direction)
    if phase is None:
        return _too_late(view, event, direction)
    phase = replace(
        phase,
        status=status,
        output=event.data.get("output"),
        error=None,
        settled_at=event.version,
    )
    return _put(view, event.step, direction, phase)


def _attempt_failed(view: SagaView, event: SagaEvent, direction: Direction) -> SagaView:
    phase = _open_phase(view, event, direction)
    if phase is None:
        return _too_late(view, event, direction)
    lost = bool(event.data.get("lost"))
    phase = replace(
        phase,
        failures=phase.failures + (not lost),
        recoveries=phase.recoveries + lost,
    )
    return _retry_or_give_up(view, event, direction, phase, PhaseStatus.FAILED)


def _attempt_lost(view: SagaView, event: SagaEvent) -> SagaView:
    phase = _open_phase(view, event, Direction.DO)
    if phase is None:
        return _too_late(view, event, Direction.DO)
    phase = replace(phase, recoveries=phase.recoveries + 1)
    return _retry_or_give_up(view, event, Direction.DO, phase, PhaseStatus.UNKNOWN)


def _retry_or_give_up(
    view: SagaView,
    event: SagaEvent,
    direction: Direction,
    phase: Phase,
    given_up: PhaseStatus,
) -> SagaView:
    """Set a phase whose attempt ended badly to its wait, or to its end."""
    error = event.data.get("error")
    retry_at = event.data.get("retry_at_ms")
    if retry_at is not None:
        due_at = datetime.fromtimestamp(retry_at / 1_000, UTC)
        phase = replace(phase, status=PhaseStatus.WAITING, due_at=due_at, error=error)
        return _put(view, event.step, direction, phase)
    if direction is Direction.DO and phase.recoveries:
        # An earlier attempt may have taken effect: this was no clean failure.
        given_up = PhaseStatus.UNKNOWN
    phase = replace(phase, status=given_up, error=error, settled_at=event.version)
    view = _put(view, event.step, direction, phase)
    if direction is Direction.UNDO or view.cause is not None:
        return view
    reason = "step failed" if given_up is PhaseStatus.FAILED else "outcome unknown"
    return replace(view, cause={"reason": reason, "step": event.step, "error": error})


def _ended(view: SagaView, event: SagaEvent, state: SagaState) -> SagaView:
    return replace(view, state=state, ended_at=event.recorded_at)
