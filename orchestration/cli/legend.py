"""What the figures of a saga's picture mean: those that it has, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestration.cli.axis import break_figure, breaks_of
from orchestration.cli.course import Course
from orchestration.cli.figures import (
    end_figure,
    mark_figure,
    pivot_figure,
    retry_figure,
    span_figure,
)
from orchestration.cli.spans import Ended, Kind, Span
from orchestration.cli.svg import CHAR_PX, columns_of, label, tag
from orchestration.core.saga.events import EventType
from orchestration.core.saga.model import Direction

__all__ = ["legend"]

_LINE, _SAMPLE_PX, _GAP = 24.0, 34.0, 26.0
_Figure = Callable[[float, float], str]

_ENDED = {
    Ended.DONE: "done",
    Ended.FAILED: "failed",
    Ended.UNKNOWN: "outcome unknown",
    Ended.RUNNING: "goes on",
    Ended.CUT: "waits no more",
}
_MARKS = {
    EventType.STEP_LATE_RESULT: "result came late",
    EventType.STEP_SKIPPED: "passed over",
    EventType.STEP_RESOLVED: "settled by a person",
    EventType.COMPENSATION_SKIPPED: "left as it is",
    EventType.COMPENSATION_RESOLVED: "undone by hand",
}


def legend(
    course: Course, left: float, top: float, right: float
) -> tuple[list[str], float]:
    """Return the samples with their meanings, in lines, and where they end."""
    parts: list[str] = []
    x, y = left, top + _LINE / 2
    for words, figure in _entries(course):
        took = _SAMPLE_PX + CHAR_PX * columns_of(words)
        if x > left and x + took > right:
            x, y = left, y + _LINE
        parts += (figure(x, y), label(x + _SAMPLE_PX, y + 4, words, "faint"))
        x += took + _GAP
    return parts, y + _LINE / 2


def _entries(course: Course) -> Iterator[tuple[str, _Figure]]:
    lanes = (*course.forward, *course.undoing)
    spans = [span for lane in lanes for span in lane.spans]
    first: dict[str, Span] = {}
    for span in spans:
        first.setdefault(_meaning(span), span)
    yield from ((words, _sample(span)) for words, span in first.items())
    if any(span.retry_at is not None for span in spans):
        yield "waits for its next attempt", lambda x, y: retry_figure(x, x + 24, y)
    for kind in dict.fromkeys(mark.type for lane in lanes for mark in lane.marks):
        yield _MARKS[kind], _marked(kind)
    if any(lane.is_pivot for lane in lanes):
        yield "point of no return", lambda x, y: pivot_figure(x + 18, y)
    if course.stands:
        yield "stands still", _still
    if breaks_of(course):
        yield "cut out: no agent was at work", lambda x, y: break_figure(x + 13, y, y)


def _meaning(span: Span) -> str:
    if span.kind is Kind.WAIT and span.outcome is not Ended.CUT:
        return f"waits for a {next(iter(span.awaits), 'saga')}"
    if span.kind is Kind.ITEMS and span.outcome is not Ended.CUT:
        return "its items are done"
    if span.direction is Direction.PROBE:
        return "asks what became of it"
    if span.direction is Direction.UNDO and span.outcome is Ended.DONE:
        return "undone"
    return _ENDED[span.outcome]


def _sample(span: Span) -> _Figure:
    def figure(x: float, y: float) -> str:
        return span_figure(span, x, x + 20, y) + end_figure(span, x + 20, y)

    return figure


def _marked(kind: EventType) -> _Figure:
    return lambda x, y: mark_figure(kind, x + 18, y)


def _still(x: float, y: float) -> str:
    return tag("rect", x=x, y=y - 7, width=26, height=14, fill="url(#still)")
