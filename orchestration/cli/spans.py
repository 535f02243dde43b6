"""When each attempt began and ended, and how: what a timeline shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.model import Direction

__all__ = ["Ended", "Span", "lanes_of", "spans_of"]


class Ended(StrEnum):
    """How an attempt ended, if it has."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One attempt to do or undo a step.

    Attributes:
        retry_at: When the next attempt is due, if this one did not succeed.
    """

    step: str
    direction: Direction
    attempt: int
    round: int
    began: datetime
    ended: datetime | None = None
    outcome: Ended = Ended.RUNNING
    error: Mapping[str, Any] | None = None
    retry_at: datetime | None = None


_BEGINS = {
    EventType.STEP_STARTED: Direction.DO,
    EventType.STEP_COMPENSATION_STARTED: Direction.UNDO,
}
_ENDS = {
    EventType.STEP_COMPLETED: (Direction.DO, Ended.DONE),
    EventType.STEP_FAILED: (Direction.DO, Ended.FAILED),
    EventType.STEP_TIMED_OUT: (Direction.DO, Ended.UNKNOWN),
    EventType.STEP_UNKNOWN: (Direction.DO, Ended.UNKNOWN),
    EventType.STEP_COMPENSATED: (Direction.UNDO, Ended.DONE),
    EventType.STEP_COMPENSATION_FAILED: (Direction.UNDO, Ended.FAILED),
}


def spans_of(events: Iterable[SagaEvent]) -> tuple[Span, ...]:
    """Return every attempt, in the order in which they began."""
    spans: dict[tuple[str, Direction, int, int], Span] = {}
    for event in events:
        if event.type in _BEGINS:
            direction = _BEGINS[event.type]
            span = Span(
                step=event.step,
                direction=direction,
                attempt=event.data["attempt"],
                round=event.data["round"],
                began=event.recorded_at,
            )
            spans[(span.step, direction, span.round, span.attempt)] = span
        elif event.type in _ENDS:
            direction, outcome = _ENDS[event.type]
            key = (event.step, direction, event.data["round"], event.data["attempt"])
            if key in spans and spans[key].ended is None:
                spans[key] = _ended(spans[key], event, outcome)
    return tuple(spans.values())


def lanes_of(
    spans: Iterable[Span],
) -> tuple[tuple[str, Direction, tuple[Span, ...]], ...]:
    """Return attempts by step: first what was done, then what was undone."""
    lanes: dict[tuple[Direction, str], list[Span]] = {}
    for span in spans:
        lanes.setdefault((span.direction, span.step), []).append(span)
    return tuple(
        (step, direction, tuple(lane))
        for wanted in Direction
        for (direction, step), lane in lanes.items()
        if direction is wanted
    )


def _ended(span: Span, event: SagaEvent, outcome: Ended) -> Span:
    retry_ms = event.data.get("retry_at_ms")
    return replace(
        span,
        ended=event.recorded_at,
        outcome=Ended.UNKNOWN if event.data.get("lost") else outcome,
        error=event.data.get("error"),
        retry_at=datetime.fromtimestamp(retry_ms / 1_000, UTC) if retry_ms else None,
    )
