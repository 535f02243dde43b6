"""A saga as bars over time: one lane per step, one more where it was undone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from orchestration.cli.output import span_text
from orchestration.cli.spans import Ended, Span, lanes_of
from orchestration.core.saga.model import Direction

__all__ = ["timeline"]

_MARKS = {
    Ended.RUNNING: ("▶", "live"),
    Ended.DONE: ("✓", "ok"),
    Ended.FAILED: ("✗", "bad"),
    Ended.UNKNOWN: ("?", "warn"),
}
_MIN_BAR, _MAX_BAR = 20, 72
_LONGEST_NAME = 28
_BESIDE = 30  # columns for durations, counts, and the space between
_LABEL_EVERY = 9
_STEPS_S = tuple(
    base * 10.0**power for power in range(-3, 6) for base in (1.0, 2.0, 5.0)
)


def timeline(
    spans: Sequence[Span], *, began: datetime, until: datetime, columns: int
) -> Table:
    """Return the bars of attempts between two times.

    Args:
        spans: Every attempt.
        began: Left edge: when the saga began.
        until: Right edge: when it ended, or now.
        columns: Width of the terminal.
    """
    lanes = lanes_of(spans)
    names = max((len(step) + 2 for step, _, _ in lanes), default=0)
    beside = _BESIDE + min(names, _LONGEST_NAME)
    width = max(_MIN_BAR, min(_MAX_BAR, columns - beside))
    scale = _Scale(began, max((until - began).total_seconds(), 0.001), width)
    table = Table(box=None, padding=(0, 1), show_header=True, header_style="faint")
    table.add_column("step", max_width=_LONGEST_NAME, no_wrap=True)
    table.add_column(scale.axis(), no_wrap=True, width=width)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, style="faint")
    for step, direction, lane in lanes:
        undo = direction is Direction.UNDO
        name = Text(f"↶ {step}" if undo else step, style="undo" if undo else "")
        took = ((lane[-1].ended or until) - lane[0].began).total_seconds()
        tries = f"{len(lane)} attempts" if len(lane) > 1 else ""
        table.add_row(name, scale.lane(lane, until), span_text(took), tries)
    return table


class _Scale:
    """Turns times into columns."""

    def __init__(self, began: datetime, seconds: float, width: int) -> None:
        self._began = began
        self._seconds = seconds
        self._width = width

    def column(self, at: datetime) -> int:
        """Return the column of a time, inside the bar."""
        share = (at - self._began).total_seconds() / self._seconds
        return min(self._width - 1, max(0, int(share * self._width)))

    def axis(self) -> Text:
        """Return times as labels, each at its column."""
        fits = self._seconds / self._width * _LABEL_EVERY
        step = next((s for s in _STEPS_S if s >= fits), _STEPS_S[-1])
        cells = [" "] * self._width
        at = 0.0
        while at <= self._seconds:
            column = int(at / self._seconds * self._width)
            label = "0" if at == 0 else _label(at, step)
            if column + len(label) <= self._width:
                cells[column : column + len(label)] = label
            at += step
        return Text("".join(cells))

    def lane(self, spans: Sequence[Span], until: datetime) -> Text:
        """Return one lane: bars, their ends' marks, and dots for waits between."""
        cells = [(" ", "")] * self._width
        before = 0
        for at, span in enumerate(spans):
            first, last = self.column(span.began), self.column(span.ended or until)
            for column in range(before + 1, first if at else 0):
                cells[column] = ("·", "faint")
            if at and first <= before and last < self._width - 1:
                # Within one column of the attempt before, whose end is to be seen.
                first, last = before + 1, max(before + 1, last)
            mark, style = _MARKS[span.outcome]
            if span.direction is Direction.UNDO and span.outcome is Ended.DONE:
                style = "undo"
            for column in range(first, last):
                cells[column] = ("━", style)
            cells[last] = (mark, style)
            before = last
        text = Text()
        for sign, style in cells:
            text.append(sign, style=style)
        return text


def _label(seconds: float, step: float) -> str:
    """Return a time of the axis with as many digits as its step needs."""
    if step < 1:
        return f"{seconds * 1_000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s"
    return f"{seconds:.0f}s" if seconds < 120 else span_text(seconds)  # noqa: PLR2004
