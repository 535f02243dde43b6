"""Open an attempt and close it: claims and outcomes, against the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from celery import Task

from orchestration.adapters.saga_records import (
    Answer,
    Because,
    Lease,
    LeaseChange,
    Record,
    Status,
)
from orchestration.contracts import Hint, StepMessage
from orchestration.core.saga.decide import (
    Decision,
    Refusal,
    check_after_claim,
    claim,
    settle,
)
from orchestration.core.saga.events import FAILED, STARTED, NewFact, SagaEvent
from orchestration.core.saga.fold import PhaseStatus, SagaView, apply, fold
from orchestration.core.saga.model import Direction, SagaState
from orchestration.core.saga.outcomes import Outcome
from orchestration.errors import SagaNotFound
from tasks.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Claimed", "because_of", "close_attempt", "open_attempt", "record"]

logger = logging.getLogger(__name__)

# Between an action's end and its record lies one round trip, or a short outage.
_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that is ours: the saga with it open, and its lease."""

    view: SagaView
    lease: Lease


def because_of(task: Task) -> Because:
    """Return which task is at work, for the events it causes."""
    request = task.request
    return Because(
        task_id=request.id,
        parent_id=request.parent_id,
        root_id=request.root_id,
        actor=request.hostname or "",
    )


def open_attempt(
    rt: Runtime,
    message: StepMessage,
    direction: Direction,
    hint: Hint | None,
    because: Because,
) -> Claimed | Refusal:
    """Claim the step's next attempt, or say why it may not begin.

    With a hint that is still true, reading and claiming are one round trip.
    """
    saga_id, step = message["saga_id"], message["step"]
    token = str(uuid4())
    limit_s = message["timeout_ms"] / 1_000 + _GRACE_S
    if hint is None:
        events = rt.log.read(saga_id).events
    else:
        guess = NewFact(
            STARTED[direction],
            {"step": step, "attempt": 1, "round": 1, "token": token},
        )
        lease = Lease(saga_id, step, direction, 1, token)
        answer = _claim(rt, lease, guess, hint, limit_s, because, direction)
        events = answer.events
        if answer.is_recorded:
            before = _folded(saga_id, events[:-1])
            claimed = Claimed(apply(before, events[-1]), lease)
            if _is_sound(before, step, direction, token, rt.now()):
                return claimed
            _take_back(rt, claimed, because)
            return Refusal.NOT_READY
    while True:
        view = _folded(saga_id, events)
        attempt = view.phase(step, direction).attempt
        mine = Lease(saga_id, step, direction, attempt, token)
        if _holds(view, mine):
            # It was recorded, and only the log's answer was lost on its way.
            return Claimed(view, mine)
        now = rt.now()
        fact = claim(view, step, direction, token, now)
        if isinstance(fact, Refusal):
            return fact
        lease = Lease(saga_id, step, direction, fact.data["attempt"], token)
        at = check_after_claim(view, step, direction, now)
        seen = Hint(version=view.version, check_at_ms=_ms(at))
        answer = _claim(rt, lease, fact, seen, limit_s, because, direction)
        if answer.is_recorded:
            return Claimed(_folded(saga_id, answer.events), lease)
        if answer.status is Status.CLOSED:
            rt.log.heal(saga_id)
        events = answer.events


def _is_sound(
    before: SagaView, step: str, direction: Direction, token: str, now: datetime
) -> bool:
    """Whether a claim that a hint led to was allowed, as a true hint's always is."""
    return step in before.plan.by_name and not isinstance(
        claim(before, step, direction, token, now), Refusal
    )


def _take_back(rt: Runtime, claimed: Claimed, because: Because) -> None:
    """Record that a claim came from a message that lied; its action never ran."""
    lease, view = claimed.lease, claimed.view
    logger.error("a message lied about saga %s, step %r", lease.saga_id, lease.step)
    error = {"type": "FalseHint", "message": "the message was not of this saga's past"}
    while _holds(view, lease):
        fact = NewFact(
            FAILED[lease.direction],
            {
                "step": lease.step,
                "attempt": lease.attempt,
                "round": 1,
                "token": lease.owner,
                "error": error,
                "retry_at_ms": _ms(rt.now()),
            },
        )
        answer = rt.log.record(
            Record(
                saga_id=lease.saga_id,
                expected=view.version,
                facts=(fact,),
                state=view.state,
                gives_up=view.cause is not None,
                check_at=rt.now(),
                lease=lease,
                change=LeaseChange.DROP,
            ),
            because,
        )
        if answer.status is not Status.CONFLICT:
            return
        view = _folded(lease.saga_id, answer.events)


