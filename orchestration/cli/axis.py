"""The time axis of a saga's picture: where a time stands, and where it is broken. Pure.

A wait of a month beside steps of milliseconds would leave these a dot. Long times in
which no agent was at work are cut out of the axis, each with a mark that says how long
it was; all that is left has one scale.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final

from orchestration.cli.course import Course
from orchestration.cli.output import span_text
from orchestration.cli.scale import ticks
from orchestration.cli.spans import Kind
from orchestration.cli.svg import CHAR_PX, columns_of, label, line, tag, tip

__all__ = ["Scale", "axis_figures", "break_figure", "break_figures", "breaks_of"]

_TICK_PX: Final = 70.0  # what a label of a time takes
_BREAK_PX: Final = 44.0  # what is left of a time that was cut out
_CUT_PX: Final = 3.0  # half of the strip that is blank
_MOST_BREAKS: Final = 8
_DISPROPORTION: Final = 20
"""So many times as long as all that is left is a time that is cut out."""

Break = tuple[datetime, datetime]


def breaks_of(course: Course) -> tuple[Break, ...]:
    """Return the times to be cut out, oldest first; none where all has room."""
    calls = [span for span in course.spans if span.kind is Kind.CALL]
    busy = [(span.began, span.ended or course.until) for span in calls]
    quiet = [
        (first, last)
        for first, last in pairwise(_moments(course))
        if not any(began <= first and last <= ended for began, ended in busy)
    ]
    quiet.sort(key=lambda pair: pair[0] - pair[1])  # the longest first
    left, count = course.until - course.began, 0
    for nth, (first, last) in enumerate(quiet[:_MOST_BREAKS], 1):
        left -= last - first
        if calls and last - first > left * _DISPROPORTION:
            count = nth
    return tuple(sorted(quiet[:count]))


def _moments(course: Course) -> list[datetime]:
    """Return when anything began, ended or happened, in order."""
    lanes = (*course.forward, *course.undoing)
    found = {course.began, course.until, course.committed_at}
    found |= {at for span in course.spans for at in (span.began, span.ended)}
    found |= {at for stand in course.stands for at in (stand.began, stand.ended)}
    found |= {turn.at for turn in course.turns}
    found |= {mark.at for lane in lanes for mark in lane.marks}
    return sorted(at for at in found if at is not None and at <= course.until)


@dataclass(frozen=True)
class Scale:
    """Turns times into places between two edges of the picture."""

    course: Course
    left: float
    right: float

    @cached_property
    def breaks(self) -> tuple[Break, ...]:
        """The times that are cut out."""
        return breaks_of(self.course)

    @cached_property
    def px_per_s(self) -> float:
        """How much room a second has, where the axis is whole."""
        cut = sum((last - first for first, last in self.breaks), timedelta())
        seconds = self.course.seconds - cut.total_seconds()
        room = self.right - self.left - _BREAK_PX * len(self.breaks)
        return room / max(seconds, 1e-6)

    @cached_property
    def parts(self) -> tuple[tuple[datetime, float, float], ...]:
        """Each whole part of the axis: when it begins, and its edges."""
        starts = (self.course.began, *(last for _, last in self.breaks))
        ends = (*(first for first, _ in self.breaks), self.course.until)
        out, x = [], self.left
        for start, end in zip(starts, ends, strict=True):
            width = (end - start).total_seconds() * self.px_per_s
            out.append((start, x, x + width))
            x += width + _BREAK_PX
        return tuple(out)

    @cached_property
    def knots(self) -> tuple[tuple[datetime, float], ...]:
        """Times with their places, between which the axis is even."""
        ends = (*(first for first, _ in self.breaks), self.course.until)
        return tuple(
            knot
            for (start, first, last), end in zip(self.parts, ends, strict=True)
            for knot in ((start, first), (end, last))
        )

    def x(self, at: datetime) -> float:
        """Return a time's place; one that was cut out has it within the break."""
        nth = bisect_right([time for time, _ in self.knots], at)
        if nth in (0, len(self.knots)):
            return self.right if nth else self.left
        (start, first), (end, last) = self.knots[nth - 1 : nth + 1]
        return first + (at - start) / (end - start) * (last - first)


def axis_figures(scale: Scale, top: float, bottom: float) -> Iterator[str]:
    """Yield a line for each round time, with its label above if that has room.

    After a break times count from its end on, and say so: ``+5s``.
    """
    whole = scale.right - scale.left - _BREAK_PX * len(scale.breaks)
    at_most = max(1, int(whole / _TICK_PX))
    step_s = whole / scale.px_per_s / at_most
    taken = [_room((a + b) / 2, words) for a, b, words in _cuts(scale)]
    for nth, (_, first, last) in enumerate(scale.parts):
        seconds = (last - first) / scale.px_per_s
        for at, after in ticks(seconds, at_most=max(1, int(seconds / step_s))):
            if nth and not at:
                continue
            x, words = first + at * scale.px_per_s, f"+{after}" if nth else after
            yield line(x, top, x, bottom, class_="grid-line")
            room = _room(x, words)
            if all(room[1] <= left or right <= room[0] for left, right in taken):
                taken.append(room)
                yield label(x, top - 6, words, "faint", text_anchor="middle")


def break_figures(scale: Scale, top: float, bottom: float) -> Iterator[str]:
    """Yield the marks of the times that are cut out, with how long each was."""
    taken: list[tuple[float, float]] = []
    for first, last, words in _cuts(scale):
        x = (first + last) / 2
        said = tip(f"{words} in which no agent was at work")
        yield tag("g", said, break_figure(x, top + 7, bottom - 7))
        room = _room(x, words)
        if all(room[1] <= left or right <= room[0] for left, right in taken):
            taken.append(room)
            yield label(x, top - 6, words, "warn", text_anchor="middle")


def break_figure(x: float, first: float, last: float) -> str:
    """Return what cuts the axis at a place, from one middle of a lane to another."""
    top, bottom = first - 9, last + 9
    size = {"width": 2 * _CUT_PX, "height": bottom - top}
    strip = tag("rect", x=x - _CUT_PX, y=top, **size, class_="page")
    sides = (x - _CUT_PX, x + _CUT_PX)
    return strip + "".join(line(s, top, s, bottom, class_="faint-line") for s in sides)


def _cuts(scale: Scale) -> Sequence[tuple[float, float, str]]:
    """Return both edges of each break, and its length in words."""
    edges = [(before[2], after[1]) for before, after in pairwise(scale.parts)]
    lengths = [span_text((b - a).total_seconds()) for a, b in scale.breaks]
    return [(*pair, words) for pair, words in zip(edges, lengths, strict=True)]


def _room(x: float, words: str) -> tuple[float, float]:
    """Return what a label about a place takes, with some space beside it."""
    half = CHAR_PX * (columns_of(words) + 1) / 2
    return x - half, x + half
