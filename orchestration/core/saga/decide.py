"""What happens next: every decision about a saga, as a function of its past.

A decision is facts to record at the version it was taken at, and stretches of steps
to send. Whoever takes it (the task that finished a step, the sweep that found a
saga standing still) gets the same answer from the same events; the log lets only
the first of them record it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from orchestration.core.saga.compensation import compensation_waves, kept_steps
from orchestration.core.saga.events import STARTED, EventType, NewFact, SagaEvent
from orchestration.core.saga.fold import Phase, PhaseStatus, SagaView, apply
from orchestration.core.saga.model import (
    CompensationStrategy,
    Direction,
    OnCompensationFailure,
    SagaState,
    UnknownPolicy,
)
from orchestration.core.saga.outcomes import (
    Outcome,
    Succeeded,
    late_fact,
    outcome_fact,
)
from orchestration.core.saga.plan import MAX_STRETCH

__all__ = [
    "RESEND_AFTER",
    "Decision",
    "Refusal",
    "advance",
    "check_after_claim",
    "claim",
    "settle",
    "wake_at",
]

# A message that nobody has claimed within this time is sent again.
RESEND_AFTER = timedelta(seconds=10)
# Short waits end by a message of their own; the sweep looks only when it is late.
RETRY_SLACK = timedelta(seconds=2)


class Refusal(StrEnum):
    """Why an attempt may not begin now."""

    ENDED = "the saga has ended, paused or turned to undoing"
    NOT_READY = "it still waits for other steps"
    SETTLED = "it is done already"
    HELD = "another delivery holds it"
    NOT_DUE = "its next attempt is not due yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to record and what to send.

    Attributes:
        facts: To be appended if the stream is still at the version decided on.
        view: The saga once they are recorded.
        lines: Stretches of steps to send, each as a chain; several as a group.
        direction: Whether the lines do or undo.
        check_at: When somebody should look again if nothing has moved by then.
        is_late: The outcome came too late to count.
    """

    facts: tuple[NewFact, ...] = ()
    view: SagaView
    lines: tuple[tuple[str, ...], ...] = ()
    direction: Direction = Direction.DO
    check_at: datetime | None = None
    is_late: bool = False


def claim(
    view: SagaView, step: str, direction: Direction, token: str, now: datetime
) -> NewFact | Refusal:
    """Return the fact that opens the step's next attempt, or why it may not open.

    Args:
        view: The saga now.
        step: Name of the step.
        direction: Whether it is to be done or undone.
        token: Of the delivery that asks.
        now: The database's clock.
    """
    phase = view.phase(step, direction)
    if phase.status is PhaseStatus.RUNNING:
        return Refusal.HELD
    if direction is Direction.DO:
        if view.state is not SagaState.RUNNING or view.cause is not None:
            return Refusal.ENDED
        allowed = view.plan.needs(step) <= set(view.completed)
    else:
        if view.state is not SagaState.COMPENSATING:
            return Refusal.ENDED
        allowed = step in _current_wave(view)
    if phase.status not in (PhaseStatus.IDLE, PhaseStatus.WAITING):
        return Refusal.SETTLED
    if not allowed:
        return Refusal.NOT_READY
    if phase.due_at is not None and phase.due_at > now:
        return Refusal.NOT_DUE
    return NewFact(
        STARTED[direction],
        {
            "step": step,
            "attempt": phase.attempt + 1,
            "round": phase.round,
            "token": token,
        },
    )


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
        if phase.status is PhaseStatus.RUNNING:
            fact = outcome_fact(view, step, direction, phase, outcome, now)
            after = advance(_record(view, fact, now), now, before=view)
            return replace(after, facts=(fact, *after.facts))
        if _is_told_again(phase, outcome):
            following = advance(view, now)
            return Decision(view=view) if following.facts else following
    if (step, direction, attempt, phase.round) in view.late:
        return Decision(view=view, is_late=True)
    late = late_fact(step, direction, attempt, phase.round, outcome)
    view = _record(view, late, now)
    # Recording it sets the saga's next look anew: it must not be lost by that.
    following = advance(view, now)
    check_at = now if following.facts else following.check_at
    return Decision(facts=(late,), view=view, check_at=check_at, is_late=True)


