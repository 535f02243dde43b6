"""Who hosts what, made of what workers announce. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from orchestration.adapters.announcements import Announced

__all__ = ["HostedAgent", "agent_table", "hosted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedAgent:
    """An agent, and the workers that host it.

    Attributes:
        live: Workers that were heard of lately.
        silent: Workers that are gone, or have not been heard of.
    """

    agent_id: str
    pool: str
    actions: tuple[str, ...]
    live: tuple[str, ...]
    silent: tuple[str, ...]


def hosted(rows: Iterable[Announced]) -> tuple[HostedAgent, ...]:
    """Return every agent ever announced, by name."""
    known = list(rows)
    found = []
    for agent_id in sorted({row.name for row in known if row.kind == "agent"}):
        own = [row for row in known if row.kind == "agent" and row.name == agent_id]
        prefix = f"{agent_id}/"
        actions = {
            row.name.removeprefix(prefix)
            for row in known
            if row.kind == "action" and row.name.startswith(prefix)
        }
        live = {row.worker for row in own if row.is_live}
        newest = max(own, key=lambda row: row.last_seen)
        found.append(
            HostedAgent(
                agent_id=agent_id,
                pool=newest.pool,
                actions=tuple(sorted(actions)),
                live=tuple(sorted(live)),
                silent=tuple(sorted({row.worker for row in own} - live)),
            )
        )
    return tuple(found)


def agent_table(agents: Iterable[HostedAgent]) -> Table:
    """Return agents as rows."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("", "agent", "pool", "actions", "workers"):
        table.add_column(title, no_wrap=title in ("", "agent", "pool"))
    for agent in agents:
        sign = Text("✓", style="ok") if agent.live else Text("✗", style="bad")
        workers = Text(", ".join(agent.live))
        if not agent.live:
            workers = Text(f"none (was: {', '.join(agent.silent)})", style="bad")
        table.add_row(
            sign,
            escape(agent.agent_id),
            escape(agent.pool),
            Text(", ".join(agent.actions), style="faint"),
            workers,
        )
    return table