def _holds(view: SagaView, lease: Lease) -> bool:
    """Whether the attempt is open in the events, and this lease's."""
    phase = view.phase(lease.step, lease.direction)
    return phase.status is PhaseStatus.RUNNING and phase.token == lease.owner


def _claim(
    rt: Runtime,
    lease: Lease,
    fact: NewFact,
    hint: Hint,
    limit_s: float,
    because: Because,
    direction: Direction,
) -> Answer:
    check_ms = hint["check_at_ms"]
    doing = direction is Direction.DO
    return rt.log.record(
        Record(
            saga_id=lease.saga_id,
            expected=hint["version"],
            facts=(fact,),
            state=SagaState.RUNNING if doing else SagaState.COMPENSATING,
            gives_up=not doing,
            check_at=_at(check_ms) if check_ms is not None else None,
            lease=lease,
            change=LeaseChange.TAKE,
            lease_s=rt.settings.lease_s,
            limit_s=limit_s,
            want_events=True,
        ),
        because,
    )


def close_attempt(
    rt: Runtime,
    claimed: Claimed,
    outcome: Outcome,
    because: Because,
    *,
    change: LeaseChange = LeaseChange.DROP,
    connection: Connection | None = None,
) -> Decision:
    """Record how an attempt ended and what follows from it.

    An outcome is never dropped: if the attempt is not open any more it is recorded
    as late. Nothing is sent here.
    """
    lease, view = claimed.lease, claimed.view
    with_lease: LeaseChange | None = change
    while True:
        decision = settle(
            view,
            lease.step,
            lease.direction,
            attempt=lease.attempt,
            token=lease.owner,
            outcome=outcome,
            now=rt.now(),
        )
        if not decision.facts:
            return decision
        if decision.is_late:
            if change is LeaseChange.EXPIRE:  # its holder closed it meanwhile
                return decision
            with_lease = None
            if connection is not None:  # its work does not count, what is told does
                connection.rollback()
                connection = None
            if view.state.is_over:
                rt.log.record_late(lease.saga_id, decision.facts[0], because)
                return decision
        answer = record(
            rt,
            view,
            decision,
            because,
            lease=lease,
            change=with_lease,
            connection=connection,
        )
        if answer.is_recorded or answer.status is Status.HELD:
            return decision if answer.is_recorded else Decision(view=view)
        if answer.status is Status.FENCED:
            # Ask the events, which know better than the side table: if the attempt
            # is still open in them, only its lease's row was lost.
            with_lease = None
        view = _folded(lease.saga_id, answer.events)
        if answer.status is Status.CLOSED:
            rt.log.heal(lease.saga_id)


def record(
    rt: Runtime,
    view: SagaView,
    decision: Decision,
    because: Because,
    *,
    lease: Lease | None = None,
    change: LeaseChange | None = None,
    connection: Connection | None = None,
) -> Answer:
    """Record a decision taken at ``view``; count it, and tell of the saga's end."""
    after = decision.view
    answer = rt.log.record(
        Record(
            saga_id=view.saga_id,
            expected=view.version,
            facts=decision.facts,
            state=after.state,
            gives_up=after.cause is not None,
            check_at=decision.check_at,
            lease=lease,
            change=change,
        ),
        because,
        connection=connection,
    )
    if answer.is_recorded and connection is None:
        announce(rt, decision)
    return answer


def announce(rt: Runtime, decision: Decision) -> None:
    """Count what a decision recorded, and tell waiting callers if it was the end."""
    rt.metrics.observe(decision.facts, decision.view)
    if decision.view.state.is_final:
        rt.ends.tell(decision.view.saga_id)


def _folded(saga_id: str, events: Iterable[SagaEvent]) -> SagaView:
    view = fold(saga_id, events)
    if view is None:
        raise SagaNotFound(f"there is no saga {saga_id}", saga_id)
    return view


def _ms(at: datetime | None) -> int | None:
    return round(at.timestamp() * 1_000) if at else None


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
