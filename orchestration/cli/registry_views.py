"""What people see of registered agents. Pure: values in, rows out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from orchestration.cli.output import age, span_text
from orchestration.core.registry.events import EventType, RegistryEvent
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.model import AgentStatus, RegisteredAgent

__all__ = [
    "AgentRow",
    "agent_json",
    "agent_view",
    "agents_table",
    "event_words",
    "events_table",
    "health_text",
    "status_text",
    "statuses_text",
]

_STATUSES: Final[Mapping[AgentStatus, tuple[str, str]]] = {
    AgentStatus.ACTIVE: ("✓", "ok"),
    AgentStatus.DEGRADED: ("!", "warn"),
    AgentStatus.INACTIVE: ("✗", "bad"),
    AgentStatus.DECOMMISSIONED: ("−", "faint"),  # noqa: RUF001
}
_WORDS: Final[Mapping[EventType, tuple[str, str]]] = {
    EventType.AGENT_REGISTERED: ("registered", "live"),
    EventType.AGENT_UPDATED: ("updated", "live"),
    EventType.AGENT_STATUS_CHANGED: ("status", "head"),
    EventType.AGENT_DEREGISTERED: ("left", "undo"),
    EventType.SLA_VIOLATED: ("promise broken", "bad"),
    EventType.SLA_RESTORED: ("promise kept", "ok"),
}
_RECENT: Final = 8
_TINY: Final = 1e-6  # 0.29 * 100 is less than 29


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One event of an agent with what only the store knows of it.

    Attributes:
        actor: Who recorded it.
        digest: The event's hash in the chain, in hexadecimal.
    """

    event: RegistryEvent
    actor: str = ""
    digest: str = ""


def status_text(status: AgentStatus) -> Text:
    """Return a status with its sign, in its colour."""
    sign, style = _STATUSES[status]
    return Text(f"{sign} {status}", style=style)


def statuses_text(counts: Mapping[AgentStatus, int]) -> Text:
    """Return how many agents there are, and how many stand how."""
    total = sum(counts.values())
    if not total:
        return Text("no agents")
    text = Text(f"{total} agent" + ("" if total == 1 else "s"))
    for at, (status, count) in enumerate(counts.items()):
        text.append(": " if at == 0 else ", ")
        text.append(f"{count} {status}", _STATUSES[status][1])
    return text


def health_text(health: float) -> str:
    """Return a health in hundredths, never rounded up over the line of a status."""
    return f"{math.floor(health * 100 + _TINY) / 100:.2f}"


def agents_table(agents: Sequence[RegisteredAgent], now: datetime) -> Table:
    """Return agents as rows, one line each; no id is ever cut."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="faint")
    table.add_column("status", no_wrap=True, min_width=10)
    longest = max((len(agent.agent_id) for agent in agents), default=0)
    table.add_column("agent", no_wrap=True, min_width=longest)
    table.add_column("version", no_wrap=True)
    table.add_column("location", no_wrap=True)
    table.add_column("health", justify="right", no_wrap=True)
    table.add_column("load", justify="right", no_wrap=True)
    table.add_column("heard", no_wrap=True, min_width=6)
    table.add_column("can do")  # the one column that gives way
    for agent in agents:
        said = agent.descriptor
        table.add_row(
            status_text(agent.status),
            Text(agent.agent_id, style="head"),
            escape(said.version),
            escape(agent.location or "-"),
            _health_text(agent),
            f"{agent.load:.2f}",
            _heard(agent, now),
            _one_line(", ".join(said.capabilities)),
        )
    return table


def agent_view(
    agent: RegisteredAgent,
    state: AgentState,
    metrics: Mapping[str, float],
    events: Sequence[RegistryEvent],
    now: datetime,
) -> RenderableType:
    """Return one agent whole: how it stands, what it says, what became of it lately.

    Args:
        agent: As the replica has it.
        state: As Postgres has it.
        metrics: What its last heartbeat told.
        events: All of its own.
        now: When it is looked at.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="key", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _standing(agent, state, metrics, now):
        grid.add_row(name, value)
    for name, value in _said(agent):
        grid.add_row(name, escape(value))
    panel = Panel(
        grid,
        title=f"[head]{escape(agent.agent_id)}[/]",
        title_align="left",
        border_style=_STATUSES[agent.status][1],
        expand=False,
        padding=(0, 2),
    )
    words = list(_lately(events, now))
    return Group(panel, Padding(Group(*words), (1, 1, 0, 1), expand=False))


