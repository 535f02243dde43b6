"""What people see of sagas: a list, a status, a history. Pure: values in, rows out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from orchestration.cli.course import Course, course_of
from orchestration.cli.facts import (
    WORDS,
    awaited_text,
    error_text,
    facts_of,
    style_of,
)
from orchestration.cli.output import age, short_id, span_text
from orchestration.cli.spans import Ended, Kind, Span
from orchestration.cli.steps import steps_table
from orchestration.cli.timeline import sign_of, timeline
from orchestration.core.saga.events import SagaEvent
from orchestration.core.saga.execution import SagaExecution
from orchestration.core.saga.model import Direction, SagaState

if TYPE_CHECKING:
    from orchestration.adapters.saga_index import SagaSummary

__all__ = ["HistoryRow", "history_table", "saga_table", "saga_view", "state_text"]

_STATES: Mapping[SagaState, tuple[str, str]] = {
    SagaState.RUNNING: ("▶", "live"),
    SagaState.WAITING: ("…", "warn"),
    SagaState.COMPLETED: ("✓", "ok"),
    SagaState.COMPENSATING: ("↶", "undo"),
    SagaState.COMPENSATED: ("↶", "undo"),
    SagaState.COMPENSATION_FAILED: ("✗", "bad"),
    SagaState.PAUSED: ("‖", "warn"),
    SagaState.FAILED: ("✗", "bad"),
}
_SOON_S = 0.002
_MANY_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One event with what only the store knows of it.

    Attributes:
        actor: Which worker, or whoever else, recorded it.
        digest: The event's hash in the chain, in hexadecimal.
    """

    event: SagaEvent
    actor: str = ""
    digest: str = ""


def state_text(state: str) -> Text:
    """Return a state with its sign, in its colour."""
    sign, style = _STATES[SagaState(state)]
    return Text(f"{sign} {state}", style=style)


def saga_table(lines: Iterable[SagaSummary], now: datetime) -> Table:
    """Return the list of sagas."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("state", "saga", "id", "started", "took", "waits for"):
        table.add_column(title, no_wrap=title != "waits for")
    for line in lines:
        took = ((line.ended_at or now) - line.started_at).total_seconds()
        table.add_row(
            state_text(line.state),
            escape(line.name),
            Text(short_id(line.saga_id), style="head"),
            age(line.started_at, now),
            Text(span_text(took), style="" if line.ended_at else "live"),
            escape(line.waiting_for or ""),
        )
    return table


def saga_view(
    status: SagaExecution, events: Sequence[SagaEvent], *, now: datetime, columns: int
) -> RenderableType:
    """Return one saga whole: status, steps, timeline, what was asked of it, errors."""
    course = course_of(status.saga_id, events, now=now)
    parts: list[RenderableType] = [
        _panel(status, status.ended_at or course.until, now),
        Padding(steps_table(status), (1, 1), expand=False),
        timeline(course, columns=columns),
    ]
    if turns := list(_turns(course)):
        parts += [Padding(Group(*turns), (1, 1, 0, 1), expand=False)]
    if problems := list(_problems(course)):
        parts += [Padding(Group(*problems), (1, 1, 0, 1), expand=False)]
    return Group(*parts)


def history_table(rows: Sequence[HistoryRow]) -> Table:
    """Return every event with its time since the first."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("#", justify="right", style="faint")
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("step", no_wrap=True)
    table.add_column("try", justify="right")
    table.add_column("what", ratio=1)
    table.add_column("by", style="faint", no_wrap=True)
    table.add_column("hash", style="faint", no_wrap=True)
    for row in rows:
        event = row.event
        after = (event.recorded_at - rows[0].event.recorded_at).total_seconds()
        table.add_row(
            str(event.version),
            f"{after:.3f} s",
            Text(WORDS[event.type], style=style_of(event.type)),
            escape(str(event.data.get("step", ""))),
            str(event.data.get("attempt", "")),
            escape(facts_of(event)),
            escape(row.actor),
            row.digest[:8],
        )
    return table


