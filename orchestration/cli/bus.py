"""``orchestration bus dead-letters``: messages that could not be delivered."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.options import moment

if TYPE_CHECKING:
    from orchestration.adapters.dead_messages import DeadMessage
    from orchestration.engine.burying import LetterDesk

__all__ = ["bus"]

# Of Reason and of DeadMessage.state; spelled out, so that --help loads nothing.
_REASONS = ("EXPIRED", "NO_HANDLER", "FAILED", "MALFORMED", "KILLED")
_STATES = ("OPEN", "REDRIVEN", "DISCARDED", "ALL")
_FILTERS = ("agent_id", "reason", "message_type", "correlation_id", "since", "until")
_SHOWN = 50

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ids = click.argument("ids", type=int, nargs=-1, metavar="[NUMBER]...")


@click.group()
def bus() -> None:
    """Look after messages between agents."""


@bus.group("dead-letters")
def dead_letters() -> None:
    """Look at undelivered messages, send them again, or give them up."""


def _filtering(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which letters are found, as ``filters``."""

    @functools.wraps(command)
    def with_filters(**given: Any) -> None:  # noqa: ANN401 - what click hands over
        found = {name: given.pop(name) for name in _FILTERS}
        filters = {name: value for name, value in found.items() if value is not None}
        command(filters=filters, **given)

    reasons = click.Choice(_REASONS, case_sensitive=False)
    earlier = "Only those that died earlier."
    later = "Only those that died then or later: a time, or 15min, 2h, 3d ago."
    for option in (
        click.option("--until", metavar="TIME", callback=moment, help=earlier),
        click.option("--since", metavar="TIME", callback=moment, help=later),
        click.option("--correlation", "correlation_id", help="Of a conversation."),
        click.option("--type", "message_type", help="As COMMAND."),
        click.option("--reason", type=reasons, help="Why they are here."),
        click.option("--agent", "agent_id", help="For this agent."),
    ):
        with_filters = option(with_filters)
    return with_filters


