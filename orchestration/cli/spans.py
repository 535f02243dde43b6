"""When each attempt, wait and question began and ended, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from orchestration.core.saga.events import (
    COMPLETED,
    FAILED,
    STARTED,
    EventType,
    SagaEvent,
)
from orchestration.core.saga.model import Direction

__all__ = ["Ended", "Kind", "Span", "spans_of"]


class Kind(StrEnum):
    """What goes on meanwhile."""

    CALL = "CALL"  # an agent is at it
    WAIT = "WAIT"  # for a signal, or another saga
    ITEMS = "ITEMS"  # the step's items are being done


class Ended(StrEnum):
    """How it ended, if it has."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    CUT = "CUT"  # nobody waits for it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One attempt to do, undo or probe a step, or one wait in its place.

    Attributes:
        awaits: What a wait is for: ``{"signal": name}`` or ``{"saga": id}``.
        retry_at: When the next attempt is due, if this one did not succeed.
    """

    step: str
    direction: Direction
    attempt: int
    round: int
    began: datetime
    kind: Kind = Kind.CALL
    awaits: Mapping[str, str] = field(default_factory=dict)
    ended: datetime | None = None
    outcome: Ended = Ended.RUNNING
    error: Mapping[str, Any] | None = None
    retry_at: datetime | None = None


_BEGINS = {kind: direction for direction, kind in STARTED.items()}
_ENDS = {
    **{kind: (direction, Ended.DONE) for direction, kind in COMPLETED.items()},
    **{kind: (direction, Ended.FAILED) for direction, kind in FAILED.items()},
    EventType.STEP_TIMED_OUT: (Direction.DO, Ended.UNKNOWN),
    EventType.STEP_UNKNOWN: (Direction.DO, Ended.UNKNOWN),
    EventType.STEP_GATHERED: (Direction.DO, Ended.DONE),
}
_Key = tuple[str, Direction, int, int]


def spans_of(events: Iterable[SagaEvent]) -> tuple[Span, ...]:
    """Return all of them, in the order in which they began."""
    spans: dict[_Key, Span] = {}
    for event in events:
        if (begun := _begun(event)) is not None:
            spans[_key(event, begun.direction)] = begun
        elif event.type in _ENDS:
            direction, outcome = _ENDS[event.type]
            key = _key(event, direction)
            if event.data.get("unopened"):  # it failed before anybody could try
                spans[key] = _ended(_span(event, direction), event, outcome)
            elif key in spans and spans[key].ended is None:
                spans[key] = _ended(spans[key], event, outcome)
        elif event.type in (EventType.COMPENSATION_STARTED, EventType.SAGA_REWOUND):
            _cut(spans, event)
    return tuple(spans.values())


def _begun(event: SagaEvent) -> Span | None:
    if event.type in _BEGINS:
        return _span(event, _BEGINS[event.type])
    if event.type is EventType.STEP_WAITING:
        waiting = _span(event, Direction(event.data["direction"]))
        return replace(waiting, kind=Kind.WAIT, awaits=event.data["for"])
    if event.type is EventType.STEP_EXPANDED:
        return replace(_span(event, Direction.DO), kind=Kind.ITEMS)
    return None


def _span(event: SagaEvent, direction: Direction) -> Span:
    return Span(
        step=event.step,
        direction=direction,
        attempt=event.data["attempt"],
        round=event.data["round"],
        began=event.recorded_at,
    )


def _key(event: SagaEvent, direction: Direction) -> _Key:
    return (event.step, direction, event.data["round"], event.data["attempt"])


def _ended(span: Span, event: SagaEvent, outcome: Ended) -> Span:
    data = event.data
    if data.get("lost") or data.get("verdict") == "unknown":
        outcome = Ended.UNKNOWN
    retry_ms = data.get("retry_at_ms")
    return replace(
        span,
        ended=event.recorded_at,
        outcome=outcome,
        error=data.get("error"),
        retry_at=datetime.fromtimestamp(retry_ms / 1_000, UTC) if retry_ms else None,
    )


def _cut(spans: dict[_Key, Span], event: SagaEvent) -> None:
    """End the waits of a saga that turns back: their signals change nothing now."""
    steps = event.data.get("steps")
    for key, span in spans.items():
        is_vain = span.ended is None and span.direction is Direction.DO
        if is_vain and (steps is None or span.step in steps):
            spans[key] = replace(span, ended=event.recorded_at, outcome=Ended.CUT)
