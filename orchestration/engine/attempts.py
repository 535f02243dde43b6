"""Open an attempt and close it: claims and outcomes, against the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from orchestration.adapters.saga_records import (
    AgentLimit,
    Answer,
    Because,
    Lease,
    LeaseChange,
    Record,
    Status,
)
from orchestration.contracts import Hint, StepMessage
from orchestration.core.saga.decide import Decision, Refusal, claim, settle
from orchestration.core.saga.events import FAILED, STARTED, NewFact, SagaEvent
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.fold import apply
from orchestration.core.saga.model import Direction, SagaState
from orchestration.core.saga.outcomes import Outcome
from orchestration.core.saga.timing import check_after_claim, whole_ms
from orchestration.core.saga.view import PhaseStatus, SagaView
from orchestration.engine.recording import Recorder, folded

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Busy", "Claimed", "close_attempt", "open_attempt"]

logger = logging.getLogger(__name__)

# Between an action's end and its record lies one round trip, or a short outage.
_GRACE_S = 2.0

# A message may be here before what it follows is recorded: it is sent meanwhile.
_NOT_YET_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that is ours: the saga with it open, and its lease."""

    view: SagaView
    lease: Lease


@dataclass(frozen=True, slots=True)
class Busy:
    """The agent's limit is reached; ask again after the wait, milliseconds."""

    wait_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimant:
    """One delivery that asks for an attempt."""

    recorder: Recorder
    because: Because
    limit: AgentLimit | None
    limit_s: float

    def ask(
        self, lease: Lease, fact: NewFact, hint: Hint, *, read_after: int | None
    ) -> Answer:
        check_ms = hint["check_at_ms"]
        undoes = lease.direction is Direction.UNDO
        return self.recorder.log.record(
            Record(
                saga_id=lease.saga_id,
                expected=hint["version"],
                facts=(fact,),
                state=SagaState.COMPENSATING if undoes else SagaState.RUNNING,
                gives_up=hint.get("gives_up", undoes),
                check_at=_at(check_ms) if check_ms is not None else None,
                lease=lease,
                change=LeaseChange.TAKE,
                lease_s=self.recorder.rules.lease_s,
                limit_s=self.limit_s,
                limit=self.limit,
                read_after=read_after,
            ),
            self.because,
        )

    def ask_in_time(
        self, lease: Lease, fact: NewFact, hint: Hint, *, read_after: int | None
    ) -> Answer:
        """Ask until the saga stands where the hint says, for a quarter of a second."""
        answer = self.ask(lease, fact, hint, read_after=read_after)
        for wait_s in _NOT_YET_S:
            stands_at = answer.events[-1].version if answer.events else 0
            is_early = answer.status is Status.CONFLICT and stands_at < hint["version"]
            if not is_early:
                break
            time.sleep(wait_s)
            answer = self.ask(lease, fact, hint, read_after=read_after)
        return answer


def open_attempt(
    recorder: Recorder,
    message: StepMessage,
    direction: Direction,
    hint: Hint | None,
    because: Because,
    *,
    limit: AgentLimit | None = None,
) -> Claimed | Refusal | Busy:
    """Claim the step's next attempt, or say why it may not begin.

    With a hint that is still true, reading and claiming are one round trip.
    """
    saga_id, step = message["saga_id"], message["step"]
    token = str(uuid4())
    claimant = _Claimant(
        recorder=recorder,
        because=because,
        limit=limit,
        limit_s=message["timeout_ms"] / 1_000 + _GRACE_S,
    )
    if hint is None:
        events = recorder.log.read(saga_id).events
    else:
        found = _by_hint(claimant, message, direction, hint, token)
        if not isinstance(found, tuple):
            return found
        events = found
    while True:
        view = folded(saga_id, events)
        attempt = view.phase(step, direction).attempt
        mine = Lease(saga_id, step, direction, attempt, token)
        if _holds(view, mine):
            # It was recorded, and only the log's answer was lost on its way.
            return Claimed(view, mine)
        now = recorder.now()
        agent_id = _chosen(view, message)
        fact = claim(view, step, direction, token, now, agent_id=agent_id)
        if isinstance(fact, Refusal):
            return fact
        lease = Lease(saga_id, step, direction, fact.data["attempt"], token)
        at = check_after_claim(view, step, direction, now)
        seen = Hint(
            version=view.version,
            check_at_ms=whole_ms(at) if at else None,
            gives_up=view.cause is not None,
        )
        answer = claimant.ask(lease, fact, seen, read_after=None)
        if answer.is_recorded:
            return Claimed(_after(view, fact, answer), lease)
        if answer.status is Status.BUSY:
            return Busy(answer.wait_ms)
        if answer.status is Status.CLOSED:
            recorder.log.heal(saga_id)
        events = answer.events


