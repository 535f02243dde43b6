"""A saga's world without I/O: a log, leases, messages, workers and a sweep.

It plays what ``tasks`` and ``adapters`` do around the decisions of the core, in an
order that a seeded generator draws, and may lose, repeat and delay everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from orchestration.core.saga.decide import (
    Decision,
    Refusal,
    advance,
    claim,
    settle,
)
from orchestration.core.saga.events import STARTED, EventType, NewFact, SagaEvent
from orchestration.core.saga.fold import apply, fold
from orchestration.core.saga.model import (
    Direction,
    SagaTransaction,
    definition_hash,
)
from orchestration.core.saga.outcomes import Failed, Lost, Outcome, Succeeded
from orchestration.core.saga.timing import check_after_claim, wake_at
from orchestration.core.saga.view import PhaseStatus, SagaView

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=15)
GRACE = timedelta(seconds=2)
SHORT_WAIT = timedelta(seconds=5)
ERROR = {"type": "ValueError", "message": "no"}


def begun(transaction: SagaTransaction, **initial_data: object) -> SagaEvent:
    """Return the first event of a saga."""
    definition = transaction.to_json()
    data = {
        "definition": definition,
        "definition_hash": definition_hash(definition),
        "initial_data": initial_data,
    }
    return SagaEvent(1, EventType.SAGA_STARTED, data, T0)


def view_of(transaction: SagaTransaction, **initial_data: object) -> SagaView:
    """Return a saga that has just begun."""
    view = fold(transaction.transaction_id, [begun(transaction, **initial_data)])
    assert view is not None
    return view


@dataclass(frozen=True)
class Message:
    """A step's task on its way, with the rest of its chain."""

    step: str
    direction: Direction
    tail: tuple[str, ...] = ()
    hint: tuple[int, datetime | None] | None = None
    not_before: datetime = T0


@dataclass
class Attempt:
    """A claimed attempt in a worker's hands."""

    message: Message
    number: int
    token: str
    until: datetime
    hard_until: datetime
    renews: bool = True

    def runs_out_at(self) -> datetime:
        return self.hard_until if self.renews else self.until


@dataclass(frozen=True)
class Faults:
    """How likely each mishap is, 0.0 to 1.0."""

    lose: float = 0.0
    repeat: float = 0.0
    die: float = 0.0
    freeze: float = 0.0
    tell_twice: float = 0.0
    sweep: bool = True


# What an action does at its n-th attempt; drawn by the test.
Behaviour = Callable[[str, Direction, int], Outcome]


