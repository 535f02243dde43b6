"""``orchestration registry …``: which agents there are, and how well they are."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.options import moment
from orchestration.cli.registry_cards import CARDS

if TYPE_CHECKING:
    from orchestration.cli.registry_reading import Wanted

__all__ = ["registry"]

# Of AgentStatus, ServiceType and Order; spelled out, so that --help loads nothing.
_STATUSES = ("ACTIVE", "DEGRADED", "INACTIVE")
_SERVICES = (
    "COMPUTATION",
    "DATA",
    "VALIDATION",
    "REPORTING",
    "COORDINATION",
    "INTEGRATION",
    "STORAGE",
    "MONITORING",
)
_ORDERS = ("HEALTH", "COST", "AGENT_ID")

_ASKED = (
    "capabilities",
    "service_types",
    "tags",
    "version_constraint",
    "min_health_score",
)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_agent = click.argument("agent_id", metavar="AGENT")
_limit = click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=1)
)


class _Registry(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which they are needed."""
        del ctx
        return list(self.commands)


@click.group(cls=_Registry)
def registry() -> None:
    """See which agents there are, how they stand, and find some.

    Where an AGENT is asked for, the beginning of its id will do, and `agent-` may be
    left out.
    """


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what agents are to be like."""
    services = click.Choice(_SERVICES, case_sensitive=False)
    for option in (
        click.option(
            "--min-health",
            "min_health_score",
            default=0.0,
            type=click.FloatRange(0, 1),
            help="Only those of that health or more.",
        ),
        click.option(
            "--version",
            "version_constraint",
            metavar="CONSTRAINT",
            help="Only those whose version fits, as >=2.1 or ^1.4.",
        ),
        click.option("--tag", "tags", multiple=True, help="Only those with all these."),
        click.option(
            "--service-type",
            "service_types",
            metavar="TYPE",
            type=services,
            multiple=True,
            help="Only those that render any of these, as COMPUTATION.",
        ),
        click.option(
            "--capability",
            "-c",
            "capabilities",
            metavar="NAME[@CONSTRAINT]",
            multiple=True,
            help="Only those that can do all these.",
        ),
    ):
        command = option(command)
    return command


def _wanting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which agents are seen, as ``wanted``."""

    @functools.wraps(command)
    def with_wanted(
        *,
        statuses: tuple[str, ...],
        location: str | None,
        **given: Any,  # noqa: ANN401 - what click hands over
    ) -> None:
        from orchestration.cli.registry_reading import Wanted
        from orchestration.core.registry.query import Query

        query = Query(**{name: given.pop(name) for name in _ASKED})
        wanted = Wanted(query=query, statuses=statuses, location=location)
        command(wanted=wanted, **given)

    with_status = click.option(
        "--status",
        "statuses",
        type=click.Choice(_STATUSES, case_sensitive=False),
        multiple=True,
        help="Only those that stand so; may be given again.",
    )
    with_location = click.option("--location", help="Only those that run there.")
    return _asking(with_status(with_location(with_wanted)))


@registry.command("list")
@_wanting
@click.option(
    "--as-of",
    "at",
    metavar="TIME",
    callback=moment,
    help="As it was then: a time, or 15min, 2h, 3d ago.",
)
@click.option("--after", default="", metavar="ID", help="Only those behind it: a page.")
@_limit
@_json
def list_agents(
    *, wanted: Wanted, at: datetime | None, after: str, limit: int, as_json: bool
) -> None:
    """List agents in whichever status, by their ids."""
    from datetime import UTC

    from orchestration.cli.output import console, emit_json
    from orchestration.cli.registry_reading import columns_of, counted
    from orchestration.cli.registry_reading import registry as opened
    from orchestration.cli.registry_views import (
        agent_json,
        agents_table,
        statuses_text,
    )

    with opened(filled=at is None) as client:
        columns = client.replica.columns if at is None else columns_of(client.as_of(at))
        fitting = wanted.among(columns)
    rest = [agent for agent in fitting if agent.agent_id > after]
    page = rest[:limit]
    if as_json:
        emit_json([agent_json(agent) for agent in page])
        return
    out = console()
    if page:
        out.print(agents_table(page, at or datetime.now(UTC)))
        out.print()
    out.print(statuses_text(counted(fitting)))
    if at is not None:
        then = f"as of {at:%Y-%m-%d %H:%M:%S}: health and heartbeats as recorded"
        out.print(then, style="faint")
    if len(rest) > limit:
        more = f"more: the same with --after {page[-1].agent_id}"
        out.print(more, style="faint", markup=False, soft_wrap=True)