@dead_letters.command("list")
@_filtering
@click.option(
    "--state", default="OPEN", type=click.Choice(_STATES, case_sensitive=False)
)
@click.option("--after", type=int, metavar="NUMBER", help="Only those below: a page.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@_json
def list_letters(
    *,
    filters: dict[str, Any],
    state: str,
    after: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List them, newest first."""
    from orchestration.adapters.dead_messages import DeadMessages
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import session

    wanted = None if state.upper() == "ALL" else state
    with session() as opened:
        found = DeadMessages(opened.db).find(
            **filters, state=wanted, below=after, limit=limit
        )
    if as_json:
        emit_json(found)
        return
    out = console()
    if not found:
        out.print("no dead letters")
        return
    _print(found)
    if len(found) == limit:
        last = found[-1].letter_id
        out.print(f"the first {limit}; more by --after {last}", style="faint")


@dead_letters.command()
@click.argument("number", type=int)
@_json
def show(*, number: int, as_json: bool) -> None:
    """Show one whole, with its message."""
    import json

    from orchestration.adapters.dead_messages import DeadMessages
    from orchestration.cli.output import console, emit_json, plain
    from orchestration.cli.session import session

    with session() as opened:
        found = DeadMessages(opened.db).find(ids=[number], state=None)
    if not found:
        raise click.ClickException(
            f"there is no dead letter {number}: `orchestration bus dead-letters list "
            "--state all` shows them"
        )
    if as_json:
        emit_json(found[0])
        return
    out = console()
    for name, value in plain(found[0]).items():
        text = value if isinstance(value, str | int) else json.dumps(value, indent=2)
        out.print(f"{name:>15}  {text}", markup=False, soft_wrap=True)


def _acting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what acts upon letters have in common."""
    many = "All open ones that these options find, in place of numbers."
    for option in (
        _json,
        click.option("--by", default="", help="Who asks.  [default: user@host]"),
        click.option("--why", default="", help="For the record."),
        click.option("--yes", is_flag=True, help="Act upon many without asking."),
        click.option("--dry-run", is_flag=True, help="Show what would be acted upon."),
        click.option(
            "--limit", type=click.IntRange(min=1), help="The newest N of them only."
        ),
        _filtering,
        click.option("--all-matching", is_flag=True, help=many),
        _ids,
    ):
        command = option(command)
    return command


@dead_letters.command()
@_acting
@click.option(
    "--timeout-ms",
    type=click.IntRange(min=1),
    help="Their new deadline, from now.  [default: none, where it has passed]",
)
def retry(*, timeout_ms: int | None, by: str, why: str, **given: Any) -> None:  # noqa: ANN401
    """Send them to their agents again; malformed ones cannot be."""

    def do(desk: LetterDesk, ids: Sequence[int]) -> tuple[int, ...]:
        from orchestration.engine.asking import who

        return desk.redrive(who(by, why), ids, timeout_ms=timeout_ms)

    _act("send again", "sent again", do, **given)


@dead_letters.command()
@_acting
def discard(*, by: str, why: str, **given: Any) -> None:  # noqa: ANN401
    """Give them up; their events stay."""

    def do(desk: LetterDesk, ids: Sequence[int]) -> tuple[int, ...]:
        from orchestration.engine.asking import who

        return desk.discard(who(by, why), ids)

    _act("give up", "given up", do, **given)


def _act(
    name: str,
    done: str,
    do: Callable[[LetterDesk, Sequence[int]], tuple[int, ...]],
    *,
    ids: tuple[int, ...],
    all_matching: bool,
    filters: dict[str, Any],
    limit: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Act upon the letters that are meant, and say what came of it."""
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import expect_server
    from orchestration.message_bus import MessageBus
    from orchestration.settings import Settings

    if bool(ids) == all_matching:
        raise click.UsageError("give either numbers of letters, or --all-matching")
    if all_matching and not filters:
        raise click.UsageError("--all-matching needs something to match: --agent, …")
    if ids and (filters or limit is not None):
        raise click.UsageError("--agent and its like go with --all-matching")
    expect_server("DATABASE_URL", Settings.from_env().database_url, 5432)
    bus = MessageBus()
    bus.connect()
    try:
        desk = bus.letters
        chosen = {"ids": ids} if ids else filters
        found = [one for page in desk.pages(limit, chosen) for one in page]
        if all_matching and not (yes or dry_run) and found:
            _confirm(name, found)
        acted = () if dry_run else do(desk, [one.letter_id for one in found])
    finally:
        bus.disconnect()
    if as_json:
        numbers = [one.letter_id for one in found]
        emit_json({"found": numbers, "acted": acted, "dry_run": dry_run})
    elif dry_run:
        _print(found[:_SHOWN])
        console().print(f"{len(found)} would be {done}")
    else:
        console().print(f"{len(acted)} {done}")
    if not dry_run and len(acted) < max(len(ids), len(found)):
        raise click.exceptions.Exit(1)


def _confirm(name: str, found: Sequence[DeadMessage]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{name} {len(found)} letters: add --yes, or --dry-run")
    _print(found[:_SHOWN])
    click.confirm(f"{name} {len(found)} letters?", abort=True)


def _print(found: Sequence[DeadMessage]) -> None:
    from datetime import UTC, datetime

    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from orchestration.cli.output import age, console, short_id

    now = datetime.now(UTC)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("no.", "message", "type", "for", "died", "tries", "state", "because"):
        table.add_column(title, no_wrap=title != "because")
    for one in found:
        what = f"{one.reason}: {one.error.get('message', '')}"
        agent = f"{one.agent_id} ({one.pattern})" if one.pattern else one.agent_id
        table.add_row(
            str(one.letter_id),
            Text(short_id(one.message_id), "head"),
            escape(one.message_type),
            escape(agent),
            age(one.died_at, now),
            str(one.attempts),
            one.state,
            Text(what, "bad"),
        )
    console().print(table)
