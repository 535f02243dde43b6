"""``orchestration health``: is this host's process of that kind alive?"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestration.adapters.announcements import Announced

__all__ = ["health"]

_KINDS = ("worker", "chores", "heartbeats", "beat")
_UNHEALTHY = 1


@click.command()
@click.argument("kind", type=click.Choice(_KINDS))
@click.option(
    "--host", help="Whose processes.  [default: this host]", default=socket.gethostname
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def health(*, kind: str, host: str, as_json: bool) -> None:
    """Exit 0 if a process of that kind on this host was heard of lately, else 1.

    For health checks of containers: one query, no message is sent. A worker for chores
    takes heartbeats as well; `heartbeats` asks for one that does.
    """
    from orchestration.cli.output import console, emit_json, fail
    from orchestration.cli.session import session

    with session() as opened:
        found = alive(opened.announcements.listed(), kind, host)
    if as_json:
        emit_json({"kind": kind, "host": host, "healthy": bool(found), "by": found})
    elif found:
        console().print(f"[ok]✓[/] {kind} on {host}: {', '.join(found)}")
    else:
        fail(f"no {kind} on {host} was heard of lately: see its log")
    if not found:
        raise click.exceptions.Exit(_UNHEALTHY)


def alive(rows: tuple[Announced, ...], kind: str, host: str) -> tuple[str, ...]:
    """Return the nodes of a kind on a host that were heard of lately."""
    nodes = {
        row.worker
        for row in rows
        if row.is_live and row.worker.endswith(f"@{host}") and _is(row, kind)
    }
    return tuple(sorted(nodes))


def _is(row: Announced, kind: str) -> bool:
    match kind:
        case "chores" | "heartbeats":
            return (row.kind, row.name) == ("queue", kind)
        case "beat":
            return row.kind == "beat"
        case _:
            not_agents = ("chores", "heartbeats")
            return row.kind == "agent" or (
                row.kind == "queue" and row.name not in not_agents
            )
