"""The command line: ``python -m eventstore migrate|tail|stats|verify|doctor``.

Exit codes: 0 all is well, 1 something was found, 2 it could not be told (a wrong
call, no connection, no schema).
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from sqlalchemy.exc import SQLAlchemyError

from eventstore import doctor as doctor_module
from eventstore import migrate as migrate_module
from eventstore.errors import EventStoreError
from eventstore.event import RecordedEvent
from eventstore.sql import query
from eventstore.store import EventStore
from eventstore.tree import TaskNode, task_tree
from eventstore.verify import verify as run_verify

FOUND = 1
CANNOT_TELL = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """An append-only, hash-chained event store on Postgres."""


def main() -> None:
    """Run the command line and exit."""
    cli(prog_name="python -m eventstore")


def _command(function: Callable[..., None]) -> click.Command:
    """Add what every command has: the database, --json, one way to fail."""

    @wraps(function)
    def wrapped(database_url: str, **options: Any) -> None:  # noqa: ANN401 - click's
        store = EventStore.connect(database_url)
        try:
            function(store, **options)
        except (EventStoreError, SQLAlchemyError) as exc:
            reason = str(getattr(exc, "orig", None) or exc).strip()
            Console(stderr=True).print(Text(f"Error: {reason}", style="red"))
            sys.exit(CANNOT_TELL)
        finally:
            store.close()

    url = click.option(
        "--database-url",
        envvar="DATABASE_URL",
        required=True,
        show_envvar=True,
        help="Of the store's Postgres database.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    command: click.Command = cli.command(url(as_json(wrapped)))
    return command


@_command
def migrate(store: EventStore, *, as_json: bool) -> None:
    """Bring the database's schema up to date."""
    applied = [f"{m.version:04}_{m.name}" for m in migrate_module.migrate(store.engine)]
    if as_json:
        _print_json({"applied": applied})
    elif applied:
        Console().print(Text(f"applied {', '.join(applied)}"))
    else:
        Console().print(Text("the schema is up to date"))