def events_table(rows: Sequence[AgentRow]) -> Table:
    """Return every event of an agent with the moment of its recording."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("#", justify="right", style="faint")
    table.add_column("at", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("what", ratio=1)
    table.add_column("by", style="faint", no_wrap=True)
    table.add_column("hash", style="faint", no_wrap=True)
    before: Mapping[str, Any] = {}
    for row in rows:
        event = row.event
        word, style = _WORDS[event.type]
        table.add_row(
            str(event.version),
            f"{event.recorded_at.astimezone():%Y-%m-%d %H:%M:%S}",
            Text(word, style=style),
            escape(event_words(event, before)),
            escape(row.actor),
            row.digest[:8],
        )
        before = event.data if "descriptor" in event.data else before
    return table


def event_words(event: RegistryEvent, before: Mapping[str, Any]) -> str:
    """Return what an event tells.

    Args:
        event: The event.
        before: The payload of the last event that described the agent; empty: none.
    """
    data = event.data
    match event.type:
        case EventType.AGENT_REGISTERED:
            said = data["descriptor"]
            told = [said["agent_type"], said["version"], data["location"]]
            owner = f"owner {data['owner']}" if data["owner"] else ""
            return ", ".join(filter(None, [*told, owner]))
        case EventType.AGENT_UPDATED:
            return ", ".join(_differences(before, data)) or "nothing that shows"
        case EventType.AGENT_STATUS_CHANGED:
            why = str(data["reason"]).lower()
            health = health_text(data["health_score"])
            return f"{data['from']} → {data['to']}, {why}, health {health}"
        case EventType.AGENT_DEREGISTERED:
            return f"was {data['from']}, {str(data['reason']).lower()}"
        case _:
            return f"{data['term']}: promised {data['limit']}, was {data['observed']}"


def agent_json(agent: RegisteredAgent) -> dict[str, Any]:
    """Return an agent as JSON of one level, what it says of itself first."""
    return {
        **agent.descriptor.to_json(),
        "status": agent.status,
        "health_score": agent.health_score,
        "load": agent.load,
        "location": agent.location,
        "registered_at": agent.registered_at,
        "last_heartbeat": agent.last_heartbeat,
        "revision": agent.version,
    }


def _health_text(agent: RegisteredAgent) -> Text:
    shown = health_text(agent.health_score)
    return Text(shown, style=_STATUSES[agent.status][1])


def _heard(agent: RegisteredAgent, now: datetime) -> str:
    if agent.last_heartbeat is None:
        return "never"
    return age(agent.last_heartbeat, now)


def _one_line(text: str) -> Text:
    return Text(text, style="faint", no_wrap=True, overflow="ellipsis")


def _standing(
    agent: RegisteredAgent,
    state: AgentState,
    metrics: Mapping[str, float],
    now: datetime,
) -> Iterator[tuple[str, str | Text]]:
    """Yield how an agent stands."""
    health = f"  health {health_text(agent.health_score)}, load {agent.load:.2f}"
    yield "status", Text.assemble(status_text(agent.status), health)
    every = span_text(agent.descriptor.heartbeat_interval_s)
    yield "heard", f"{_heard(agent, now)}, every {every} expected"
    if metrics:
        told = (f"{name} {round(value, 3):g}" for name, value in metrics.items())
        yield "told", ", ".join(told)
    joined = f"{agent.registered_at.astimezone():%Y-%m-%d %H:%M:%S}"
    yield "registered", f"{joined}, {age(agent.registered_at, now)}"
    yield "location", escape(agent.location or "-")
    yield "owner", escape(state.owner or "anybody")


def _said(agent: RegisteredAgent) -> Iterator[tuple[str, str]]:
    """Yield what an agent says of itself, what it left out left out."""
    said = agent.descriptor
    sla = ", ".join(f"{name} {value:g}" for name, value in said.sla.items())
    told = {
        "type": said.agent_type,
        "version": said.version,
        "can do": ", ".join(said.capabilities),
        "services": ", ".join(said.service_types),
        "tags": ", ".join(said.tags),
        "endpoint": said.endpoint,
        "promises": sla,
        "cost": f"{said.cost_per_request:g}" if said.cost_per_request else "",
        "metadata": json.dumps(dict(said.metadata), ensure_ascii=False)
        if said.metadata
        else "",
    }
    yield from ((name, value) for name, value in told.items() if value)


def _lately(events: Sequence[RegistryEvent], now: datetime) -> Iterator[Text]:
    """Say of the last events when, and what."""
    before: Mapping[str, Any] = {}
    lines = []
    for event in events:
        word, style = _WORDS[event.type]
        lines.append(
            Text.assemble(
                (f"{age(event.recorded_at, now):>12}  ", "faint"),
                (f"{word:<10}  ", style),
                event_words(event, before),
            )
        )
        before = event.data if "descriptor" in event.data else before
    if len(lines) > _RECENT:
        more = len(lines) - _RECENT
        yield Text(f"… {more} before: `orchestration registry history`", "faint")
    yield from lines[-_RECENT:]


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    """Yield what an agent says otherwise than before; of what is long, its name."""
    pairs = [("location", before.get("location"), after["location"])]
    pairs += [("owner", before.get("owner"), after["owner"])]
    was = before.get("descriptor", {})
    pairs += [(name, was.get(name), now) for name, now in after["descriptor"].items()]
    for name, old, new in pairs:
        if old == new:
            continue
        is_short = isinstance(new, str | int | float)
        yield f"{name} {old or '-'} → {new or '-'}" if is_short else name
