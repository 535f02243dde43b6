"""A saga as an SVG picture: what was done above, what was undone below. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Final

from orchestration.cli.axis import Scale, axis_figures, break_figures
from orchestration.cli.course import Course, Lane
from orchestration.cli.facts import error_text
from orchestration.cli.figures import (
    END_PX,
    end_figure,
    lane_figures,
    mark_figure,
    pivot_figure,
    span_words,
    turn_figure,
    turn_figures,
)
from orchestration.cli.legend import legend
from orchestration.cli.output import span_text
from orchestration.cli.spans import Ended
from orchestration.cli.svg import (
    CHAR_PX,
    STYLE,
    clipped,
    columns_of,
    escaped,
    label,
    line,
    tag,
    tip,
)
from orchestration.core.saga.execution import SagaExecution
from orchestration.core.saga.model import Direction, SagaState

__all__ = ["picture"]

_WIDTH: Final = 1_000.0
_MARGIN, _GAP = 24.0, 14.0
_LANE, _NOTE = 26.0, 22.0  # heights of a line of each kind
_LONGEST_NAME, _LONGEST_ASIDE = 32, 34  # characters
_UNDOING = "undoing, selective"  # the longest title of the block of undoing
_TIME_PX = 82.0  # what the time of a note takes
_MANY_TURNS, _MANY_PROBLEMS = 40, 12
_COLOURS = {
    SagaState.RUNNING: "live",
    SagaState.WAITING: "warn",
    SagaState.COMPLETED: "do",
    SagaState.COMPENSATING: "undo",
    SagaState.COMPENSATED: "undo",
    SagaState.COMPENSATION_FAILED: "bad",
    SagaState.PAUSED: "warn",
    SagaState.FAILED: "bad",
}
# Of times in which the saga stood still.
_HATCH = tag(
    "pattern",
    tag("path", d="M-2 10 10-2M4 16 16 4", class_="grid-line", stroke_width=3),
    id="still",
    width=12,
    height=12,
    patternUnits="userSpaceOnUse",
)


def picture(course: Course, status: SagaExecution) -> str:
    """Return the picture as the text of an SVG file.

    Args:
        course: What happened when.
        status: Of the same saga at the same time.
    """
    heading, top = _heading(course, status)
    lanes, bottom = _Lanes(course, top + 2 * _GAP).drawn()
    notes, bottom = _notes(course, bottom + _GAP)
    signs, bottom = legend(course, _MARGIN, bottom + _GAP, _WIDTH - _MARGIN)
    height = bottom + _GAP
    title = f"Saga {status.name}, {status.state}"
    return tag(
        "svg",
        tip(title),
        tag("style", STYLE),
        tag("defs", _HATCH),
        tag("rect", width=_WIDTH, height=height, rx=8, class_="page"),
        *heading,
        *lanes,
        *notes,
        *signs,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH:.0f} {height:.0f}",
        width=_WIDTH,
        height=height,
        role="img",
        aria_label=title,
    )


def _heading(course: Course, status: SagaExecution) -> tuple[list[str], float]:
    """Return the lines above the lanes, and where they end."""
    room = int((_WIDTH - 2 * _MARGIN) / CHAR_PX)
    began = f"{course.began.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    about = f"after {span_text(course.seconds)}, begun {began}, id {status.saga_id}"
    state = tag("tspan", status.state, class_=f"{_COLOURS[status.state]} strong")
    rest = tag("tspan", escaped(clipped(about, room - 24)), dx=8)
    lines = [
        label(_MARGIN, 36, clipped(status.name, room // 2), "ink", "name"),
        tag("text", state, rest, x=_MARGIN, y=60, class_="faint"),
    ]
    if why := _because(status):
        lines.append(label(_MARGIN, 80, clipped(why, room)))
    return lines, 20.0 + 20 * len(lines)


def _because(status: SagaExecution) -> str:
    if status.failed_step:
        return f"{status.failed_step} gave up: {error_text(status.error)}"
    if status.is_cancelled:
        return "it was cancelled"
    return status.waiting_for or ""


class _Lanes:
    """The part of the picture under the time axis.

    Args:
        course: What happened when.
        top: Where it begins.
    """

    def __init__(self, course: Course, top: float) -> None:
        lanes = (*course.forward, *course.undoing)
        names = max((columns_of(lane.step) for lane in lanes), default=0)
        notes = max((columns_of(_aside(lane, course)) for lane in lanes), default=0)
        names_px = CHAR_PX * max(len(_UNDOING), min(names, _LONGEST_NAME))
        aside_px = CHAR_PX * min(notes, _LONGEST_ASIDE)
        self._course = course
        self._top = top
        self._y = top + _LANE / 2 + 4  # the middle of the next lane
        self._scale = Scale(
            course,
            _MARGIN + _GAP + names_px + _GAP,
            _WIDTH - _MARGIN - aside_px - END_PX - _GAP,
        )

    def drawn(self) -> tuple[list[str], float]:
        """Return all of it, the background first, and where it ends."""
        course = self._course
        front: list[str] = []
        if course.marked_turns:
            front += self._row("the saga", "faint")
            front += turn_figures(course.marked_turns, self._scale, self._before)
        for lane in course.forward:
            front += self._lane(lane)
        block = self._y - _LANE / 2
        if course.undoing:
            self._y += _GAP / 2
            front += self._turned()
            for lane in course.undoing:
                front += self._lane(lane)
        bottom = self._y - _LANE / 2 + 4
        behind = [*axis_figures(self._scale, self._top, bottom), *self._stands(bottom)]
        if course.undoing:
            behind = [self._block(block, bottom), *behind]
        if course.committed_at is not None:
            x = self._scale.x(course.committed_at)
            dashes = {"stroke_width": 1.5, "stroke_dasharray": "3 3"}
            behind.append(line(x, self._top, x, bottom, class_="ink-line", **dashes))
        front += break_figures(self._scale, self._top, bottom)
        return behind + front, bottom

    @property
    def _before(self) -> float:
        """The middle of the lane before the next."""
        return self._y - _LANE

    def _row(self, name: str, *kinds: str) -> Iterator[str]:
        """Yield the name of the next lane, and the line from it to its figures."""
        left, y = _MARGIN + _GAP, self._y
        yield line(self._scale.left, y, self._scale.right, y, class_="grid-line")
        yield label(left, y + 4, clipped(name, _LONGEST_NAME), *kinds)
        self._y += _LANE

    def _lane(self, lane: Lane) -> Iterator[str]:
        undone = lane.direction is Direction.UNDO
        yield from self._row(lane.step, "undo" if undone else "ink")
        if lane.is_pivot:
            yield pivot_figure(_MARGIN + 4, self._before)
        yield from lane_figures(lane, self._scale, self._before)
        aside = clipped(_aside(lane, self._course), _LONGEST_ASIDE)
        right = self._scale.right + END_PX + _GAP
        yield label(right, self._before + 4, aside, "faint")

    def _turned(self) -> Iterator[str]:
        """Yield the title of the block of undoing, and when the saga turned to it."""
        words = "undoing"
        if self._course.strategy:
            words = f"{words}, {self._course.strategy.lower()}"
        yield label(_MARGIN, self._y + 4, words, "undo", "strong")
        for at in self._course.turned_at:
            place = f"translate({self._scale.x(at):.1f} {self._y:.1f})"
            arrow = "M-7 0 1-6 1-2 7-2 7 2 1 2 1 6Z"
            yield tag("path", d=arrow, class_="undo", transform=place)
        self._y += _LANE

    def _block(self, top: float, bottom: float) -> str:
        return tag(
            "rect",
            x=_MARGIN / 2,
            y=top,
            width=_WIDTH - _MARGIN,
            height=bottom - top,
            rx=6,
            class_="block",
        )

    def _stands(self, bottom: float) -> Iterator[str]:
        """Yield a band for each time in which the saga stood still."""
        for stand in self._course.stands:
            first = self._scale.x(stand.began)
            last = self._scale.x(stand.ended or self._course.until)
            yield tag(
                "rect",
                x=first,
                y=self._top,
                width=max(1.0, last - first),
                height=bottom - self._top,
                fill="url(#still)",
            )


def _aside(lane: Lane, course: Course) -> str:
    """Return what stands beside a lane: how long it took, and what is to be said."""
    seconds = lane.seconds(course.until)
    took = () if seconds is None else (span_text(seconds),)
    return ", ".join((*took, *lane.notes))


def _notes(course: Course, top: float) -> tuple[list[str], float]:
    """Return the lines below: who asked for what and why, and what went wrong."""
    left, y = _MARGIN + 2 * _GAP + _TIME_PX, top + _NOTE / 2
    room = int((_WIDTH - _MARGIN - left) / CHAR_PX)
    parts: list[str] = []
    for at, figure, words in _noted(course):
        place = f"translate({_MARGIN + 9} {y:.1f})"
        parts += (
            tag("g", figure, transform=place),
            label(left - _GAP, y + 4, at, "faint", text_anchor="end"),
            label(left, y + 4, clipped(words, room)),
        )
        y += _NOTE
    return parts, y - _NOTE / 2


def _noted(course: Course) -> Iterator[tuple[str, str, str]]:
    """Yield time, figure and words of each note."""
    turns = course.marked_turns
    for turn in turns[:_MANY_TURNS]:
        words = " · ".join(filter(None, (turn.text, turn.asked)))
        yield course.after(turn.at), turn_figure(turn, 0, 0), words
    wrong = [
        (span.ended, span)
        for span in course.spans
        if span.outcome in (Ended.FAILED, Ended.UNKNOWN) and span.ended is not None
    ]
    wrong.sort(key=lambda pair: pair[0])
    for ended, span in wrong[:_MANY_PROBLEMS]:
        yield course.after(ended), end_figure(span, 0, 0), span_words(span, course)
    for mark in course.late[:_MANY_PROBLEMS]:
        yield course.after(mark.at), mark_figure(mark.type, 0, 0), mark.text
    left_out = len(turns[_MANY_TURNS:]) + len(wrong[_MANY_PROBLEMS:])
    if left_out := left_out + len(course.late[_MANY_PROBLEMS:]):
        yield "", "", f"and {left_out} more: orchestration saga history"
