"""Workers in memory: what ``tasks.saga`` does with a message, without Celery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from orchestration.adapters.celery_bus import hint_for
from orchestration.adapters.lease import HeldLease
from orchestration.adapters.saga_records import Because
from orchestration.core.saga.decide import Decision, Refusal
from orchestration.core.saga.outcomes import Succeeded
from orchestration.core.saga.view import PhaseStatus
from orchestration.engine.action import Ended, perform
from orchestration.engine.attempts import Busy, Claimed, close_attempt, open_attempt
from orchestration.engine.attending import Attendant
from orchestration.engine.recording import Recorder
from orchestration.errors import ConfigurationError
from orchestration.testing.agency import Agency
from orchestration.testing.clock import FakeClock, SkippedTime
from orchestration.testing.faults import stalls
from orchestration.testing.messages import MemoryQueue, Message
from orchestration.testing.mishaps import Chance, WorkerKilled
from orchestration.testing.watch import MemoryWatch

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Attempt", "MemoryWorkers"]

# As in ``tasks.saga``: longer waits are the sweep's.
_SHORT_WAIT: Final = timedelta(seconds=5)
_PAST_DUE: Final = timedelta(milliseconds=10)
# Beyond all that goes on without the worker that stands still.
_STALL: Final = timedelta(days=1)


@dataclass(slots=True)
class Attempt:
    """A claimed attempt in a worker's hands.

    Attributes:
        ended: How the action ended, once it has.
        thaws_at: When its frozen worker goes on; None: it is not frozen.
    """

    message: Message
    claimed: Claimed
    recorder: Recorder
    work: _Work
    ended: Ended | None = None
    thaws_at: datetime | None = None


@dataclass(slots=True)
class _Work:
    """The connection of an action's own work, if the world has a database."""

    clock: FakeClock
    connect: Callable[[], Connection] | None
    connection: Connection | None = None

    def get(self) -> Connection:
        if self.connect is None:
            raise ConfigurationError(
                "this world has no database: give SagaWorld connect=engine.connect"
            )
        if self.connection is None:
            self.connection = self.connect()
        return self.connection

    def end(self, *, is_kept: bool) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            if is_kept:
                connection.commit()
            connection.close()


