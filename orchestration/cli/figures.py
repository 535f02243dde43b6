"""The figures of a saga's picture: bars with their ends, marks, and turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from orchestration.cli.axis import Scale
from orchestration.cli.course import Course, Lane, Turn
from orchestration.cli.facts import awaited_text, error_text
from orchestration.cli.output import span_text
from orchestration.cli.spans import Ended, Kind, Span
from orchestration.cli.svg import label, line, tag, tip
from orchestration.core.saga.events import EventType
from orchestration.core.saga.model import Direction

__all__ = [
    "END_PX",
    "end_figure",
    "lane_figures",
    "mark_figure",
    "pivot_figure",
    "retry_figure",
    "span_figure",
    "span_words",
    "turn_figure",
    "turn_figures",
]

END_PX: Final = 6.5
"""Half of what the end of a bar takes."""

_TURN_PX = 9.0
_NUMBERED_PX = 24.0  # a bar so long has room for its attempt's number
_BAR_PX, _PROBE_PX = 12.0, 6.0

# Paths about the middle of their sign.
_LATE, _PAUSED, _ON = (
    "M0-3.4V.8M0 3V3.4",
    "M-1.7-2.6V2.6M1.7-2.6V2.6",
    "M-1.6-3 2.8 0-1.6 3Z",
)
_RING = "M-4.5 0A4.5 4.5 0 1 0 4.5 0 4.5 4.5 0 1 0-4.5 0Z"
_DIAMOND = "M-5 0 0-5 5 0 0 5Z"
_ENDS = {
    Ended.DONE: "M-3 .2-.9 2.4 3.2-2.4",
    Ended.FAILED: "M-2.5-2.5 2.5 2.5M2.5-2.5-2.5 2.5",
    Ended.UNKNOWN: "M-2-1.3C-2.2-4.4 2.4-4.2 2-1.3 1.8-.1 0 .2 0 1.4M0 3.2V3.6",
    Ended.RUNNING: "M-1.6-2.6 2.6 0-1.6 2.6Z",
    Ended.CUT: "M0-3V3",
}
_MARKS = {
    EventType.STEP_LATE_RESULT: (_LATE, "warn"),
    EventType.STEP_SKIPPED: (_RING, "faint"),
    EventType.STEP_RESOLVED: (_DIAMOND, "ink"),
    EventType.COMPENSATION_SKIPPED: (_RING, "warn"),
    EventType.COMPENSATION_RESOLVED: (_DIAMOND, "undo"),
}
_TURNS = {
    EventType.SAGA_PAUSED: (_PAUSED, "warn"),
    EventType.SAGA_TIMED_OUT: (_LATE, "bad"),
    EventType.SAGA_CANCEL_REFUSED: (_LATE, "warn"),
    EventType.SAGA_HALTED: (_ENDS[Ended.FAILED], "bad"),
    EventType.COMPENSATION_FAILED: (_ENDS[Ended.FAILED], "bad"),
}
_ASPECTS = {Direction.DO: "", Direction.UNDO: "undo of ", Direction.PROBE: "probe of "}
_ENDED = {
    Ended.RUNNING: "goes on since",
    Ended.DONE: "done after",
    Ended.FAILED: "failed after",
    Ended.UNKNOWN: "outcome unknown after",
    Ended.CUT: "given up after",
}


def lane_figures(lane: Lane, scale: Scale, y: float) -> Iterator[str]:
    """Yield the figures of one lane, about the height ``y``."""
    tries = [s for s in lane.spans if s.direction is lane.direction]
    end, before = scale.left, None
    for span in lane.spans:
        first = scale.x(span.began)
        last = scale.x(span.ended or scale.course.until)
        if before is not None:  # whose end is to be seen
            if before.retry_at is not None:
                yield retry_figure(end + END_PX, first, y)
            first, last = max(first, end), max(last, end + 2 * END_PX)
        last = min(last, scale.right)
        parts = [tip(span_words(span, scale.course)), span_figure(span, first, last, y)]
        has_room = last - END_PX - first >= _NUMBERED_PX
        if has_room and len(tries) > 1 and span in tries:
            colour = "page" if span.outcome is Ended.DONE else "ink"
            middle = (first + last - END_PX) / 2
            parts.append(_number(middle, y, span.attempt, colour))
        yield tag("g", *parts, end_figure(span, last, y))
        end, before = last, span
    for mark in lane.marks:
        yield tag("g", tip(mark.text), mark_figure(mark.type, scale.x(mark.at), y))


def span_figure(span: Span, first: float, last: float, y: float) -> str:
    """Return what a span looks like, but for its end."""
    if span.kind is Kind.WAIT:
        return _rule(first, last, y, "6 4")
    if span.kind is Kind.ITEMS:
        return _rule(first, last, y, None)
    height = _PROBE_PX if span.direction is Direction.PROBE else _BAR_PX
    part = "" if span.outcome is Ended.DONE else " part"
    return tag(
        "rect",
        x=first,
        y=y - height / 2,
        width=max(2.0, last - first),
        height=height,
        rx=3,
        class_=_colour(span) + part,
    )


def end_figure(span: Span, x: float, y: float) -> str:
    """Return the sign at a span's end: how it ended."""
    return _disc(x, y, _ENDS[span.outcome], _colour(span))


