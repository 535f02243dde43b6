"""What happens next: every decision about a saga, as a function of its past.

A decision is facts to record at the version it was taken at, and stretches of steps
to send. Whoever takes it (the task that finished a step, the sweep that found a
saga standing still) gets the same answer from the same events; the log lets only
the first of them record it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestration.core.saga.events import STARTED, EventType, NewFact, SagaEvent
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.fold import apply
from orchestration.core.saga.forward import without_agent, without_agent_undo
from orchestration.core.saga.model import Direction, OnFailure, SagaState
from orchestration.core.saga.outcomes import (
    Outcome,
    Succeeded,
    late_fact,
    outcome_fact,
)
from orchestration.core.saga.timing import (
    check_at,
    is_overdue,
    needs_locks,
    probes,
    ready,
    unrouted,
)
from orchestration.core.saga.undoing import (
    chained,
    compensation_plan,
    current_wave,
    failed_undos,
)
from orchestration.core.saga.view import Phase, PhaseStatus, SagaView

__all__ = [
    "Decision",
    "Refusal",
    "advance",
    "claim",
    "overdue",
    "record",
    "settle",
]


class Refusal(StrEnum):
    """Why an attempt may not begin now."""

    ENDED = "the saga has ended, paused or turned to undoing"
    NOT_READY = "it still waits for other steps"
    SETTLED = "it is done already"
    HELD = "another delivery holds it"
    ANOTHERS = "another agent has been chosen for it"
    NOT_DUE = "its next attempt is not due yet"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to record and what to send.

    Attributes:
        facts: To be appended if the stream is still at the version decided on.
        view: The saga once they are recorded.
        lines: Stretches of steps to send, each as a chain; several as a group.
        direction: Whether the lines do or undo.
        probes: Steps whose agents are to be asked what became of them.
        attends: Whether the saga needs what is not an agent's to do: locks, the choice
            of an agent, or a word with its children or its parent.
        check_at: When somebody should look again if nothing has moved by then.
        is_late: The outcome came too late to count.
    """

    facts: tuple[NewFact, ...] = ()
    view: SagaView
    lines: tuple[tuple[str, ...], ...] = ()
    direction: Direction = Direction.DO
    probes: tuple[str, ...] = ()
    attends: bool = False
    check_at: datetime | None = None
    is_late: bool = False

    @property
    def sends(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.lines or self.probes or self.attends)


def claim(
    view: SagaView,
    step: str,
    direction: Direction,
    token: str,
    now: datetime,
    *,
    agent_id: str | None = None,
) -> NewFact | Refusal:
    """Return the fact that opens the step's next attempt, or why it may not open.

    Args:
        view: The saga now.
        step: Name of the step.
        direction: Whether it is to be done, undone or asked about.
        token: Of the delivery that asks.
        now: The database's clock.
        agent_id: Whom the delivery is for; None: whoever has the step.
    """
    phase = view.phase(step, direction)
    if phase.is_open:
        return Refusal.HELD
    if refusal := _not_allowed(view, step, direction):
        return refusal
    if phase.status not in (PhaseStatus.IDLE, PhaseStatus.WAITING):
        return Refusal.SETTLED
    if not phase.is_ready(now):
        return Refusal.NOT_DUE
    if step not in ready(view, direction, now):
        return Refusal.NOT_READY
    if agent_id is not None and agent_id != view.agent_of(step):
        return Refusal.ANOTHERS
    return NewFact(
        STARTED[direction],
        {
            "step": step,
            "attempt": phase.attempt + 1,
            "round": phase.round,
            "token": token,
        },
    )


def _not_allowed(view: SagaView, step: str, direction: Direction) -> Refusal | None:
    """Return why nobody may begin with anything of the kind, or None."""
    if step not in view.plan.by_name:
        return Refusal.NOT_READY
    if direction is Direction.UNDO:
        return None if view.state is SagaState.COMPENSATING else Refusal.ENDED
    if view.state is not SagaState.RUNNING:
        return Refusal.ENDED
    if direction is Direction.DO and view.cause is not None:
        return Refusal.ENDED
    return None


