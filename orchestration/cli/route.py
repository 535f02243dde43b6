"""``orchestration route``: where messages would go, and where they went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.options import json_object, pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestration.core.messaging.model import Message
    from orchestration.core.routing.table import RouteTable

__all__ = ["route"]

_DIFFERS = 1
_TYPES = ("REQUEST", "COMMAND", "EVENT")
_PRIORITIES = ("CRITICAL", "HIGH", "NORMAL", "LOW")


@click.group()
def route() -> None:
    """Where messages would go, and where they went."""


@route.command()
@click.argument("recipient", required=False)
@click.option(
    "--message",
    "given",
    metavar="JSON",
    callback=json_object,
    help="The message, or @FILE; other options change it.",
)
@click.option(
    "--payload", metavar="JSON", callback=json_object, help="Its payload, or @FILE."
)
@click.option("--type", "message_type", type=click.Choice(_TYPES, case_sensitive=False))
@click.option("--priority", type=click.Choice(_PRIORITIES, case_sensitive=False))
@click.option("--sender", "sender_id", metavar="ID", help="Who sends it.")
@click.option(
    "--header",
    "headers",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="Such as location=eu; may be given again.",
)
@click.option(
    "--rules",
    metavar="FILE",
    help="TOML or JSON; unless given, what ORCHESTRATION_ROUTES_FILE names.",
)
@click.option(
    "--static",
    metavar="RECIPIENT=AGENT,…",
    multiple=True,
    callback=pairs,
    help="A static route beside the file's; may be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    *,
    given: dict[str, Any] | None,
    rules: str | None,
    static: Mapping[str, str],
    as_json: bool,
    **fields: Any,  # noqa: ANN401 - of the message
) -> None:
    """Tell where a message to RECIPIENT would go now, and why.

    Nothing is sent. What is left out as failing, and how loaded agents are, each
    process that routes knows for itself: the answer is that of a fresh one.
    """
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.routes_view import explained
    from orchestration.cli.session import session
    from orchestration.errors import RoutingError

    message = _message(given, fields)
    with session() as opened:
        table = _table(rules or opened.settings.routes_file, static)
        try:
            told = _told(opened, table, message)
        except RoutingError as exc:
            if as_json:
                emit_json({"error": type(exc).__name__, "reason": str(exc)})
                raise click.exceptions.Exit(_DIFFERS) from exc
            raise
    if as_json:
        emit_json(told)
    else:
        console().print(explained(told))


@route.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(*, as_json: bool) -> None:
    """Decide once more what is on record; exits 1 if anything comes out otherwise.

    Decisions are recorded as far as ORCHESTRATION_ROUTE_RECORD_RATE says.
    """
    from orchestration.adapters.route_log import RouteLog
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.routes_view import differing
    from orchestration.cli.session import session
    from orchestration.engine.replaying import replay_recorded

    with session() as opened:
        found = replay_recorded(RouteLog(opened.db).read())
    if as_json:
        emit_json(found)
    else:
        out = console()
        same = found.count - len(found.differences)
        out.print(f"{same} of {found.count} recorded decisions come out the same")
        if found.differences:
            out.print(differing(found.differences))
    if found.differences:
        raise click.exceptions.Exit(_DIFFERS)


def _message(given: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> Message:
    from orchestration.core.messaging.model import Message

    said = {
        "sender_id": "orchestration route explain",
        "message_type": "REQUEST",
        **(given or {}),
    }
    own = {"recipient_id": fields["recipient"], **fields}
    del own["recipient"]
    said |= {name: value for name, value in own.items() if value}
    if not said.get("recipient_id"):
        raise click.UsageError("name a RECIPIENT, or give a message that has one")
    try:
        return Message.from_json(said)
    except (TypeError, ValueError) as exc:
        raise click.UsageError(f"this is no message: {exc}") from exc


def _table(file: str, static: Mapping[str, str]) -> RouteTable:
    from orchestration.core.routing.table import RouteTable
    from orchestration.engine.routes import read_routes

    table = read_routes(file) if file else RouteTable()
    for recipient, agents in static.items():
        names: Sequence[str] = [one.strip() for one in agents.split(",")]
        table = table.with_static(recipient, names)
    return table


def _told(opened: Any, table: RouteTable, message: Message) -> dict[str, Any]:  # noqa: ANN401 - a session
    from prometheus_client import CollectorRegistry

    from orchestration.engine.registry_client import RegistryClient
    from orchestration.engine.routes import router_settings
    from orchestration.engine.routing import RouteDesk
    from orchestration.engine.surroundings import Surroundings
    from orchestration.metrics import RegistryMetrics, RoutingMetrics

    own = CollectorRegistry()
    registry = RegistryClient(opened.db, opened.settings, RegistryMetrics(own))
    try:
        around = Surroundings(opened.announcements, registry, is_router=False)
        view = around.agents
        settings = router_settings(opened.settings)
        desk = RouteDesk(settings, metrics=RoutingMetrics(own), view=view)
        desk.table, desk.reports = table, view
        return desk.told(desk.look(message))
    finally:
        registry.close()
