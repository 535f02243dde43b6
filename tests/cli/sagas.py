"""Sagas for the eyes: literal events, and what they fold to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType

from orchestration.cli.output import THEME
from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.execution import SagaExecution, execution_of
from orchestration.core.saga.fold import fold
from orchestration.core.saga.model import SagaStep, SagaTransaction, definition_hash

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def order() -> SagaTransaction:
    return SagaTransaction(
        "order",
        [
            SagaStep("reserve", "agent-stock", compensation="release"),
            SagaStep("pay", "agent-bank", compensation="refund"),
            SagaStep("ship", "agent-ship"),
        ],
        transaction_id="order-7",
    )


class Story:
    """Events of the order, each at a number of seconds after the first."""

    def __init__(self) -> None:
        definition = order().to_json()
        self.events: list[SagaEvent] = []
        self.happens(
            0,
            "SAGA_STARTED",
            definition=definition,
            definition_hash=definition_hash(definition),
            initial_data={},
        )

    def happens(self, seconds: float, kind: str, **data: Any) -> Story:
        at = BEGAN + timedelta(seconds=seconds)
        version = len(self.events) + 1
        self.events.append(SagaEvent(version, EventType(kind), data, at))
        return self

    def attempt(
        self,
        step: str,
        begins: float,
        ends: float,
        kind: str = "STEP_COMPLETED",
        *,
        number: int = 1,
        retry_at: float | None = None,
        **data: Any,
    ) -> Story:
        """Let one attempt begin, and end in an event of that kind."""
        same = {"step": step, "attempt": number, "round": 1, "token": "t"}
        undo = "COMPENSAT" in kind
        begin = "STEP_COMPENSATION_STARTED" if undo else "STEP_STARTED"
        if retry_at is not None:
            data["retry_at_ms"] = round((BEGAN.timestamp() + retry_at) * 1_000)
        return self.happens(begins, begin, **same).happens(ends, kind, **same, **data)

    @property
    def status(self) -> SagaExecution:
        view = fold("order-7", self.events)
        assert view is not None
        return execution_of(view)


def undone() -> Story:
    """A retry, an unknown outcome, a failure for good, and its undoing."""
    away = {"type": "BankAway", "message": "closed [on sundays]"}
    lost = {"type": "WorkerLost", "message": "not heard of"}
    none = {"type": "NoTruck", "message": "no truck"}
    story = Story()
    story.attempt("reserve", 0.1, 1, output={"reservation": "R-7"})
    story.attempt("pay", 1, 2, "STEP_FAILED", error=away, retry_at=2.5)
    story.attempt("pay", 2.5, 4, "STEP_UNKNOWN", number=2, error=lost, retry_at=4)
    story.attempt("pay", 4, 5, number=3, output={})
    story.attempt("ship", 5, 6, "STEP_FAILED", error=none)
    story.happens(6, "COMPENSATION_STARTED", waves=[["pay"], ["reserve"]])
    story.attempt("pay", 6, 7, "STEP_COMPENSATED", output={})
    story.attempt("reserve", 7, 8, "STEP_COMPENSATED", output={})
    return story.happens(8, "COMPENSATION_COMPLETED")


def text_of(shown: RenderableType, *, columns: int = 100) -> str:
    """Return what a person without colours reads."""
    out = Console(file=StringIO(), width=columns, highlight=False, theme=THEME)
    with out.capture() as captured:
        out.print(shown)
    return captured.get()


def line_with(text: str, *words: str) -> str:
    """Return the one line that holds all the words."""
    [line] = [one for one in text.splitlines() if all(word in one for word in words)]
    return line