def _is_told_again(phase: Phase, outcome: Outcome) -> bool:
    """Whether this outcome is the one that closed its attempt."""
    if isinstance(outcome, Succeeded):
        return phase.status is PhaseStatus.DONE
    if phase.status in (PhaseStatus.RUNNING, PhaseStatus.DONE):
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
        return Decision(view=view)
    if view.state is SagaState.COMPENSATING:
        return _undo_on(view, now, before)
    if len(view.completed) == len(view.plan.steps):
        return _and(view, now, NewFact(EventType.SAGA_COMPLETED))
    if view.cause is None and now >= view.deadline:
        fact = NewFact(EventType.SAGA_TIMED_OUT)
        after = _give_up(_record(view, fact, now), now)
        return replace(after, facts=(fact, *after.facts))
    if view.cause is not None:
        return _give_up(view, now)
    ready = _ready(view, now)
    check_at = _check_at(view, now, awaits_claim=bool(ready))
    if before is not None and before.state is SagaState.RUNNING:
        sent = _ready(before, now)
        ready = tuple(name for name in ready if name not in sent)
    done = set(view.completed)
    lines = tuple(view.plan.stretch(name, done) for name in ready)
    return Decision(view=view, lines=lines, check_at=check_at)


def _record(view: SagaView, fact: NewFact, now: datetime) -> SagaView:
    event = SagaEvent(view.version + 1, fact.type, fact.data, now)
    return apply(view, event)


def _and(view: SagaView, now: datetime, fact: NewFact) -> Decision:
    return Decision(facts=(fact,), view=_record(view, fact, now))


def _ready(view: SagaView, now: datetime) -> tuple[str, ...]:
    out = []
    for name in view.plan.ready(set(view.completed)):
        phase = view.phase(name, Direction.DO)
        is_due = phase.status is PhaseStatus.WAITING and (phase.due_at or now) <= now
        if phase.status is PhaseStatus.IDLE or is_due:
            out.append(name)
    return tuple(out)


def _give_up(view: SagaView, now: datetime) -> Decision:
    """Turn a saga with a cause to undoing, once nothing runs any more."""
    if view.running(Direction.DO):
        return Decision(view=view)  # their leases bound the wait
    unresolved = [
        name
        for name in view.settled(PhaseStatus.UNKNOWN)
        if view.plan.by_name[name].unknown_policy is UnknownPolicy.ESCALATE
    ]
    if unresolved or view.pivot_committed:
        cause = view.cause or {}
        why = "outcome unknown" if unresolved else "gave up after the pivot"
        data = {"reason": why, "steps": unresolved, "cause": dict(cause)}
        return _and(view, now, NewFact(EventType.SAGA_PAUSED, data))
    fact = _compensation_plan(view)
    after = _undo_on(_record(view, fact, now), now, None)
    return replace(after, facts=(fact, *after.facts))


def _compensation_plan(view: SagaView) -> NewFact:
    strategy = CompensationStrategy(view.transaction.compensation_strategy)
    # Waiting for another attempt after a lost one: it may have taken effect.
    waiting = [
        name
        for name, phase in view.do.items()
        if phase.status is PhaseStatus.WAITING and phase.recoveries
    ]
    unknown = {*view.settled(PhaseStatus.UNKNOWN), *waiting}
    done = [*view.settled(PhaseStatus.DONE, PhaseStatus.UNKNOWN), *waiting]
    waves = compensation_waves(
        view.plan,
        strategy,
        done=done,
        unknown=unknown,
        failed=set(view.settled(PhaseStatus.FAILED)),
    )
    return NewFact(
        EventType.COMPENSATION_STARTED,
        {
            "cause": dict(view.cause or {}),
            "strategy": strategy,
            "waves": [list(wave) for wave in waves],
            "kept_steps": list(kept_steps(view.plan, strategy, view.completed)),
        },
    )


