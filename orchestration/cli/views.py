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

from orchestration.cli.facts import WORDS, error_text, facts_of, style_of
from orchestration.cli.output import age, short_id, span_text
from orchestration.cli.spans import Ended, Span, spans_of
from orchestration.cli.timeline import timeline
from orchestration.core.saga.events import SagaEvent
from orchestration.core.saga.execution import SagaExecution, StepReport
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
_DONE = {
    "IDLE": ("·", "faint", "not started"),
    "RUNNING": ("▶", "live", "running"),
    "WAITING": ("…", "warn", "waits for its next attempt"),
    "DONE": ("✓", "ok", "done"),
    "FAILED": ("✗", "bad", "failed"),
    "UNKNOWN": ("?", "warn", "outcome unknown"),
}
_UNDONE = {
    "IDLE": ("", "", ""),
    "RUNNING": ("↶", "live", "being undone"),
    "WAITING": ("…", "warn", "undo waits for its next attempt"),
    "DONE": ("↶", "undo", "undone"),
    "FAILED": ("✗", "bad", "undo failed"),
    "UNKNOWN": ("?", "warn", "undo unknown"),
}

_SOON_S = 0.002


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
    """Return one saga whole: status, steps, timeline, errors."""
    spans = spans_of(events)
    until = status.ended_at or (
        events[-1].recorded_at if status.state.is_final else now
    )
    bars = timeline(spans, began=status.started_at, until=until, columns=columns)
    parts: list[RenderableType] = [
        _panel(status, until, now),
        Padding(_steps(status.steps), (1, 1), expand=False),
        bars,
    ]
    if problems := list(_problems(spans, status.started_at)):
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
    began = f"{status.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
    grid.add_row("started", f"{began}, {age(status.started_at, now)}")
    if status.failed_step:
        why = error_text(status.error)
        grid.add_row("because", Text(f"{status.failed_step} gave up: {why}", "bad"))
    elif status.error:
        grid.add_row("because", Text(error_text(status.error), "bad"))
    lists = {
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


def _steps(steps: Sequence[StepReport]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("")
    for title in ("step", "agent", "status", "tries", "undo"):
        table.add_column(title, no_wrap=True)
    for step in steps:
        sign, style, word = _DONE[step.status]
        undo_sign, undo_style, undo_word = _UNDONE[step.undo_status]
        undo_tries = f", {step.undo_attempts} tries" if step.undo_attempts > 1 else ""
        table.add_row(
            Text(sign, style=style),
            escape(step.name),
            Text(step.agent_id, style="faint"),
            Text(word, style=style),
            str(step.attempts or ""),
            Text(f"{undo_sign} {undo_word}{undo_tries}", style=undo_style),
        )
    return table


def _problems(spans: Sequence[Span], began: datetime) -> Iterator[Text]:
    """Say of each attempt that did not succeed when, why, and what came then."""
    for span in spans:
        if span.outcome not in (Ended.FAILED, Ended.UNKNOWN) or span.ended is None:
            continue
        after = (span.ended - began).total_seconds()
        what = "undo of " if span.direction is Direction.UNDO else ""
        sign, style = ("?", "warn") if span.outcome is Ended.UNKNOWN else ("✗", "bad")
        text = Text.assemble(
            (f"{sign} ", style),
            (f"{after:.1f} s  ", "faint"),
            f"{what}{span.step}, attempt {span.attempt}: ",
            (error_text(span.error), style),
        )
        if span.retry_at is not None:
            wait_s = max(0.0, (span.retry_at - span.ended).total_seconds())
            when = f"after {span_text(wait_s)}" if wait_s >= _SOON_S else "at once"
            text.append(f"  → tried again {when}", "faint")
        yield text