def _by_hint(
    claimant: _Claimant,
    message: StepMessage,
    direction: Direction,
    hint: Hint,
    token: str,
) -> Claimed | Refusal | Busy | tuple[SagaEvent, ...]:
    """Claim a first attempt unseen; the events, if the hint was true no longer."""
    recorder = claimant.recorder
    saga_id, step = message["saga_id"], message["step"]
    guess = NewFact(
        STARTED[direction], {"step": step, "attempt": 1, "round": 1, "token": token}
    )
    lease = Lease(saga_id, step, direction, 1, token)
    known = recorder.views.get(saga_id)
    if known is not None and known.version > hint["version"]:
        known = None
    read_after = known.version if known else 0
    is_known = known is not None and known.version == hint["version"]
    answer = claimant.ask_in_time(
        lease, guess, hint, read_after=None if is_known else read_after
    )
    if answer.status is Status.BUSY:
        return Busy(answer.wait_ms)
    if not answer.is_recorded:
        return answer.events
    seen = answer.events[:-1]  # the last is the claim itself
    before = _applied(known, seen) if known else folded(saga_id, seen)
    claimed = Claimed(_after(before, guess, answer), lease)
    agent_id, now = _chosen(before, message), recorder.now()
    fact = claim(before, step, direction, token, now, agent_id=agent_id)
    if isinstance(fact, Refusal):
        _take_back(claimant, claimed)
        return Refusal.NOT_READY
    return claimed


def _chosen(view: SagaView, message: StepMessage) -> str | None:
    """Return whom a message is for, if its step's agent is chosen and may change.

    The message of a named agent may say what it likes; the definition counts.
    """
    step = view.plan.by_name.get(message["step"])
    return message["agent_id"] if step is not None and step.is_open else None


def _applied(view: SagaView, events: Iterable[SagaEvent]) -> SagaView:
    for event in events:
        view = apply(view, event)
    return view


def _after(view: SagaView, fact: NewFact, answer: Answer) -> SagaView:
    """Return the saga with a claim as it was recorded."""
    at = answer.recorded_at or answer.now
    return apply(view, SagaEvent(view.version + 1, fact.type, fact.data, at))


def _take_back(claimant: _Claimant, claimed: Claimed) -> None:
    """Record that a claim came from a message that lied; its action never ran."""
    lease, view, recorder = claimed.lease, claimed.view, claimant.recorder
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
                "retry_at_ms": whole_ms(recorder.now()),
            },
        )
        record = Record.of(
            view,
            view,
            (fact,),
            check_at=recorder.now(),
            lease=lease,
            change=LeaseChange.DROP,
        )
        answer = recorder.log.record(record, claimant.because)
        if answer.status is not Status.CONFLICT:
            return
        view = folded(lease.saga_id, answer.events)


def _holds(view: SagaView, lease: Lease) -> bool:
    """Whether the attempt is open in the events, and this lease's."""
    phase = view.phase(lease.step, lease.direction)
    return phase.status is PhaseStatus.RUNNING and phase.token == lease.owner


def close_attempt(
    recorder: Recorder,
    claimed: Claimed,
    outcome: Outcome,
    because: Because,
    *,
    change: LeaseChange = LeaseChange.DROP,
    connection: Connection | None = None,
    ahead: Callable[[Decision], None] | None = None,
) -> Decision:
    """Record how an attempt ended and what follows from it.

    An outcome is never dropped: if the attempt is not open any more it is recorded
    as late, also of a saga that is over. Nothing is sent here, but by ``ahead``: it is
    called once, with what is about to be recorded, which may still come otherwise.
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
            now=recorder.now(),
        )
        if not decision.facts:
            return decision
        if decision.is_late:
            if change is LeaseChange.EXPIRE:  # its holder closed it meanwhile
                return evolve(decision, lines=(), probes=(), attends=False)
            with_lease = None
            if connection is not None:  # its work does not count, what is told does
                connection.rollback()
                connection = None
        elif ahead is not None:
            ahead(decision)
            ahead = None
        answer, recorded = recorder.record(
            view,
            decision,
            because,
            lease=lease,
            change=with_lease,
            connection=connection,
        )
        if answer.is_recorded:
            return recorded
        if answer.status is Status.HELD:
            return Decision(view=view)
        if answer.status is Status.FENCED:
            # Ask the events, which know better than the side table: if the attempt
            # is still open in them, only its lease's row was lost.
            with_lease = None
        view = folded(lease.saga_id, answer.events)
        if answer.status is Status.CLOSED and not view.state.is_over:
            recorder.log.heal(lease.saga_id)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