def _current_wave(view: SagaView) -> tuple[str, ...]:
    """Return the first wave that has not settled; () if all have, or one halted."""
    halts = view.transaction.on_compensation_failure is OnCompensationFailure.HALT
    for wave in view.waves:
        statuses = [view.phase(name, Direction.UNDO).status for name in wave]
        if not all(s in (PhaseStatus.DONE, PhaseStatus.FAILED) for s in statuses):
            return wave
        if halts and PhaseStatus.FAILED in statuses:
            return ()
    return ()


def _undo_on(view: SagaView, now: datetime, before: SagaView | None) -> Decision:
    wave = _current_wave(view)
    if not wave:
        failed = [n for n, p in view.undo.items() if p.status is PhaseStatus.FAILED]
        if failed:
            data = {"failed": sorted(failed)}
            return _and(view, now, NewFact(EventType.COMPENSATION_FAILED, data))
        return _and(view, now, NewFact(EventType.COMPENSATION_COMPLETED))
    ready = tuple(name for name in wave if _may_undo(view, name, now))
    check_at = _check_at(view, now, awaits_claim=bool(ready))
    if before is not None and _current_wave(before) == wave:
        # Whoever began the wave has sent it; a lost undo is ready anew.
        ready = tuple(n for n in ready if not _may_undo(before, n, now))
    lines: tuple[tuple[str, ...], ...] = tuple((name,) for name in ready)
    if ready == wave and len(wave) == 1:  # waves of one go out as one chain
        lines = (_chained(view, wave),)
    return Decision(view=view, lines=lines, direction=Direction.UNDO, check_at=check_at)


def _chained(view: SagaView, wave: tuple[str, ...]) -> tuple[str, ...]:
    """Return the steps of this wave of one and of those of one that follow it."""
    at = view.waves.index(wave)
    out: list[str] = []
    for following in view.waves[at : at + MAX_STRETCH]:
        if len(following) > 1:
            break
        out += following
    return tuple(out)


def _may_undo(view: SagaView, name: str, now: datetime) -> bool:
    phase = view.phase(name, Direction.UNDO)
    is_due = phase.status is PhaseStatus.WAITING and (phase.due_at or now) <= now
    return phase.status is PhaseStatus.IDLE or is_due


def wake_at(view: SagaView, now: datetime | None = None) -> datetime | None:
    """Return when time alone will move the saga: a due retry, or its deadline.

    Args:
        view: The saga now.
        now: The database's clock: retries that are due by then have been sent and
            are sent again like any message. None: they count as well.
    """
    if view.state.is_final:
        return None
    is_doing = view.state is SagaState.RUNNING
    if is_doing and view.cause is not None:
        return None  # it only waits for what still runs, which has leases
    side = view.do if is_doing else view.undo
    due = [p.due_at for p in side.values() if p.status is PhaseStatus.WAITING]
    times = [at + RETRY_SLACK for at in due if at is not None]
    if now is not None:
        times = [at for at in times if at > now]
    if is_doing:
        times.append(view.deadline)
    return min(times, default=None)


def check_after_claim(
    view: SagaView, step: str, direction: Direction, now: datetime
) -> datetime | None:
    """Return when to look again once ``step`` has been claimed from this view.

    Its lease bounds the step itself; others may still wait for their claim.
    """
    if direction is Direction.DO:
        others = [name for name in _ready(view, now) if name != step]
    else:
        wave = _current_wave(view)
        others = [n for n in wave if n != step and _may_undo(view, n, now)]
    return _check_at(view, now, awaits_claim=bool(others))


def _check_at(view: SagaView, now: datetime, *, awaits_claim: bool) -> datetime | None:
    at = wake_at(view, now)
    if not awaits_claim:
        return at
    return min(now + RESEND_AFTER, at) if at else now + RESEND_AFTER
