"""``orchestration saga …``: how sagas stand, and how one is started."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.acts import ACTS
from orchestration.cli.letters import dead_letters
from orchestration.cli.options import attributes_of, finding, json_object, pairs
from orchestration.cli.saga_schedules import schedules
from orchestration.cli.templates import templates

if TYPE_CHECKING:
    from orchestration.adapters.saga_index import SagaSummary
    from orchestration.cli.session import SagaFacts, Session

__all__ = ["saga"]

_WATCH_EVERY_S = 0.5
_NOT_COMPLETED = 1

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_saga_id = click.argument("saga_id", required=False, metavar="[ID]")


class _Saga(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which they are needed."""
        del ctx
        return list(self.commands)


@click.group(cls=_Saga)
def saga() -> None:
    """See how sagas stand, start them, and act upon them.

    Where an ID is asked for, its beginning will do; where it may be left out to look
    at a saga, the newest one is meant.
    """


@saga.command("list")
@finding
@click.option("--after", metavar="ID", help="Only those that follow this one: a page.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--watch", is_flag=True, help="Keep the list up to date until Ctrl-C.")
@_json
def list_sagas(*, watch: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - what click hands over
    """List sagas, newest first."""
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import session

    out = console()
    if watch and (as_json or not out.is_terminal):
        raise click.UsageError("--watch needs a terminal, and goes without --json")
    given["attributes"] = attributes_of(given["attributes"])
    with session() as opened:
        if given["after"] is not None:
            given["after"] = _summary(opened, given["after"])
        if watch:
            _watch(opened, given)
        found = opened.index.find(**given | {"limit": given["limit"] + 1})
    page = found[: given["limit"]]
    if as_json:
        emit_json(page)
        return
    out.print(_listed(page, given))
    if len(found) > len(page):
        from orchestration.cli.output import short_id

        following = f"older ones: the same with --after {short_id(page[-1].saga_id)}"
        out.print(following, style="faint", markup=False)


@saga.command()
@_saga_id
@click.option("--follow", "-f", "following", is_flag=True, help="Until it is over.")
@click.option("--svg", metavar="FILE", help="Write it as a picture; - for stdout.")
@_json
def show(
    *, saga_id: str | None, following: bool, svg: str | None, as_json: bool
) -> None:
    """Show one saga: state, steps, timeline, acts, errors.

    With --follow it is kept up to date until it is over; together with --json the
    saga's end is awaited and printed.
    """
    from orchestration.cli.session import session

    if svg == "-" and (as_json or following):
        raise click.UsageError("--svg - has stdout for itself: name a file")
    with session() as opened:
        wanted = opened.find(saga_id)
        if svg is not None and not (as_json or following):
            _draw(opened.facts(wanted), svg)
            return
        facts = _show(opened, wanted, following=following, as_json=as_json)
        if svg is not None:
            _draw(facts, svg, quiet=as_json)


@saga.command()
@_saga_id
@_json
def history(*, saga_id: str | None, as_json: bool) -> None:
    """Show every recorded event, and its hash in the chain."""
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import session
    from orchestration.cli.views import HistoryRow, history_table

    with session() as opened:
        facts = opened.facts(opened.find(saga_id))
    if as_json:
        emit_json(facts.recorded)
        return
    rows = [
        HistoryRow(event, recorded.actor, recorded.hash.hex())
        for event, recorded in zip(facts.events, facts.recorded, strict=True)
    ]
    out = console()
    out.print(f"[head]{facts.status.name}[/]  {facts.status.saga_id}\n")
    out.print(history_table(rows))


@saga.command(
    epilog="Example: orchestration saga run order.json --data '{\"order\": 7}'"
)
@click.argument("what", metavar="FILE.json|TEMPLATE[@VERSION]|MODULE:NAME")
@click.option(
    "--data",
    metavar="JSON|@FILE",
    callback=json_object,
    help="The initial data; over those of a template.",
)
@click.option(
    "--param",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="A parameter of the template; may be given again.",
)
@click.option("--templates", "folder", metavar="DIR", help="Where templates are.")
@click.option("--id", "saga_id", help="The saga's id.  [default: a new one]")
@_json
def run(
    *,
    what: str,
    data: dict[str, Any] | None,
    parameters: Mapping[str, str],
    folder: str | None,
    saga_id: str | None,
    as_json: bool,
) -> None:
    """Start a saga and show it until it is over.

    Exit code 0 if it was completed, else 1. It is a file with a saga's JSON, a template
    by its name, or a SagaTransaction (or a function that returns one) in a module.
    """
    from orchestration.cli.session import session
    from orchestration.cli.starting import definition
    from orchestration.saga import SagaOrchestrator

    transaction, initial_data = definition(
        what, saga_id, parameters=parameters, folder=folder
    )
    initial_data |= data or {}

    async def start() -> str:
        async with SagaOrchestrator() as orchestrator:
            return await orchestrator.start(transaction, initial_data)

    with session() as opened:
        started = asyncio.run(start())
        facts = _show(opened, started, following=True, as_json=as_json)
    if facts.status.state != "COMPLETED":
        raise click.exceptions.Exit(_NOT_COMPLETED)


for _command in (*ACTS, dead_letters, templates, schedules):
    saga.add_command(_command)


def _show(
    opened: Session, saga_id: str, *, following: bool, as_json: bool
) -> SagaFacts:
    from datetime import UTC, datetime

    from orchestration.cli.follow import follow, follow_lines, follow_live
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.views import saga_view

    out = console()
    if as_json:
        looks = follow(opened, saga_id) if following else [opened.facts(saga_id)]
        *_, facts = looks
        emit_json(facts.status)
        return facts
    if following and out.is_terminal:
        return follow_live(opened, saga_id, out)
    facts = follow_lines(opened, saga_id, out) if following else opened.facts(saga_id)
    now = datetime.now(UTC)
    out.print(saga_view(facts.status, facts.events, now=now, columns=out.width))
    return facts


def _draw(facts: SagaFacts, file: str, *, quiet: bool = False) -> None:
    """Write the saga's picture, and say where it is."""
    from datetime import UTC, datetime

    from orchestration.cli.course import course_of
    from orchestration.cli.output import console
    from orchestration.cli.picture import picture

    status = facts.status
    course = course_of(status.saga_id, facts.events, now=datetime.now(UTC))
    text = picture(course, status) + "\n"
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as exc:
        raise click.BadParameter(f"--svg {file}: {exc.strerror}") from exc
    if not quiet:
        console().print(f"✓ {file}", markup=False, soft_wrap=True)


def _summary(opened: Session, wanted: str) -> SagaSummary:
    """Return the line of a list that another page begins after."""
    from orchestration.adapters.saga_index import SagaSummary

    status = opened.facts(opened.find(wanted)).status
    return SagaSummary(
        saga_id=status.saga_id,
        name=status.name,
        state=status.state,
        started_at=status.started_at,
        ended_at=status.ended_at,
        waiting_for=None,
    )


def _listed(found: tuple[SagaSummary, ...], given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what rich renders
    from datetime import UTC, datetime

    from orchestration.cli.views import saga_table

    if found:
        return saga_table(found, datetime.now(UTC))
    asked = any(value for key, value in given.items() if key != "limit")
    return "no sagas" + (" of that kind" if asked else " yet")


def _watch(opened: Session, given: Mapping[str, Any]) -> None:
    from rich.live import Live

    from orchestration.cli.output import console

    with Live(console=console(), auto_refresh=False, screen=True) as live:
        while True:
            found = opened.index.find(**given)
            live.update(_listed(found, given), refresh=True)
            time.sleep(_WATCH_EVERY_S)
