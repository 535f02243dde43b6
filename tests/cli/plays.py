"""Sagas played by the core itself, second by second: what people then look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from orchestration.core.saga import acts, decide
from orchestration.core.saga.acts import Who
from orchestration.core.saga.events import EventType, NewFact, SagaEvent
from orchestration.core.saga.execution import SagaExecution, execution_of
from orchestration.core.saga.fold import apply
from orchestration.core.saga.forward import routed
from orchestration.core.saga.model import Direction, SagaStep, SagaTransaction
from orchestration.core.saga.outcomes import Failed, Lost, Outcome, Succeeded
from tests.unit.scripted import T0, begun, view_of

DO, UNDO, PROBE = Direction.DO, Direction.UNDO, Direction.PROBE
OK = Succeeded({})
FLAKY = Failed({"type": "BankAway", "message": "closed [on sundays]"})
FOR_GOOD = Failed({"type": "NoTruck", "message": "no truck"}, retryable=False)
LOST = Lost({"type": "WorkerLost", "message": "not heard of"})
RETRIES = {"max_attempts": 3, "backoff_ms": 1_000, "jitter": 0.0}


def step(name: str, *after: str, **options: Any) -> SagaStep:
    """Return a step that can be undone, unless the options say otherwise."""
    given = {"compensation": "undo", "depends_on": after, "retry_policy": RETRIES}
    given["compensation_retry_policy"] = RETRIES
    return SagaStep(name, f"agent-{name.partition('-')[0]}", **(given | options))


def signal_step(name: str, *after: str, wait_for: str) -> SagaStep:
    return SagaStep(name, depends_on=after, wait_for=wait_for)


class Play:
    """One saga and its clock; times are seconds after its start."""

    def __init__(self, *steps: SagaStep, data: Any = None, **options: Any) -> None:
        given = {"transaction_id": "play-1"} | options
        transaction = SagaTransaction("order", steps, **given)
        self.events: list[SagaEvent] = [begun(transaction, **(data or {}))]
        self.view = view_of(transaction, **(data or {}))
        self.now = T0

    @property
    def status(self) -> SagaExecution:
        return execution_of(self.view)

    def at(self, seconds: float) -> Play:
        self.now = T0 + timedelta(seconds=seconds)
        return self

    def start(self, seconds: float, name: str, direction: Direction = DO) -> Play:
        self.look(seconds)
        fact = decide.claim(self.view, name, direction, f"token of {name}", self.now)
        assert isinstance(fact, NewFact), (name, fact)
        return self.record([fact])

    def end(
        self,
        seconds: float,
        name: str,
        outcome: Outcome = OK,
        direction: Direction = DO,
        *,
        attempt: int | None = None,
    ) -> Play:
        self.at(seconds)
        phase = self.view.phase(name, direction)
        decision = decide.settle(
            self.view,
            name,
            direction,
            attempt=attempt or phase.attempt,
            token=phase.token if attempt is None else "of somebody else",
            outcome=outcome,
            now=self.now,
        )
        return self.record(decision.facts)

    def do(
        self,
        begins: float,
        ends: float,
        name: str,
        outcome: Outcome = OK,
        direction: Direction = DO,
    ) -> Play:
        """Let one attempt begin and end, with nothing between."""
        return self.start(begins, name, direction).end(ends, name, outcome, direction)

    def undo(
        self, begins: float, ends: float, name: str, outcome: Outcome = OK
    ) -> Play:
        return self.do(begins, ends, name, outcome, UNDO)

    def look(self, seconds: float) -> Play:
        """Let the sweep look at it."""
        self.at(seconds)
        return self.record(decide.advance(self.view, self.now).facts)

    def act(
        self,
        seconds: float,
        act: Callable[..., decide.Decision],
        why: str = "",
        *,
        by: str = "ann@desk",
        **options: Any,
    ) -> Play:
        self.at(seconds)
        who = Who(by, why)
        return self.record(act(self.view, self.now, who, **options).facts)

    def locked(self, seconds: float, **fences: int) -> Play:
        self.at(seconds)
        fact = NewFact(EventType.LOCKS_ACQUIRED, {"locks": fences})
        after = decide.record(self.view, fact, self.now)
        following = decide.advance(after, self.now)
        return self.record([fact, *following.facts])

    def record(self, facts: Sequence[NewFact]) -> Play:
        for fact in facts:
            event = SagaEvent(self.view.version + 1, fact.type, fact.data, self.now)
            self.view = apply(self.view, event)
            self.events.append(event)
        return self


def completed_dag() -> Play:
    """Two branches that meet, a pivot, and a step after it; all at the first try."""
    play = Play(
        step("reserve"),
        step("price", "reserve"),
        step("check-customer", "reserve"),
        step("charge", "price", "check-customer", is_pivot=True, compensation=None),
        step("ship", "charge", compensation=None),
        step("invoice", "charge", compensation=None),
    )
    play.do(0.05, 0.4, "reserve")
    play.start(0.45, "price").start(0.46, "check-customer")
    play.end(0.9, "check-customer").end(1.3, "price")
    play.do(1.35, 2.1, "charge")
    play.start(2.15, "ship").start(2.15, "invoice")
    return play.end(2.5, "invoice").end(3.2, "ship")


def undone_with_retries() -> Play:
    """Retries, an unknown outcome, a failure for good; undone, one undo twice tried."""
    play = Play(step("reserve"), step("pay", "reserve"), step("ship", "pay"))
    play.do(0.1, 1, "reserve", Succeeded({"reservation": "R-7"}))
    play.do(1, 2, "pay", FLAKY).do(3.1, 4, "pay", LOST).do(5.1, 6, "pay")
    play.do(6.1, 7, "ship", FOR_GOOD)
    play.undo(7.1, 8, "pay", FLAKY).undo(9.1, 10, "pay")
    return play.undo(10.1, 11, "reserve")


def paused_with_pivot() -> Play:
    """Parallel branches, a pause, an approval, a pivot, a retry after it."""
    play = Play(
        step("reserve"),
        step("quote", "reserve"),
        step("scan", "reserve"),
        signal_step("approve", "quote", "scan", wait_for="approved"),
        step("charge", "approve", is_pivot=True, compensation=None),
        step("ship", "charge", compensation=None),
    )
    play.do(0.1, 1, "reserve").start(1.1, "quote").start(1.1, "scan")
    play.end(1.9, "quote")
    play.act(2.2, acts.pause, "the scanner is being replaced")
    play.end(2.6, "scan").act(5, acts.resume, "new scanner in place")
    play.act(7, acts.signal, by="ben@shop", name="approved", data={}, signal_id="1")
    play.do(7.1, 8.4, "charge")
    play.do(8.5, 9, "ship", FLAKY).do(10.1, 11, "ship")
    return play


def everything() -> Play:
    """A probe, items, a step passed over, a late result, acts on dead letters."""
    play = Play(
        step("reserve"),
        step("gift", "reserve", when="wants_gift"),
        step("pack", "reserve", map="items"),
        step("pay", "pack", on_unknown="PROBE", probe="ask"),
        step("ship", "pay"),
        data={"items": ["a", "b"], "wants_gift": False},
        locks=["stock"],
    )
    play.locked(0.5, stock=7).do(0.6, 1, "reserve")
    play.start(1.1, "pack[0]").start(1.2, "pack[1]")
    play.end(1.8, "pack[1]").end(2.2, "pack[0]")
    play.do(2.3, 3, "pay", LOST)
    play.do(3.1, 3.5, "pay", Succeeded({"happened": True, "output": {}}), PROBE)
    play.do(3.6, 4.2, "ship", FOR_GOOD)
    play.undo(4.3, 4.8, "pay")
    play.undo(4.9, 5.2, "pack[0]", FOR_GOOD)
    play.act(6, acts.retry, "the shelf is free again")
    play.undo(6.1, 6.4, "pack[0]", FOR_GOOD)
    play.act(7, acts.skip, "it stays packed", step="pack[0]")
    play.undo(7.1, 7.4, "pack[1]").undo(7.5, 7.9, "reserve")
    play.end(8.5, "pay", OK, attempt=1)  # the lost worker is back
    play.locked(8.55, stock=8).undo(8.6, 9, "pay")
    return play


def settled_by_people() -> Play:
    """An outcome that a person resolves, a rewind, a halt, a late cancel, replays."""
    play = Play(
        step("reserve"),
        step("pay", "reserve", on_unknown="ESCALATE"),
        step("ship", "pay"),
        on_failure="HALT",
    )
    play.do(0, 1, "reserve").do(1, 2, "pay", LOST)
    play.act(3, acts.resolve, "seen at the bank", step="pay", happened=True)
    play.do(3.1, 4, "ship", FOR_GOOD)
    play.act(5, acts.retry, "wrong account", from_step="pay")
    play.undo(5.1, 6, "pay").do(6.1, 7, "pay").do(7.1, 8, "ship", FOR_GOOD)
    play.act(9, acts.cancel, "no truck to be had")
    play.undo(9.1, 10, "pay").undo(10.1, 11, "reserve", FOR_GOOD)
    play.act(12, acts.resolve, "released by phone", step="reserve")
    play.act(13, acts.replay, "the bank lost it", from_step="pay")
    return play.undo(13.1, 14, "pay").undo(14.1, 15, "reserve")


def refused_and_out_of_time() -> Play:
    """A cancel that comes after the pivot, and a deadline that pauses the saga."""
    play = Play(
        step("charge", is_pivot=True, compensation=None),
        step("ship", "charge", compensation=None),
        timeout_ms=10_000,
    )
    play.do(0, 1, "charge").act(2, acts.cancel, "changed my mind")
    return play.look(11)


def with_a_child() -> Play:
    """A step that is a saga, undone as one when a later step fails."""
    pick = SagaTransaction("pick", [step("take")], transaction_id="")
    play = Play(SagaStep("collect", saga=pick), step("pay", "collect"))
    play.look(0.1).end(2, "collect").do(2.1, 3, "pay", FOR_GOOD)
    return play.end(5, "collect", direction=UNDO)


def undone_with_its_parent() -> Play:
    """A completed saga whose parent asks for its undoing."""
    play = Play(step("take")).do(0, 1, "take").at(5)
    asked = Who("saga 1f3a9c2e", "step fulfil").told
    return play.record([NewFact(EventType.COMPENSATION_REQUESTED, asked)])


def a_month_of_waiting() -> Play:
    """A month between steps of milliseconds, and a night before one is tried again."""
    month, night = 30 * 86_400, 40_000
    later = RETRIES | {"backoff_ms": 1_000 * night, "max_backoff_ms": 1_000 * night}
    play = Play(
        step("reserve"),
        signal_step("approval", "reserve", wait_for="approved"),
        step("pay", "approval"),
        step("ship", "pay", retry_policy=later),
        timeout_ms=40 * 86_400_000,
    )
    play.do(0.02, 0.14, "reserve")
    play.act(month, acts.signal, name="approved", data={}, signal_id="1")
    play.do(month + 0.02, month + 0.1, "pay")
    play.do(month + 0.12, month + 0.3, "ship", FLAKY)
    again = month + night
    play.do(again + 0.4, again + 0.5, "ship", FOR_GOOD)
    return play.undo(again + 0.6, again + 0.7, "pay").do(
        again + 0.75, again + 0.8, "reserve", direction=UNDO
    )


def silent_probe() -> Play:
    """A probe that fails for good: the saga waits for a person."""
    play = Play(step("pay", on_unknown="PROBE", probe="ask"))
    play.do(
        0, 1, "pay", Lost({"type": "StepTimedOut", "message": "60 s"}, timed_out=True)
    )
    return play.do(1.1, 2, "pay", FOR_GOOD, PROBE)


def by_capability() -> Play:
    """An agent is chosen by what it can do, and another one after a failure."""
    policy = {"max_attempts": 2, "backoff_ms": 1_000, "jitter": 0.0}
    play = Play(SagaStep("scan", capability="scanning", retry_policy=policy))
    for second, agent_id, outcome in ((0, "agent-a", FLAKY), (2, "agent-b", OK)):
        chosen = routed(
            "scan", attempt=1 + (second > 0), round_=1, agent_id=agent_id, why={}
        )
        play.at(second).record([chosen])
        play.do(second + 0.1, second + 0.9, "scan", outcome)
    return play


PLAYS = (
    by_capability,
    completed_dag,
    undone_with_retries,
    paused_with_pivot,
    everything,
    settled_by_people,
    refused_and_out_of_time,
    with_a_child,
    undone_with_its_parent,
    a_month_of_waiting,
    silent_probe,
)


def told(kind: EventType, **data: Any) -> SagaEvent:
    """Return one event, out of any saga."""
    return SagaEvent(1, kind, data, T0)