def settle(
    view: SagaView,
    step: str,
    direction: Direction,
    *,
    attempt: int,
    token: str,
    outcome: Outcome,
    now: datetime,
) -> Decision:
    """Record how an attempt ended, and decide what follows from it.

    An outcome of an attempt that is no longer open is recorded as late, once. One
    that is told again, since the log's answer was lost, adds nothing; what follows
    is named again, for its first telling may have died before it was sent.
    """
    phase = view.phase(step, direction)
    if (phase.attempt, phase.token) == (attempt, token):
        if phase.is_open:
            fact = outcome_fact(view, step, direction, phase, outcome, now)
            return _then(view, fact, now, before=view)
        if _is_told_again(phase, outcome):
            following = advance(view, now)
            return Decision(view=view) if following.facts else following
    if (step, direction, attempt, phase.round) in view.late:
        return Decision(view=view, is_late=True)
    late = late_fact(step, direction, attempt, phase.round, outcome)
    after = record(view, late, now)
    # Recording it sets the saga's next look anew: it must not be lost by that.
    following = advance(after, now, before=view)
    if evolve(after, version=view.version, late=view.late) == view:
        look_at = now if following.facts else following.check_at
        return Decision(facts=(late,), view=after, check_at=look_at, is_late=True)
    # It landed after its undo, which therefore is to be done once more, or after its
    # step was said to have failed.
    return evolve(following, facts=(late, *following.facts), is_late=True)


def _is_told_again(phase: Phase, outcome: Outcome) -> bool:
    """Whether this outcome is the one that closed its attempt."""
    if phase.status is PhaseStatus.IDLE:  # it is to be done once more
        return True
    if isinstance(outcome, Succeeded):
        return phase.status is PhaseStatus.DONE
    if phase.is_open or phase.status is PhaseStatus.DONE:
        return False
    return phase.error == outcome.error


def advance(
    view: SagaView, now: datetime, *, before: SagaView | None = None
) -> Decision:
    """Decide what happens next.

    Args:
        view: The saga now.
        now: The database's clock.
        before: The view from which somebody has already sent what was ready; only
            what has become ready since is sent. None: send all that is ready.
    """
    if view.state.is_final:
        return Decision(view=view, attends=_attends(view, before))
    if view.state is SagaState.COMPENSATING:
        return _undo_on(view, now, before)
    if view.cause is None and (fact := without_agent(view, now)):
        return _then(view, fact, now, before=before)
    if len(view.satisfied) == len(view.plan.steps) and not _is_asked_for(view):
        return _then(view, NewFact(EventType.SAGA_COMPLETED), now, before=before)
    if view.cause is None and now >= view.deadline:
        fact = NewFact(EventType.SAGA_TIMED_OUT)
        return _then(view, fact, now, before=before)
    if view.cause is not None:
        return _give_up(view, now, before)
    return _send(view, Direction.DO, now, before)


def overdue(decision: Decision, now: datetime) -> Decision:
    """Leave out what has been ready for a moment only: its message is on its way."""
    view = decision.view
    return evolve(
        decision,
        lines=tuple(
            line
            for line in decision.lines
            if is_overdue(view, line[0], decision.direction, now)
        ),
        probes=tuple(
            name
            for name in decision.probes
            if is_overdue(view, name, Direction.PROBE, now)
        ),
    )


def record(view: SagaView, fact: NewFact, now: datetime) -> SagaView:
    """Return the saga as it will be once a fact is recorded."""
    event = SagaEvent(view.version + 1, fact.type, fact.data, now)
    return apply(view, event)


def _then(
    view: SagaView, fact: NewFact, now: datetime, *, before: SagaView | None
) -> Decision:
    """Record a fact, and go on deciding from there."""
    after = advance(record(view, fact, now), now, before=before)
    return evolve(after, facts=(fact, *after.facts))


def _attends(view: SagaView, before: SagaView | None) -> bool:
    """Whether locks, children or a parent are waiting for a word.

    After a change (``before``) only if it is of their concern; looking at a saga that
    stands still, always.
    """
    if needs_locks(view) and (before is None or not needs_locks(before)):
        return True
    if view.parent is not None and view.state.is_final:
        return before is None or before.state is not view.state
    lacking = unrouted(view, again=before is None)
    if lacking and (before is None or not {*lacking} <= {*unrouted(before)}):
        return True
    awaited = _awaited_others(view)
    if not awaited:
        return False
    if before is None or before.state is not view.state:
        return True
    is_turned = (before.cause is None) is not (view.cause is None)
    return is_turned or awaited != _awaited_others(before)


def _awaited_others(view: SagaView) -> frozenset[tuple[Direction, str]]:
    """Return the sagas and swarms that steps wait for."""
    return frozenset(
        (direction, other)
        for direction in (Direction.DO, Direction.UNDO)
        for phase in view.side(direction).values()
        if phase.status is PhaseStatus.AWAITING
        for kind, other in phase.awaits.items()
        if kind != "signal"
    )