@dataclass(slots=True, kw_only=True)
class MemoryWorkers:
    """Worker processes that share a queue; each remembers sagas of its own.

    Attributes:
        recorders: One for each process.
        max_payload_bytes: Limit of what an action may return.
        connect: Opens the connection that an action may ask for.
        attempts: Those in workers' hands.
        refused: Why messages were left alone, oldest first.
    """

    recorders: tuple[Recorder, ...]
    attendant: Attendant
    watch: MemoryWatch
    queue: MemoryQueue
    clock: FakeClock
    chance: Chance
    agency: Agency
    max_payload_bytes: int
    connect: Callable[[], Connection] | None = None
    attempts: list[Attempt] = field(default_factory=list)
    refused: list[tuple[Message, str]] = field(default_factory=list)
    time: SkippedTime = field(init=False)

    def __post_init__(self) -> None:
        self.time = SkippedTime(self.clock)

    def deliver(self, message: Message) -> Attempt | None:
        """Take a message; return the attempt that it led to, if any."""
        step, direction = message.step, message.direction
        if step is None or direction is None:
            self.attendant.attend(message.saga_id, Because())
            return None
        recorder = self.recorders[self.chance.pick(len(self.recorders))]
        if self.agency.find(step["agent_id"], step["action"]) is None:
            what = f"{step['agent_id']}/{step['action']} in a worker of its pool"
            recorder.log.note_waiting(message.saga_id, what)
            self.refused.append((message, "not hosted"))
            return None
        limit = self.agency.limit_of(step["agent_id"])
        claimed = open_attempt(
            recorder, step, direction, message.hint, Because(), limit=limit
        )
        if isinstance(claimed, Busy):
            wait = min(timedelta(milliseconds=claimed.wait_ms), _SHORT_WAIT)
            self.queue.put(replace(message, not_before=self.clock.now() + wait))
            return None
        if isinstance(claimed, Refusal):
            self.refused.append((message, claimed.value))
            return None
        work = _Work(self.clock, self.connect)
        attempt = Attempt(message, claimed, recorder, work)
        self.attempts.append(attempt)
        if self.chance.happens(self.chance.mishaps.die):
            self._die(attempt)
            return None
        self._may_freeze(attempt)
        lease = claimed.lease
        told = claimed.view.plan.by_name[lease.step].metadata
        if stalls(told, lease.direction, lease.attempt):
            attempt.thaws_at = self.clock.now() + _STALL
        return attempt

    def perform(self, attempt: Attempt) -> None:
        """Run the action of an attempt that was claimed; record nothing yet."""
        claimed = attempt.claimed
        lease = claimed.lease
        held = HeldLease(lease, lambda: self._renew(held, attempt))
        held.renew()
        try:
            attempt.ended = perform(
                claimed.view,
                lease.step,
                lease.direction,
                held,
                attempt.work,
                self.max_payload_bytes,
                self.agency.find,
                self.time,
            )
        except WorkerKilled:
            self._die(attempt)
            return
        if self.chance.happens(self.chance.mishaps.die):
            self._die(attempt)
        else:
            self._may_freeze(attempt)

    def close(self, attempt: Attempt) -> None:
        """Record how an action ended, and send what follows."""
        ended, recorder = attempt.ended, attempt.recorder
        if ended is None:
            raise ValueError(f"{attempt.message.label} has not been performed")
        self.attempts.remove(attempt)
        # What an attempt did that is not open any more does not count. Nobody can
        # come in between: in Postgres this and the record are one transaction.
        is_kept = isinstance(ended.outcome, Succeeded) and self._is_open(attempt)
        attempt.work.end(is_kept=is_kept)
        decision = close_attempt(recorder, attempt.claimed, ended.outcome, Because())
        if decision.is_late:
            recorder.send(decision)
            return
        following = _carried(attempt.message, decision, ended)
        if following is None:
            recorder.send(decision)
        else:
            name = decision.lines[0][0]
            now = self.clock.now()
            hint = hint_for(decision.view, name, decision.direction, now)
            tail = attempt.message.tail[1:]
            self.queue.put(replace(following, hint=hint, tail=tail, not_before=now))
        if ended.raised is not None:
            self._retry(attempt, decision)

    def renew(self) -> None:
        """Do what the keepers of leases do, in processes that are not frozen."""
        held = [a.claimed.lease for a in self.attempts if a.thaws_at is None]
        self.watch.renew(held, self.recorders[0].rules.lease_s)

    def thaw(self) -> None:
        """Let frozen workers go on whose time has come."""
        for attempt in self.attempts:
            if attempt.thaws_at is not None and attempt.thaws_at <= self.clock.now():
                attempt.thaws_at = None

    def _renew(self, held: HeldLease, attempt: Attempt) -> None:
        lease_s = attempt.recorder.rules.lease_s
        alive = self.watch.renew([held.lease], lease_s)
        held.cancelled = alive.get(held.lease.owner, True)

    def _is_open(self, attempt: Attempt) -> bool:
        """Whether what the attempt did will count."""
        lease = attempt.claimed.lease
        view = attempt.recorder.log.view(lease.saga_id)
        phase = view.phase(lease.step, lease.direction)
        return phase.is_open and phase.token == lease.owner

    def _die(self, attempt: Attempt) -> None:
        """End a worker unheard; the broker gives its message to another."""
        self.attempts.remove(attempt)
        attempt.work.end(is_kept=False)
        self.queue.put(attempt.message)

    def _may_freeze(self, attempt: Attempt) -> None:
        if self.chance.happens(self.chance.mishaps.freeze):
            attempt.thaws_at = self.clock.now() + self.chance.wait()

    def _retry(self, attempt: Attempt, decision: Decision) -> None:
        """Send a short wait's next attempt; the broker keeps it until then."""
        lease = attempt.claimed.lease
        phase = decision.view.phase(lease.step, lease.direction)
        if phase.status is not PhaseStatus.WAITING or phase.due_at is None:
            return
        if phase.due_at - self.clock.now() > _SHORT_WAIT:
            return
        if decision.view.lacks_agent(lease.step):
            return  # it is sent to the one that is chosen
        again = replace(
            attempt.message,
            hint=None,
            attempt=phase.attempt + 1,
            not_before=phase.due_at + _PAST_DUE,
        )
        self.queue.put(again)


def _carried(message: Message, decision: Decision, ended: Ended) -> Message | None:
    """Return the chain's next message, if it is all that the decision sends."""
    if ended.raised is not None or not message.tail or len(decision.lines) != 1:
        return None
    if decision.direction is not message.direction:
        return None
    if decision.probes or decision.attends:
        return None
    following = message.tail[0]
    step = following.step
    is_next = step is not None and step["step"] == decision.lines[0][0]
    return following if is_next else None
