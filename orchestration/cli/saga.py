"""``orchestration saga …``: list, show, history, run."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.saga_schedules import schedules

if TYPE_CHECKING:
    from orchestration.cli.session import SagaFacts, Session
    from orchestration.core.saga.model import SagaTransaction

__all__ = ["read_data", "read_definition", "saga"]

# Of SagaState, those that are recorded; spelled out, so that --help loads nothing.
_STATES = (
    "RUNNING",
    "COMPENSATING",
    "PAUSED",
    "COMPLETED",
    "COMPENSATED",
    "COMPENSATION_FAILED",
    "FAILED",
)
_WATCH_EVERY_S = 0.5
_NOT_COMPLETED = 1

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_saga_id = click.argument("saga_id", required=False, metavar="[ID]")


@click.group()
def saga() -> None:
    """See how sagas stand, and start them.

    Where an ID is asked for, its beginning will do; without one the newest saga is
    meant.
    """


saga.add_command(schedules)


@saga.command("list")
@click.option(
    "--state", type=click.Choice(_STATES, case_sensitive=False), help="Only these."
)
@click.option("--name", help="Only sagas of this name.")
@click.option("--limit", default=20, show_default=True, metavar="N")
@click.option("--watch", is_flag=True, help="Keep the list up to date until Ctrl-C.")
@_json
def list_sagas(
    *, state: str | None, name: str | None, limit: int, watch: bool, as_json: bool
) -> None:
    """List sagas, newest first."""
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import session

    out = console()
    if watch and (as_json or not out.is_terminal):
        raise click.UsageError("--watch needs a terminal, and goes without --json")
    with session() as opened:
        if watch:
            _watch(opened, state, name, limit)
            return
        found = opened.index.find(state=state, name=name, limit=limit)
        if as_json:
            emit_json(found)
        elif found:
            out.print(_table(opened, state, name, limit))
        else:
            out.print("no sagas" + (" of that kind" if state or name else " yet"))


@saga.command()
@_saga_id
@click.option("--follow", "-f", "following", is_flag=True, help="Until it is over.")
@_json
def show(*, saga_id: str | None, following: bool, as_json: bool) -> None:
    """Show one saga: its state, its steps, a timeline of attempts, what went wrong.

    With --follow it is kept up to date until it is over; together with --json the
    saga's end is awaited and printed.
    """
    from orchestration.cli.session import session

    with session() as opened:
        _show(opened, opened.find(saga_id), following=following, as_json=as_json)


@saga.command()
@_saga_id
@_json
def history(*, saga_id: str | None, as_json: bool) -> None:
    """Show every recorded event of a saga, and its hash in the chain."""
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
@click.argument("definition", metavar="FILE.json|MODULE:NAME")
@click.option("--data", default="{}", metavar="JSON|@FILE", help="The initial data.")
@click.option("--id", "saga_id", help="The saga's id.  [default: a new one]")
@_json
def run(*, definition: str, data: str, saga_id: str | None, as_json: bool) -> None:
    """Start a saga and show it until it is over; exit 0 if it was completed.

    DEFINITION is a file with a saga's JSON, or a SagaTransaction (or a function that
    returns one) in a module.
    """
    from orchestration.cli.session import session
    from orchestration.saga import SagaOrchestrator

    transaction = read_definition(definition, saga_id)
    initial_data = read_data(data)

    async def start() -> str:
        async with SagaOrchestrator() as orchestrator:
            return await orchestrator.start(transaction, initial_data)

    with session() as opened:
        started = asyncio.run(start())
        facts = _show(opened, started, following=True, as_json=as_json)
    if facts.status.state != "COMPLETED":
        raise click.exceptions.Exit(_NOT_COMPLETED)


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


def _table(opened: Session, state: str | None, name: str | None, limit: int) -> Any:  # noqa: ANN401 - what rich renders
    from datetime import UTC, datetime

    from orchestration.cli.views import saga_table

    found = opened.index.find(state=state, name=name, limit=limit)
    return saga_table(found, datetime.now(UTC))


def _watch(opened: Session, state: str | None, name: str | None, limit: int) -> None:
    from rich.live import Live

    from orchestration.cli.output import console

    with Live(console=console(), auto_refresh=False, screen=True) as live:
        while True:
            live.update(_table(opened, state, name, limit), refresh=True)
            time.sleep(_WATCH_EVERY_S)


def read_definition(text: str, saga_id: str | None) -> SagaTransaction:
    """Return the transaction that an argument names.

    Raises:
        click.BadParameter: It names none; the text says what is wrong.
    """
    from dataclasses import replace
    from uuid import uuid4

    from orchestration.core.saga.model import SagaTransaction

    try:
        if text.endswith(".json"):
            value = json.loads(Path(text).read_text("utf-8"))
            return SagaTransaction.from_json(
                value, transaction_id=saga_id or str(uuid4())
            )
        module, _, name = text.partition(":")
        sys.path.insert(0, str(Path.cwd()))
        found = getattr(importlib.import_module(module), name or "transaction")
        if callable(found):
            inspect.signature(found).bind()  # the function's own errors are its own
    except (OSError, ImportError, AttributeError, TypeError, ValueError) as exc:
        raise click.BadParameter(f"{text}: {exc}") from exc
    made = found() if callable(found) else found
    if not isinstance(made, SagaTransaction):
        raise click.BadParameter(f"{text} is {type(made).__name__}, no SagaTransaction")
    # A definition of a module has one id for as long as it is imported: this run's.
    return replace(made, transaction_id=saga_id) if saga_id else made


def read_data(text: str) -> dict[str, Any]:
    """Return the JSON object that ``--data`` gives, or the file that it names.

    Raises:
        click.BadParameter: It is none.
    """
    try:
        value = json.loads(
            Path(text[1:]).read_text("utf-8") if text.startswith("@") else text
        )
    except (OSError, ValueError) as exc:
        raise click.BadParameter(f"--data is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise click.BadParameter("--data is no JSON object")
    return value