@dataclass
class World:
    """One saga being run."""

    transaction: SagaTransaction
    behave: Behaviour
    random: Random
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.now = T0
        self.events = [begun(self.transaction)]
        self.view = view_of(self.transaction)
        self.views = [self.view]
        self.check_at: datetime | None = T0 + timedelta(seconds=10)
        self.resends = 0
        self.messages: list[Message] = []
        self.attempts: list[Attempt] = []
        self.leases: dict[tuple[str, Direction], Attempt] = {}
        self.sent: Counter[tuple[str, Direction, int]] = Counter()
        self.refused: list[Refusal] = []
        self.effects: dict[str, int] = {}  # step -> events on record when it landed
        self.ids: set[UUID] = set()
        self.tokens = 0
        self._send(advance(self.view, self.now))

    # --- the log

    def _record(self, facts: Sequence[NewFact], check_at: datetime | None) -> None:
        for fact in facts:
            version = self.view.version
            identity = fact.event_id(self.view.saga_id, version)
            assert identity not in self.ids, f"the log has {fact} already"
            self.ids.add(identity)
            event = SagaEvent(version + 1, fact.type, fact.data, self.now)
            self.events.append(event)
            self.view = apply(self.view, event)
            self.views.append(self.view)
        self.check_at, self.resends = check_at, 0

    # --- messages

    def _send(self, decision: Decision) -> None:
        for line in decision.lines:
            view, now = decision.view, self.now
            check = check_after_claim(view, line[0], decision.direction, now)
            hint = (view.version, check)
            self._put(Message(line[0], decision.direction, line[1:], hint))

    def _put(self, message: Message) -> None:
        attempt = self.view.phase(message.step, message.direction).attempt + 1
        self.sent[message.step, message.direction, attempt] += 1
        if not self._happens(self.faults.lose):
            self.messages.append(message)

    def _happens(self, likelihood: float) -> bool:
        return self.random.random() < likelihood

    # --- a worker

    def deliver(self, message: Message) -> None:
        if not self._happens(self.faults.repeat):
            self.messages.remove(message)
        step, direction = message.step, message.direction
        self.tokens += 1
        token = f"delivery {self.tokens}"
        fact = claim(self.view, step, direction, token, self.now)
        check_at = check_after_claim(self.view, step, direction, self.now)
        if message.hint is not None and message.hint[0] == self.view.version:
            first = {"step": step, "attempt": 1, "round": 1, "token": token}
            guess = NewFact(STARTED[direction], first)
            if guess.event_id(self.view.saga_id, 0) not in self.ids:
                assert fact == guess, "a hint that is still true claims rightly"
                check_at = message.hint[1]
        if isinstance(fact, Refusal):
            self.refused.append(fact)
            return
        timeout = timedelta(milliseconds=self.view.plan.by_name[step].timeout_ms)
        self._record([fact], check_at)
        attempt = Attempt(
            message,
            fact.data["attempt"],
            token,
            min(self.now + LEASE, self.now + timeout + GRACE),
            self.now + timeout + GRACE,
        )
        self.leases[step, direction] = attempt
        self.attempts.append(attempt)
        if self._happens(self.faults.die):
            attempt.renews = False
            if isinstance(self.behave(step, direction, attempt.number), Succeeded):
                self._land(step, direction)
            self.attempts.remove(attempt)
        elif self._happens(self.faults.freeze):
            attempt.renews = False

    def _land(self, step: str, direction: Direction) -> None:
        if direction is Direction.DO:
            self.effects.setdefault(step, len(self.events))

    def finish(self, attempt: Attempt) -> None:
        self.attempts.remove(attempt)
        step, direction = attempt.message.step, attempt.message.direction
        outcome = self.behave(step, direction, attempt.number)
        if not isinstance(outcome, Failed):
            self._land(step, direction)
        decision = self.settle(attempt, outcome)
        if self._happens(self.faults.tell_twice):
            before = len(self.events)
            again = self.settle(attempt, outcome)
            assert len(self.events) == before, "told twice adds nothing"
            if not decision.is_late:
                decision = again  # the first answer was lost
        self._go_on(attempt, outcome, decision)

    def settle(self, attempt: Attempt, outcome: Outcome) -> Decision:
        step, direction = attempt.message.step, attempt.message.direction
        before = self.view
        decision = settle(
            before,
            step,
            direction,
            attempt=attempt.number,
            token=attempt.token,
            outcome=outcome,
            now=self.now,
        )
        if decision.is_late and decision.view.undo == before.undo:
            same = replace(self.view, version=0, late=frozenset())
            assert replace(decision.view, version=0, late=frozenset()) == same
        if decision.facts:
            self._record(decision.facts, decision.check_at)
        assert decision.view == self.view
        if self.leases.get((step, direction)) is attempt:
            del self.leases[step, direction]
        return decision

    def _go_on(self, attempt: Attempt, outcome: Outcome, decision: Decision) -> None:
        if decision.is_late:
            self._send(decision)
            return
        message = attempt.message
        tail, lines = message.tail, decision.lines
        carried = (
            len(lines) == 1
            and bool(tail)
            and decision.direction is message.direction
            and lines[0][0] == tail[0]
        )
        if carried and isinstance(outcome, Succeeded):
            check = check_after_claim(
                decision.view, tail[0], message.direction, self.now
            )
            hint = (decision.view.version, check)
            self._put(Message(tail[0], message.direction, tail[1:], hint))
            return
        self._send(decision)
        phase = decision.view.phase(message.step, message.direction)
        if isinstance(outcome, Succeeded) or phase.status is not PhaseStatus.WAITING:
            return
        assert phase.due_at is not None
        if phase.due_at - self.now <= SHORT_WAIT:
            due = phase.due_at + timedelta(milliseconds=10)
            self._put(replace(message, hint=None, not_before=due))

    # --- the sweep

    def sweep(self) -> None:
        for (step, direction), attempt in [*self.leases.items()]:
            if attempt.runs_out_at() > self.now:
                continue
            phase = self.view.phase(step, direction)
            assert (phase.status, phase.attempt) == ("RUNNING", attempt.number)
            lost = Lost({"type": "WorkerLost", "message": ""}, at_once=True)
            self._send(self.settle(attempt, lost))
        if self.check_at is None or self.check_at > self.now:
            return
        wait_s = min(10 * 2 ** min(self.resends, 10), 300)
        self.check_at, self.resends = (
            self.now + timedelta(seconds=wait_s),
            self.resends + 1,
        )
        decision = advance(self.view, self.now)
        if decision.facts:
            self._record(decision.facts, decision.check_at)
        self._send(decision)
        at = wake_at(self.view, self.now)
        if not decision.facts and at is not None:
            self.check_at = min(self.check_at, at)

    # --- time

    def run(self, limit: int = 4_000) -> SagaView:
        for _ in range(limit):
            if self.view.state.is_final and not self.attempts:
                return self.view
            self._one_thing()
        raise AssertionError(f"still {self.view.state} after {limit} moves")

    def _one_thing(self) -> None:
        ripe = [m for m in self.messages if m.not_before <= self.now]
        moves: list[Callable[[], None]] = []
        if ripe:
            moves.append(lambda: self.deliver(self.random.choice(ripe)))
        if awake := [a for a in self.attempts if a.renews]:
            moves.append(lambda: self.finish(self.random.choice(awake)))
        frozen = [a for a in self.attempts if not a.renews]
        if frozen and self._happens(0.1):
            moves.append(lambda: self.finish(self.random.choice(frozen)))
        if moves and not self._happens(0.05):
            self.random.choice(moves)()
        else:
            self._let_time_pass()
        if self.faults.sweep and self._happens(0.3):
            self.sweep()

    def _let_time_pass(self) -> None:
        times = [m.not_before for m in self.messages]
        if self.faults.sweep:
            times += [a.runs_out_at() for a in self.leases.values()]
            times += [self.check_at] if self.check_at is not None else []
        ahead = [at for at in times if at > self.now]
        busy = len(ahead) < len(times) or self.attempts
        assert ahead or busy, f"nobody looks at it any more, {self.view.state}"
        if busy and self._happens(0.7):
            self.now += timedelta(milliseconds=self.random.choice([1, 300, 2_000]))
        elif ahead:
            self.now = min(ahead)
        if self.faults.sweep:
            self.sweep()
