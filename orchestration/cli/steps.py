"""How each step of a saga stands, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from orchestration.cli.course import MANY_ITEMS
from orchestration.cli.facts import awaited_text
from orchestration.core.saga.execution import SagaExecution, StepReport

__all__ = ["steps_table"]

_DONE = {
    "IDLE": ("·", "faint", "not started"),
    "RUNNING": ("▶", "live", "running"),
    "AWAITING": ("…", "live", "waits for a signal"),
    "WAITING": ("…", "warn", "waits for its next attempt"),
    "DONE": ("✓", "ok", "done"),
    "SKIPPED": ("○", "faint", "passed over"),
    "FAILED": ("✗", "bad", "failed"),
    "UNKNOWN": ("?", "warn", "outcome unknown"),
}
_UNDONE = {
    "IDLE": ("", "", ""),
    "RUNNING": ("↶", "live", "being undone"),
    "AWAITING": ("…", "live", "its saga is being undone"),
    "WAITING": ("…", "warn", "undo waits for its next attempt"),
    "DONE": ("↶", "undo", "undone"),
    "SKIPPED": ("○", "warn", "left as it is"),
    "FAILED": ("✗", "bad", "undo failed"),
    "UNKNOWN": ("?", "warn", "undo unknown"),
}


def steps_table(status: SagaExecution) -> Table:
    """Return a row for each step; of one with many items, for the remarkable ones."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("")
    for title in ("step", "agent", "status", "tries", "undo"):
        table.add_column(title, no_wrap=True)
    hidden = _hidden(status.steps)
    for step in status.steps:
        if step.name not in hidden:
            table.add_row(*_row(step))
        elif count := hidden[step.name]:
            table.add_row("", Text(f"{count} more like the others", "faint"))
    return table


def _row(step: StepReport) -> tuple[str | Text, ...]:
    sign, style, word = _DONE[step.status]
    if step.status == "AWAITING" and "signal" not in step.awaits:
        word = f"waits for {awaited_text(step.awaits)}"
    undo_sign, undo_style, undo_word = _UNDONE[step.undo_status]
    undo_tries = f", {step.undo_attempts} tries" if step.undo_attempts > 1 else ""
    return (
        Text(sign, style=style),
        escape(step.name),
        Text(step.agent_id, style="faint"),
        Text(word, style=style),
        str(step.attempts or ""),
        Text(f"{undo_sign} {undo_word}{undo_tries}", style=undo_style),
    )


def _hidden(steps: Sequence[StepReport]) -> dict[str, int]:
    """Return the items that share a row; the first of each step's says how many."""
    items: defaultdict[str, list[StepReport]] = defaultdict(list)
    for step in steps:
        base, opened, _ = step.name.partition("[")
        if opened:
            items[base].append(step)
    hidden: dict[str, int] = {}
    for own in items.values():
        smooth = [step for step in own if _is_smooth(step)]
        rest = smooth[max(0, MANY_ITEMS - 1 - (len(own) - len(smooth))) :]
        if len(own) > MANY_ITEMS and rest:
            hidden |= dict.fromkeys((step.name for step in rest), 0)
            hidden[rest[0].name] = len(rest)
    return hidden


def _is_smooth(step: StepReport) -> bool:
    return step.status in ("DONE", "IDLE") and step.undo_status in ("DONE", "IDLE")
