"""A saga told event by event, for tests that say exactly what happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestration.core.saga.decide import Decision, Refusal, advance, claim, settle
from orchestration.core.saga.events import EventType, NewFact, SagaEvent
from orchestration.core.saga.fold import apply, fold
from orchestration.core.saga.model import (
    Direction,
    SagaStep,
    SagaTransaction,
    definition_hash,
)
from orchestration.core.saga.outcomes import Failed, Lost, Outcome, Succeeded
from orchestration.core.saga.view import SagaView

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ERROR = {"type": "ValueError", "message": "no"}
DO, UNDO = Direction.DO, Direction.UNDO
OK = Succeeded({})
RETRYABLE = Failed(ERROR)
FOR_GOOD = Failed(ERROR, retryable=False)
LOST = Lost(ERROR)


def step(name: str, *after: str, **options: Any) -> SagaStep:
    """Return a step that can be undone unless the options say otherwise."""
    given = {"compensation": "undo", "depends_on": after} | options
    return SagaStep(name, "agent", **given)


def saga(*steps: SagaStep, **options: Any) -> SagaTransaction:
    return SagaTransaction("t", steps, transaction_id="t", **options)


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


class Script:
    """One saga and its clock; every decision asked for is recorded."""

    def __init__(self, *steps: SagaStep, data: Any = None, **options: Any) -> None:
        self.now = T0
        self.view = view_of(saga(*steps, **options), **(data or {}))
        self.types: list[str] = []

    def later(self, **time: float) -> datetime:
        self.now += timedelta(**time)
        return self.now

    def record(self, facts: Sequence[NewFact]) -> None:
        for fact in facts:
            event = SagaEvent(self.view.version + 1, fact.type, fact.data, self.now)
            self.view = apply(self.view, event)
            self.types.append(fact.type)

    def ask(self, name: str, direction: Direction = DO) -> NewFact | Refusal:
        return claim(self.view, name, direction, f"token of {name}", self.now)

    def start(self, name: str, direction: Direction = DO) -> int:
        fact = self.ask(name, direction)
        assert isinstance(fact, NewFact), fact
        self.record([fact])
        return int(fact.data["attempt"])

    def end(
        self,
        name: str,
        outcome: Outcome = OK,
        direction: Direction = DO,
        *,
        attempt: int | None = None,
    ) -> Decision:
        number = attempt or self.view.phase(name, direction).attempt
        decision = settle(
            self.view,
            name,
            direction,
            attempt=number,
            token=f"token of {name}",
            outcome=outcome,
            now=self.now,
        )
        self.record(decision.facts)
        assert self.view == decision.view
        return decision

    def do(self, name: str, outcome: Outcome = OK) -> Decision:
        self.start(name)
        return self.end(name, outcome)

    def undo(self, name: str, outcome: Outcome = OK) -> Decision:
        self.start(name, UNDO)
        return self.end(name, outcome, UNDO)

    def act(self, act: Callable[..., Decision], *who: Any, **options: Any) -> Decision:
        """Do as an operator does."""
        decision = act(self.view, self.now, *who, **options)
        self.record(decision.facts)
        assert self.view == decision.view
        return decision

    def look(self) -> Decision:
        decision = advance(self.view, self.now)
        self.record(decision.facts)
        return decision