def _send(
    view: SagaView, direction: Direction, now: datetime, before: SagaView | None
) -> Decision:
    """Decide to send what is ready, or has become so since ``before``."""
    names, asked = ready(view, direction, now), probes(view, now)
    if before is not None and before.state is view.state:
        sent, sent_probes = ready(before, direction, now), probes(before, now)
        names = tuple(name for name in names if name not in sent)
        asked = tuple(name for name in asked if name not in sent_probes)
    done = view.satisfied
    return Decision(
        view=view,
        lines=tuple(view.plan.stretch(name, done) for name in names),
        direction=direction,
        probes=asked,
        attends=_attends(view, before),
        check_at=check_at(view, now),
    )


def _refuse_cancel(view: SagaView, now: datetime, before: SagaView | None) -> Decision:
    data = {"reason": "the point of no return is behind"}
    fact = NewFact(EventType.SAGA_CANCEL_REFUSED, data)
    return _then(view, fact, now, before=before)


def _give_up(view: SagaView, now: datetime, before: SagaView | None) -> Decision:
    """Turn a saga with a cause to undoing, once nothing runs any more."""
    asked = probes(view, now)
    if any(phase.is_open for phase in view.do.values() if not _is_signal(phase)):
        return _settling(view, now, before, asked)
    if probes(view):
        return _settling(view, now, before, asked)
    if view.pivot_committed and view.is_cancelled:
        return _refuse_cancel(view, now, before)
    unresolved = [
        name
        for name in view.settled(PhaseStatus.UNKNOWN)
        if not view.plan.by_name[name].unknown_policy.is_undone
    ]
    if unresolved or view.pivot_committed:
        why = "outcome unknown" if unresolved else "gave up after the pivot"
        cause = dict(view.cause or {})
        data = {"reason": why, "steps": unresolved, "cause": cause}
        return _then(view, NewFact(EventType.SAGA_PAUSED, data), now, before=before)
    halts = view.transaction.on_failure is OnFailure.HALT
    if halts and not _is_asked_for(view):
        cause = {"cause": dict(view.cause or {})}
        return _then(view, NewFact(EventType.SAGA_HALTED, cause), now, before=before)
    return _then(view, compensation_plan(view), now, before=before)


def _is_asked_for(view: SagaView) -> bool:
    """Whether somebody wants it undone, however it went."""
    reasons = ("cancelled", "undone with its parent")
    return view.cause is not None and view.cause.get("reason") in reasons


def _is_signal(phase: Phase) -> bool:
    return "signal" in phase.awaits and phase.status is PhaseStatus.AWAITING


def _settling(
    view: SagaView, now: datetime, before: SagaView | None, asked: tuple[str, ...]
) -> Decision:
    """Wait for what still runs: leases, children's answers and probes bound it."""
    if before is not None:
        sent = probes(before, now)
        asked = tuple(name for name in asked if name not in sent)
    return Decision(
        view=view,
        probes=asked,
        attends=_attends(view, before),
        check_at=check_at(view, now),
    )


def _undo_on(view: SagaView, now: datetime, before: SagaView | None) -> Decision:
    if fact := without_agent_undo(view):
        return _then(view, fact, now, before=before)
    wave = current_wave(view)
    if not wave:
        return _then(view, _end_of_undoing(view), now, before=before)
    decision = _send(view, Direction.UNDO, now, before)
    if before is not None and current_wave(before) != wave:
        # A new wave: all of it is to be sent, whatever of it may have been ready.
        decision = _send(view, Direction.UNDO, now, None)
        decision = evolve(decision, attends=_attends(view, before))
    lines: tuple[tuple[str, ...], ...] = tuple((line[0],) for line in decision.lines)
    if len(lines) == len(wave) == 1:  # waves of one go out as one chain
        lines = (chained(view, wave),)
    return evolve(decision, lines=lines, probes=())


def _end_of_undoing(view: SagaView) -> NewFact:
    if failed := failed_undos(view):
        data = {"failed": sorted(failed)}
        return NewFact(EventType.COMPENSATION_FAILED, data)
    if view.rewinds:
        return NewFact(EventType.SAGA_RETRIED, {"steps": list(view.rewinds)})
    return NewFact(EventType.COMPENSATION_COMPLETED)