def retry_figure(first: float, last: float, y: float) -> str:
    """Return the wait for the next attempt."""
    return _rule(first, last, y, "1 5")


def pivot_figure(x: float, y: float) -> str:
    """Return the sign of the point of no return."""
    return _glyph(x, y, _DIAMOND, "ink")


def mark_figure(kind: EventType, x: float, y: float) -> str:
    """Return what stands for something that happened beside the attempts."""
    path, colour = _MARKS[kind]
    if kind is EventType.STEP_LATE_RESULT:
        return _disc(x, y, path, colour)
    return _glyph(x, y, path, f"page {colour}-line")


def turn_figures(turns: Sequence[Turn], scale: Scale, y: float) -> Iterator[str]:
    """Yield the turns in one row, in their order, each with room of its own."""
    apart = 2 * _TURN_PX + 1
    shown = turns[: int((scale.right - scale.left) / apart)]
    places = [scale.x(turn.at) for turn in shown]
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + apart)
    for at, turn in enumerate(shown):
        room = scale.right - (len(shown) - 1 - at) * apart
        yield turn_figure(turn, min(places[at], room), y)


def turn_figure(turn: Turn, x: float, y: float) -> str:
    """Return what stands for a turn: its number if it was asked for, else a sign."""
    said = tip(" · ".join(filter(None, (turn.text, turn.asked))))
    if turn.number:
        circle = tag("circle", cx=x, cy=y, r=_TURN_PX, class_="ink")
        return tag("g", said, circle, _number(x, y, turn.number))
    path, colour = _TURNS.get(turn.type, (_ON, "live"))
    return tag("g", said, _disc(x, y, path, colour, radius=_TURN_PX))


def _glyph(x: float, y: float, path: str, kinds: str) -> str:
    """Return a path at a place."""
    at = f"translate({x:.1f} {y:.1f})"
    return tag("path", d=path, class_=kinds, stroke_width=1.7, transform=at)


def _disc(x: float, y: float, path: str, colour: str, *, radius: float = END_PX) -> str:
    circle = tag("circle", cx=x, cy=y, r=radius, class_=colour)
    return circle + _glyph(x, y, path, "none page-line")


def _number(x: float, y: float, number: int, colour: str = "page") -> str:
    return label(x, y + 4, str(number), colour, "strong", text_anchor="middle")


def _rule(first: float, last: float, y: float, dashes: str | None) -> str:
    return line(
        first, y, last, y, class_="faint-line", stroke_width=2, stroke_dasharray=dashes
    )


def _colour(span: Span) -> str:
    match span.outcome:
        case Ended.DONE:
            return "undo" if span.direction is Direction.UNDO else "do"
        case Ended.FAILED:
            return "bad"
        case Ended.UNKNOWN:
            return "warn"
        case Ended.RUNNING:
            return "live"
        case Ended.CUT:
            return "faint"


def span_words(span: Span, course: Course) -> str:
    """Return what is to be told of a span to those who point at it."""
    took = span_text(((span.ended or course.until) - span.began).total_seconds())
    what = f"attempt {span.attempt}"
    if span.kind is Kind.WAIT:
        what = f"waiting for {awaited_text(span.awaits)}"
    elif span.kind is Kind.ITEMS:
        what = "its items"
    error = f": {error_text(span.error)}" if span.error else ""
    name = f"{_ASPECTS[span.direction]}{span.step}"
    return f"{name}, {what}: {_ENDED[span.outcome]} {took}{error}"
