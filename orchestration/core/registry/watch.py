"""What has changed for somebody who watches a query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestration.core.registry.model import RegisteredAgent

__all__ = ["Change", "ChangeKind", "changes", "seen_of"]


class ChangeKind(StrEnum):
    """What became of an agent, for the one who watches."""

    JOINED = "JOINED"
    LEFT = "LEFT"
    CHANGED = "CHANGED"


@dataclass(frozen=True, slots=True)
class Change:
    """One agent that joined, left or changed.

    Attributes:
        kind: Which of these.
        agent: As it is now; of one that left: as it was last seen.
    """

    kind: ChangeKind
    agent: RegisteredAgent


def seen_of(agents: Iterable[RegisteredAgent]) -> dict[str, RegisteredAgent]:
    """Return the results of a query as ``changes`` compares them."""
    return {agent.agent_id: agent for agent in agents}


def changes(
    before: Mapping[str, RegisteredAgent], after: Mapping[str, RegisteredAgent]
) -> tuple[Change, ...]:
    """Return what differs between two results of one query, in the order of the ids.

    An agent has changed if what it says of itself, its status or its location has.
    Heartbeats alone change nobody, and neither does a change to what was there
    already: nobody is woken for them. One whose health falls below what the query
    asks for has left.
    """
    found = []
    for agent_id in sorted(before.keys() | after.keys()):
        was, now = before.get(agent_id), after.get(agent_id)
        if was is None and now is not None:
            found.append(Change(ChangeKind.JOINED, now))
        elif was is not None and now is None:
            found.append(Change(ChangeKind.LEFT, was))
        elif was is not None and now is not None and _differ(was, now):
            found.append(Change(ChangeKind.CHANGED, now))
    return tuple(found)


def _differ(was: RegisteredAgent, now: RegisteredAgent) -> bool:
    if was is now:
        return False
    return (was.status, was.location) != (now.status, now.location) or (
        was.descriptor is not now.descriptor and was.descriptor != now.descriptor
    )
