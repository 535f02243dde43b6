"""A saga as bars over time: what was done above, what was undone below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestration.cli.course import Course, Lane, Turn
from orchestration.cli.output import span_text
from orchestration.cli.scale import ticks
from orchestration.cli.spans import Ended, Kind, Span
from orchestration.core.saga.events import EventType
from orchestration.core.saga.model import Direction

__all__ = ["sign_of", "timeline"]

_ENDS = {
    Ended.RUNNING: ("▶", "live"),
    Ended.DONE: ("✓", "ok"),
    Ended.FAILED: ("✗", "bad"),
    Ended.UNKNOWN: ("?", "warn"),
    Ended.CUT: ("┤", "faint"),
}
_WAIT, _PROBE, _HELD, _PIVOT, _TURNED, _ROUND = "┄", "╍", "░", "◆", "↶", "²"
_MARKS = {
    EventType.STEP_LATE_RESULT: ("!", "warn"),
    EventType.STEP_SKIPPED: ("○", "faint"),
    EventType.STEP_RESOLVED: ("◇", "head"),
    EventType.COMPENSATION_SKIPPED: ("○", "warn"),
    EventType.COMPENSATION_RESOLVED: ("◇", "undo"),
}
_TURNS = {
    EventType.SAGA_PAUSED: ("‖", "warn"),
    EventType.SAGA_TIMED_OUT: ("!", "bad"),
    EventType.SAGA_CANCEL_REFUSED: ("!", "warn"),
    EventType.SAGA_HALTED: ("✗", "bad"),
    EventType.COMPENSATION_FAILED: ("✗", "bad"),
}
_MEANS = {
    _WAIT: "waits",
    _PROBE: "asks what became of it",
    _HELD: "stands still",
    _PIVOT: "point of no return",
    "┤": "waits no more",
    "!": "came late",
    "○": "left out",
    "◇": "settled by hand",
    _ROUND: "done once more",
}
_ROUNDS = "¹²³⁴⁵⁶⁷⁸⁹"
_NUMBERS = "123456789abcdefghijklmnopqrstuvwxyz"
_MIN_BAR, _MAX_BAR = 10, 72
_LONGEST_NOTE, _TOOK = 22, 8
_BETWEEN = 8  # columns of space beside the others
_WIDE = 72  # columns, from which on there is room for notes
_SAGA = "the saga"
_LABEL_EVERY = 9


def timeline(course: Course, *, columns: int) -> RenderableType:
    """Return the lanes of a saga, under a time axis, and what their signs mean.

    Args:
        course: What happened when.
        columns: Width of the terminal.
    """
    lanes = (*course.forward, *course.undoing)
    names = max([len(_SAGA), *(len(lane.step) + 2 for lane in lanes)])
    names = min(names, max(len(_SAGA), columns // 4))
    notes = max([0, *(len(", ".join(lane.notes)) for lane in lanes)])
    notes = min(notes, _LONGEST_NOTE) if columns >= _WIDE else 0
    beside = names + _TOOK + notes + _BETWEEN
    drawn = _Drawing(course, max(_MIN_BAR, min(_MAX_BAR, columns - beside)))
    table = Table(box=None, padding=(0, 1), show_header=True, header_style="faint")
    table.add_column("step", max_width=names, no_wrap=True)
    table.add_column(drawn.axis(), no_wrap=True, width=drawn.width)
    table.add_column("took", justify="right", no_wrap=True)
    if notes:
        table.add_column("", no_wrap=True, max_width=notes, style="faint")
    for row in _rows(course, drawn):
        table.add_row(*row if notes else row[:-1])
    if not (legend := drawn.legend()):
        return table
    return Group(table, Padding(legend, (0, 1), expand=False))


def sign_of(turn: Turn) -> tuple[str, str]:
    """Return how a turn is marked, and in which colour: acts by their numbers."""
    if turn.number > len(_NUMBERS):
        return "+", "head"
    if turn.number:
        return _NUMBERS[turn.number - 1], "head"
    return _TURNS.get(turn.type, ("▸", "live"))


def _rows(course: Course, drawn: _Drawing) -> Iterator[tuple[Text, Text, str, str]]:
    if course.marked_turns:
        yield Text(_SAGA, "faint"), drawn.turns(course.marked_turns), "", ""
    for lane in course.forward:
        yield _row(lane, drawn)
    if course.undoing:
        title = Text("undoing", "undo")
        yield title, drawn.turned(), "", course.strategy.lower()
    for lane in course.undoing:
        yield _row(lane, drawn)


def _row(lane: Lane, drawn: _Drawing) -> tuple[Text, Text, str, str]:
    name = Text(lane.step)
    if lane.direction is Direction.UNDO:
        name = Text(f"{_TURNED} {lane.step}", "undo")
    elif lane.is_pivot:
        name = Text(f"{drawn.used(_PIVOT)} {lane.step}", "head")
    seconds = lane.seconds(drawn.course.until)
    took = "" if seconds is None else span_text(seconds)
    return name, drawn.lane(lane), took, ", ".join(lane.notes)


class _Drawing:
    """Turns times into columns, and remembers the signs that need an explanation."""

    def __init__(self, course: Course, width: int) -> None:
        self.course = course
        self.width = width
        self._used: dict[str, None] = {}

    def used(self, sign: str) -> str:
        """Return the sign, which the legend is to explain."""
        self._used[sign] = None
        return sign

    def column(self, at: datetime) -> int:
        """Return the column of a time, inside the bar."""
        share = (at - self.course.began).total_seconds() / self.course.seconds
        return min(self.width - 1, max(0, int(share * self.width)))

    def axis(self) -> Text:
        """Return times as labels, each at its column."""
        seconds = self.course.seconds
        cells = [" "] * self.width
        free_from = 0
        for at, label in ticks(seconds, at_most=self.width // _LABEL_EVERY):
            column = int(at / seconds * self.width)
            if free_from <= column <= self.width - len(label):
                cells[column : column + len(label)] = label
                free_from = column + len(label) + 1
        return Text("".join(cells))

    def lane(self, lane: Lane) -> Text:
        """Return one lane: bars, their ends, waits between, marks on top."""
        cells = self._blank()
        before, last = -1, None
        for span in lane.spans:
            first = self.column(span.began)
            if last is not None and last.retry_at is not None:
                self._wait(cells, before + 1, first)
            if first <= before < self.width - 1:
                # Within one column of the attempt before, whose end is to be seen.
                first = before + 1
            before = max(first, self.column(span.ended or self.course.until))
            self._span(cells, span, first, before)
            if last is not None and span.round > last.round and before > first:
                cells[first] = (_ROUNDS[min(span.round, 9) - 1], "head")
                self.used(_ROUND)
            last = span
        for mark in lane.marks:
            sign, style = _MARKS[mark.type]
            cells[self.column(mark.at)] = (self.used(sign), style)
        return _joined(cells)

    def turns(self, turns: Sequence[Turn]) -> Text:
        """Return the row of what happened to the saga as a whole."""
        cells = self._blank()
        shown = turns[: self.width]
        columns = [self.column(turn.at) for turn in shown]
        for at in range(1, len(columns)):  # each has a column of its own, in order
            columns[at] = max(columns[at], columns[at - 1] + 1)
        for at, turn in enumerate(shown):
            room = self.width - len(shown) + at
            cells[min(columns[at], room)] = sign_of(turn)
        return _joined(cells)

    def turned(self) -> Text:
        """Return the line between what was done and what was undone."""
        cells = [("┈", "faint")] * self.width
        for at in self.course.turned_at:
            cells[self.column(at)] = (_TURNED, "undo")
        return _joined(cells)

    def legend(self) -> Text:
        """Return what the signs mean that are not plain."""
        signs = [sign for sign in _MEANS if sign in self._used]
        return Text("   ".join(f"{sign} {_MEANS[sign]}" for sign in signs), "faint")

    def _blank(self) -> list[tuple[str, str]]:
        """Return an empty row, shaded where the saga stood still."""
        cells = [(" ", "")] * self.width
        for stand in self.course.stands:
            first = self.column(stand.began)
            last = self.column(stand.ended or self.course.until)
            for column in range(first + 1, last):
                cells[column] = (self.used(_HELD), "faint")
        return cells

    @staticmethod
    def _wait(cells: list[tuple[str, str]], first: int, last: int) -> None:
        """Dot the time until the next attempt, where the saga did not stand still."""
        for column in range(first, last):
            if cells[column][0] == " ":
                cells[column] = ("·", "faint")

    def _span(
        self, cells: list[tuple[str, str]], span: Span, first: int, last: int
    ) -> None:
        sign, style = _ENDS[span.outcome]
        if span.outcome is Ended.DONE and span.direction is Direction.UNDO:
            style = "undo"
        line = "━"
        if span.kind is not Kind.CALL:
            line = self.used(_WAIT)
            sign = "…" if span.outcome is Ended.RUNNING else sign
        elif span.direction is Direction.PROBE:
            line = self.used(_PROBE)
        for column in range(first, last):
            cells[column] = (line, style)
        cells[last] = (self.used(sign), style)


def _joined(cells: Sequence[tuple[str, str]]) -> Text:
    return Text.assemble(*cells)