@registry.command()
@_agent
@_json
def show(*, agent_id: str, as_json: bool) -> None:
    """Show one agent: how it stands, what it says, what became of it lately."""
    from datetime import UTC

    from orchestration.cli.output import console, emit_json
    from orchestration.cli.registry_reading import meant
    from orchestration.cli.registry_reading import registry as opened
    from orchestration.cli.registry_views import agent_json, agent_view

    with opened() as client:
        wanted = meant(agent_id, client)
        state = client.state(wanted)
        agent, beat = client.get(wanted), client.replica.last_beat(wanted)
        events = client.desk.log.history(wanted)
    metrics = beat.metrics if beat else {}
    if as_json:
        emit_json({**agent_json(agent), "owner": state.owner, "metrics": metrics})
        return
    console().print(agent_view(agent, state, metrics, events, datetime.now(UTC)))


@registry.command(
    epilog="Example: orchestration registry discover -c carbon_calculation@>=1.2"
)
@_asking
@click.option(
    "--status",
    "statuses",
    type=click.Choice(_STATUSES[:2], case_sensitive=False),
    multiple=True,
    help="Only those that stand so.  [default: both]",
)
@click.option(
    "--prefer", "location_preference", metavar="LOCATION", help="There first."
)
@click.option("--max-cost", type=click.FloatRange(min=0), help="Of a request.")
@click.option(
    "--max-latency-ms", type=click.FloatRange(min=0), help="Promised, or less."
)
@click.option(
    "--min-availability", type=click.FloatRange(0, 1), help="Promised, or more."
)
@click.option(
    "--order",
    default="HEALTH",
    show_default=True,
    type=click.Choice(_ORDERS, case_sensitive=False),
    help="What comes first.",
)
@click.option("--after", metavar="CURSOR", help="The next page, as the last one says.")
@_limit
@_json
def discover(
    *,
    statuses: tuple[str, ...],
    limit: int,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - what click hands over
) -> None:
    """Find agents as apps do, the best first; exit 1 if there is none."""
    from datetime import UTC

    from orchestration.cli.output import console, emit_json
    from orchestration.cli.registry_reading import registry as opened
    from orchestration.cli.registry_views import agent_json, agents_table
    from orchestration.core.registry.query import Query, cursor_after

    served = statuses or _STATUSES[:2]
    query = Query(**given, statuses=served, max_results=limit + 1)
    with opened() as client:
        found = client.discover(query)
    page = found[:limit]
    following = cursor_after(query, page[-1]) if len(found) > limit else None
    out = console()
    if as_json:
        emit_json({"agents": [agent_json(one) for one in page], "after": following})
    elif page:
        out.print(agents_table(page, datetime.now(UTC)))
    else:
        out.print("no agent can do that now")
    if following and not as_json:
        more = f"more: the same with --after {following}"
        out.print(more, style="faint", markup=False, soft_wrap=True)
    if not page:
        raise click.exceptions.Exit(1)


@registry.command()
@_wanting
@_json
def watch(*, wanted: Wanted, as_json: bool) -> None:
    """Tell who joins and leaves, and who stands elsewhere, until Ctrl-C.

    With --json each change is one line, and at first all that there are join.
    """
    from orchestration.cli.registry_reading import follow
    from orchestration.cli.registry_reading import registry as opened
    from orchestration.cli.registry_watching import Teller

    with opened(following=True) as client:
        teller = Teller(as_json=as_json)
        for seen in follow(client, wanted):
            teller.tell(seen, client.replica.feed_age_s)
            sys.stdout.flush()


@registry.command()
@_agent
@_json
def history(*, agent_id: str, as_json: bool) -> None:
    """Show every recorded event of an agent, and its hash; AGENT is the whole id."""
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.registry_views import AgentRow, events_table
    from orchestration.cli.session import session
    from orchestration.core.registry.events import EventType, RegistryEvent, stream_of
    from orchestration.errors import AgentNotFound

    with session() as opened:
        names = (agent_id, f"agent-{agent_id}")
        streams = (opened.store.read_stream(stream_of(name)) for name in names)
        recorded = next(filter(None, streams), ())
    if not recorded:
        raise AgentNotFound(
            f"no agent was ever registered as {agent_id!r}: "
            "`orchestration registry list` shows ids",
            agent_id,
        )
    if as_json:
        emit_json(recorded)
        return
    rows = [
        AgentRow(
            RegistryEvent(e.version, EventType(e.type), e.data, e.recorded_at),
            e.actor,
            e.hash.hex(),
        )
        for e in recorded
    ]
    out = console()
    out.print(recorded[0].data["agent_id"], style="head", markup=False)
    out.print()
    out.print(events_table(rows))


for _command in CARDS:
    registry.add_command(_command)
