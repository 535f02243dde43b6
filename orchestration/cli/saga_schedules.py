"""``orchestration saga schedules …``: sagas that beat starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.options import json_object, pairs

if TYPE_CHECKING:
    from rich.table import Table

    from orchestration.adapters.schedules import SagaSchedule

__all__ = ["schedules"]

_NONE_SUCH = 1

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def schedules() -> None:
    """Have sagas started by beat: every so often, or at times like cron's, in UTC."""


@schedules.command("list")
@_json
def list_schedules(*, as_json: bool) -> None:
    """List schedules: when, the next time, the last saga and the last error."""
    from orchestration.adapters.schedules import Schedules
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import session

    with session() as opened:
        found = Schedules(opened.db).listed()
    if as_json:
        emit_json(found)
    elif found:
        console().print(_table(found))
    else:
        console().print("no schedules yet")


@schedules.command(
    epilog="Example: orchestration saga schedules add nightly order.json "
    "--cron '0 2 * * *'"
)
@click.argument("name")
@click.argument("what", metavar="FILE.json|TEMPLATE[@VERSION]|MODULE:NAME")
@click.option("--every", "every_s", type=float, metavar="SECONDS", help="How often.")
@click.option("--cron", metavar="EXPR", help="When, as 'min hour day month weekday'.")
@click.option("--first-at", metavar="TIME", help="Not before: ISO 8601 with a zone.")
@click.option(
    "--data", metavar="JSON|@FILE", callback=json_object, help="The initial data."
)
@click.option(
    "--param",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="A parameter of the template; may be given again.",
)
@_json
def add(
    *,
    name: str,
    what: str,
    every_s: float | None,
    cron: str | None,
    first_at: str | None,
    data: dict[str, Any] | None,
    parameters: Mapping[str, str],
    as_json: bool,
) -> None:
    """Add a schedule, or replace the one of that name.

    What it starts is a file with a saga's JSON, a template by its name, or a
    SagaTransaction (or a function that returns one) in a module. With the same times,
    a schedule keeps its next slot.
    """
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.starting import definition
    from orchestration.saga_client import SagaClient

    transaction, initial_data = definition(
        what, None, parameters=parameters, folder=None
    )
    initial_data |= data or {}
    starts = None if first_at is None else _time(first_at)
    with SagaClient() as client:
        kept = client.schedule(
            name,
            transaction,
            initial_data,
            every_s=every_s,
            cron=cron,
            first_at=starts,
        )
    if as_json:
        emit_json(kept)
    else:
        console().print(f"{name}: first at {_shown(kept.next_at)}", markup=False)


@schedules.command()
@click.argument("name")
@_json
def remove(*, name: str, as_json: bool) -> None:
    """Remove a schedule; sagas that it has started go on."""
    from orchestration.adapters.schedules import Schedules
    from orchestration.cli.output import console, emit_json, fail
    from orchestration.cli.session import session

    with session() as opened:
        was_there = Schedules(opened.db).remove(name)
    if as_json:
        emit_json({"name": name, "removed": was_there})
    elif was_there:
        console().print(f"{name} is removed", markup=False)
    else:
        fail(f"there is no schedule {name}: `orchestration saga schedules list`")
    if not was_there:
        raise click.exceptions.Exit(_NONE_SUCH)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.BadParameter(f"--first-at is no time: {exc}") from exc


def _shown(at: datetime) -> str:
    from datetime import UTC

    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _table(found: Iterable[SagaSchedule]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from orchestration.cli.output import span_text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("name", "saga", "when", "next", "last saga", ""):
        table.add_column(title, no_wrap=title in ("name", "next"))
    for one in found:
        when = one.cron or f"every {span_text(one.every_s or 0)}"
        table.add_row(
            Text(one.name),
            Text(str(one.definition.get("name", ""))),
            Text(when),
            Text(_shown(one.next_at)),
            Text(
                one.last_saga_id or "none yet",
                style="" if one.last_saga_id else "faint",
            ),
            Text(one.last_error or "", style="bad"),
        )
    return table