@click.option("--stream", help="Only this stream, in the order of its versions.")
@click.option("--category", help="Only streams whose name begins with this.")
@click.option("--saga", help="The tree of tasks of saga-ID.", metavar="ID")
@click.option(
    "--from", "from_seq", type=int, help="First number to show (of a stream: version)."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, help="How many events."
)
@click.option("--follow", "-f", is_flag=True, help="Go on as events are numbered.")
@_command
def tail(  # one parameter per option
    store: EventStore,
    *,
    stream: str | None,
    category: str | None,
    saga: str | None,
    from_seq: int | None,
    limit: int,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the newest events, a stream's, or a saga's tree of tasks."""
    if sum(value is not None for value in (stream, category, saga)) > 1:
        message = "--stream, --category and --saga exclude each other"
        raise click.UsageError(message)
    if saga is not None:
        _tail_saga(store, saga, as_json=as_json)
        return
    after, read = _reader(store, stream, category, from_seq, limit)
    while True:
        events = read(after, limit)
        _print_events(events, as_json=as_json)
        if events:
            last = events[-1]
            after = last.version if stream is not None else last.seq or 0
        if not follow:
            return
        if not events:
            time.sleep(1.0)


_Read = Callable[[int, int], tuple[RecordedEvent, ...]]


def _reader(
    store: EventStore,
    stream: str | None,
    category: str | None,
    start: int | None,
    limit: int,
) -> tuple[int, _Read]:
    """Where to begin and how to read on from there."""
    if stream is not None:
        after = 0 if start is None else start - 1
        return after, lambda n, limit: store.read_stream(
            stream, after_version=n, limit=limit
        )
    if start is None:
        with store.engine.connect() as connection:
            row = connection.exec_driver_sql(query("stats")).one()
        after = -1 if category is not None else max(-1, row.numbered - 1 - limit)
    else:
        after = start - 1
    if category is not None:
        return after, lambda n, limit: store.read_category(
            category, after_seq=n, limit=limit
        )
    return after, lambda n, limit: store.read_all(after_seq=n, limit=limit)


@_command
def stats(store: EventStore, *, as_json: bool) -> None:
    """Show how much is stored and how far the sequencer and subscriptions are."""
    with store.engine.connect() as connection:
        row = connection.exec_driver_sql(query("stats")).one()._asdict()
        waiting = connection.exec_driver_sql(query("unnumbered")).one()
        categories = connection.exec_driver_sql(query("categories"), (10,)).all()
        subscriptions = connection.exec_driver_sql(query("subscriptions")).all()
    row |= {"unnumbered": waiting.events, "oldest_unnumbered_s": waiting.oldest_s}
    if as_json:
        row["categories"] = {c.category: c.events for c in categories}
        row["subscriptions"] = {s.name: s._asdict() for s in subscriptions}
        _print_json(row)
        return
    table = Table("figure", "value", box=None)
    for name, value in row.items():
        table.add_row(name.replace("_", " "), str(value))
    for category in categories:
        table.add_row(Text(f"category {category.category}"), str(category.events))
    for subscription in subscriptions:
        text = f"at {subscription.last_seq}, {subscription.behind} behind"
        table.add_row(Text(f"subscription {subscription.name}"), text)
    Console().print(table)


@click.option("--stream", help="Only this stream.")
@_command
def verify(store: EventStore, *, stream: str | None, as_json: bool) -> None:
    """Recompute every hash; exit 0 sound, 1 tampered, 2 cannot tell."""
    report = run_verify(store.engine, stream=stream)
    if stream is not None and not report.streams:
        message = f"there is no stream {stream!r} to verify"
        raise EventStoreError(message)
    if as_json:
        _print_json(
            {
                "sound": report.sound,
                "events": report.events,
                "streams": report.streams,
                "unnumbered": report.unnumbered,
                "failures": [
                    {
                        "stream": failure.stream,
                        "version": failure.version,
                        "reason": failure.reason.name,
                        "message": str(failure),
                    }
                    for failure in report.failures
                ],
            }
        )
    else:
        for failure in report.failures:
            Console().print(Text(str(failure), style="red"), soft_wrap=True)
        verdict = "sound" if report.sound else "TAMPERED"
        Console().print(
            f"{report.events} events in {report.streams} streams: {verdict}"
        )
    if not report.sound:
        sys.exit(FOUND)


@_command
def doctor(store: EventStore, *, as_json: bool) -> None:
    """Report missing triggers, grants and roles; exit 1 if there are any."""
    findings = doctor_module.diagnose(store.engine)
    wrong = [finding for finding in findings if not finding.ok]
    if as_json:
        _print_json(
            [
                {"subject": f.subject, "ok": f.ok, "problem": f.problem, "fix": f.fix}
                for f in findings
            ]
        )
    else:
        for finding in wrong:
            line = Text(f"{finding.subject} {finding.problem}", style="red")
            Console().print(
                line.append(f"\n    {finding.fix}", "default"), soft_wrap=True
            )
        Console().print(f"{len(findings)} checks, {len(wrong)} problems")
    if wrong:
        sys.exit(FOUND)


def _tail_saga(store: EventStore, saga: str, *, as_json: bool) -> None:
    events = store.read_stream(f"saga-{saga}")
    if not events:
        message = f"there is no saga {saga!r}: stream 'saga-{saga}' has no events"
        raise EventStoreError(message)
    roots = task_tree(events)
    if as_json:
        _print_json({"saga": saga, "tasks": [_node_json(node) for node in roots]})
        return
    tree = Tree(Text(f"saga {saga}", style="bold"))
    for node in roots:
        _grow(tree, node)
    Console().print(tree)


def _grow(tree: Tree, node: TaskNode) -> None:
    """Draw a task, its events, and below it the tasks that it sent."""
    name = "(no task)" if node.task is None else f"task {node.task}"
    branch = tree.add(Text(name, style="cyan"))
    for event in node.events:
        branch.add(Text(_line(event)))
    for child in node.children:
        _grow(branch, child)


def _node_json(node: TaskNode) -> dict[str, Any]:
    return {
        "task": node.task,
        "events": [_event_json(event) for event in node.events],
        "children": [_node_json(child) for child in node.children],
    }


def _print_events(events: Iterable[RecordedEvent], *, as_json: bool) -> None:
    """One line per event, also in JSON: so that --follow can be piped."""
    for event in events:
        if as_json:
            _print_json(_event_json(event))
        else:
            number = "" if event.seq is None else f"{event.seq:>8}  "
            text = f"{number}{event.stream}  {_line(event)}"
            Console().print(Text(text), soft_wrap=True)


def _line(event: RecordedEvent) -> str:
    data = json.dumps(event.data, ensure_ascii=False)
    return f"{event.version} {event.recorded_at:%Y-%m-%d %H:%M:%S} {event.type} {data}"


def _event_json(event: RecordedEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "stream": event.stream,
        "version": event.version,
        "event_id": event.event_id,
        "type": event.type,
        "schema_version": event.schema_version,
        "recorded_at": event.recorded_at.isoformat(),
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "actor": event.actor,
        "metadata": event.metadata,
        "data": event.data,
        "hash": event.hash.hex(),
    }


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, default=str))
