"""``orchestration saga dead-letters``: undos that failed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.table import Table

    from orchestration.adapters.saga_index import DeadLetter

__all__ = ["dead_letters"]


@click.command("dead-letters")
@click.argument("saga_id", required=False, metavar="[ID]")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def dead_letters(*, saga_id: str | None, limit: int, as_json: bool) -> None:
    """List undos that failed for good, the longest first.

    Each is settled by `saga retry ID`, by `saga resolve ID STEP` if it was undone by
    hand, or by `saga skip ID STEP` if its effect is to stay.
    """
    from datetime import UTC, datetime

    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import session

    with session() as opened:
        wanted = None if saga_id is None else opened.find(saga_id)
        found = opened.index.letters(wanted, limit=limit)
    if as_json:
        emit_json(found)
        return
    out = console()
    if not found:
        out.print("no dead letters")
        return
    out.print(_table(found, datetime.now(UTC)))
    if len(found) == limit:
        out.print(f"the first {limit}; more by --limit", style="faint")


def _table(found: Sequence[DeadLetter], now: datetime) -> Table:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from orchestration.cli.facts import error_text
    from orchestration.cli.output import age, short_id, span_text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("saga", "id", "undo of", "since", "tries", "next try", "because"):
        table.add_column(title, no_wrap=title != "because")
    for letter in found:
        next_try = Text("waits for a person", "warn")
        if letter.next_try_at is not None:
            wait_s = max(0.0, (letter.next_try_at - now).total_seconds())
            next_try = Text(f"in {span_text(wait_s)}")
        table.add_row(
            escape(letter.name or ""),
            Text(short_id(letter.saga_id), "head"),
            escape(letter.step),
            age(letter.since, now),
            str(letter.tries),
            next_try,
            Text(error_text(letter.error), "bad"),
        )
    return table