def _panel(status: SagaExecution, until: datetime, now: datetime) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="key")
    grid.add_column(overflow="fold")
    took = span_text((until - status.started_at).total_seconds())
    verb = "after" if status.state.is_final else "for"
    grid.add_row("state", Text.assemble(state_text(status.state), f"  {verb} {took}"))
    grid.add_row("saga", escape(status.saga_id))
    if status.parent_id:
        grid.add_row("step of saga", escape(status.parent_id))
    if attributes := status.search_attributes:
        told = ", ".join(f"{key}={value}" for key, value in attributes.items())
        grid.add_row("found by", escape(told))
    began = f"{status.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
    grid.add_row("started", f"{began}, {age(status.started_at, now)}")
    if status.failed_step:
        why = error_text(status.error)
        grid.add_row("because", Text(f"{status.failed_step} gave up: {why}", "bad"))
    elif status.error:
        grid.add_row("because", Text(error_text(status.error), "bad"))
    elif status.is_cancelled:
        grid.add_row("because", Text("it was cancelled", "undo"))
    lists = {
        "passed over": status.skipped_steps,
        "undone": status.compensated_steps,
        "kept": status.kept_steps,
        "not undone": status.uncompensated_steps,
        "undo failed": status.failed_compensations,
        "unknown": status.unresolved_steps,
    }
    for title, names in lists.items():
        if names:
            grid.add_row(title, escape(", ".join(names)))
    if status.waiting_for:
        grid.add_row("waits for", Text(status.waiting_for, "warn"))
    _, style = _STATES[status.state]
    return Panel(
        grid,
        title=f"[head]{escape(status.name)}[/]",
        title_align="left",
        border_style=style,
        expand=False,
        padding=(0, 2),
    )


def _turns(course: Course) -> Iterator[Text]:
    """Say of each turn when, what, and who asked for it and why."""
    for turn in course.marked_turns:
        sign, style = sign_of(turn)
        text = Text.assemble((f"{sign} ", style), _after(course, turn.at), turn.text)
        if turn.asked:
            text.append(f" · {turn.asked}", "head")
        yield text


def _problems(course: Course) -> Iterator[Text]:
    """Say of what did not succeed when, why, and what came then."""
    found = [
        (span.ended, _problem(course, span, span.ended))
        for span in course.spans
        if span.outcome in (Ended.FAILED, Ended.UNKNOWN) and span.ended is not None
    ]
    found += (
        (mark.at, Text.assemble(("! ", "warn"), _after(course, mark.at), mark.text))
        for mark in course.late
    )
    found.sort(key=lambda pair: pair[0])
    yield from (text for _, text in found[:_MANY_PROBLEMS])
    if len(found) > _MANY_PROBLEMS:
        more = len(found) - _MANY_PROBLEMS
        yield Text(f"… and {more} more: `orchestration saga history`", "faint")


def _problem(course: Course, span: Span, ended: datetime) -> Text:
    sign, style = ("?", "warn") if span.outcome is Ended.UNKNOWN else ("✗", "bad")
    what = f", attempt {span.attempt}"
    if span.kind is Kind.WAIT:
        what = f", waiting for {awaited_text(span.awaits)}"
    text = Text.assemble(
        (f"{sign} ", style),
        _after(course, ended),
        f"{_ASPECTS[span.direction]}{span.step}{what}: ",
        (error_text(span.error) or "the agent cannot tell", style),
    )
    if span.retry_at is not None:
        wait_s = max(0.0, (span.retry_at - ended).total_seconds())
        when = f"after {span_text(wait_s)}" if wait_s >= _SOON_S else "at once"
        text.append(f"  → tried again {when}", "faint")
    return text


_ASPECTS = {Direction.DO: "", Direction.UNDO: "undo of ", Direction.PROBE: "probe of "}


def _after(course: Course, at: datetime) -> tuple[str, str]:
    return f"{course.after(at)}  ", "faint"
