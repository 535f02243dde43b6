"""What commands read of the registry: one replica, the agents in it that are wanted."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import candidates, refuse_faults
from orchestration.core.registry.model import AgentStatus, RegisteredAgent
from orchestration.core.registry.query import Query
from orchestration.core.registry.watch import Change, changes, seen_of
from orchestration.errors import AgentNotFound, TransportError

if TYPE_CHECKING:
    from orchestration.engine.registry_client import RegistryClient

__all__ = [
    "Seen",
    "Wanted",
    "columns_of",
    "counted",
    "follow",
    "meant",
    "registry",
]

_MIN_PREFIX: Final = 3
_PREFIX: Final = "agent-"
_GATHER_S: Final = 0.25
"""How long changes are gathered, so that heartbeats by the thousand cost little."""
_LOOK_S: Final = 5.0
"""After which time it is looked whether the feed is still heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which agents are to be seen; unlike ``discover``, in whichever status.

    Attributes:
        query: What they say of themselves, and their least health.
        statuses: Any of these; empty: any at all.
        location: Where they run; None: anywhere.
    """

    query: Query
    statuses: tuple[str, ...] = ()
    location: str | None = None

    def among(self, columns: Columns) -> tuple[RegisteredAgent, ...]:
        """Return those agents, by their ids.

        Raises:
            InvalidQuery: The query makes no sense; the error lists all faults.
        """
        refuse_faults(self.query)
        with columns.lock:
            rows = candidates(columns, self.query).tolist()
            found = [agent for agent in map(columns.agent, rows) if self._fits(agent)]
        return tuple(sorted(found, key=lambda agent: agent.agent_id))

    def _fits(self, agent: RegisteredAgent) -> bool:
        return (
            agent.health_score >= self.query.min_health_score
            and (not self.statuses or agent.status in self.statuses)
            and self.location in (None, agent.location)
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A change that was seen, and the agent as it was before; None: it was not."""

    change: Change
    before: RegisteredAgent | None


@contextlib.contextmanager
def registry(
    *, filled: bool = True, following: bool = False
) -> Iterator[RegistryClient]:
    """Open the registry that the environment names.

    Args:
        filled: Whether all agents are to be read.
        following: Whether they are to be kept up to date from then on.

    Raises:
        ConfigurationError: DATABASE_URL or REDIS_URL is missing or wrong.
        TransportError: Postgres does not answer.
        SchemaOutdated: A migration is missing.
    """
    from orchestration.cli.session import expect_server
    from orchestration.message_bus import MessageBus
    from orchestration.settings import Settings

    settings = Settings.from_env()
    expect_server("DATABASE_URL", settings.database_url, 5432)
    # What the replica logs of a Redis that is away is told below, in one line.
    logging.getLogger("orchestration").addHandler(logging.NullHandler())
    if filled:
        _tell_if_away(settings.redis_url)
    bus = MessageBus(settings)
    bus.connect()
    try:
        client = bus.registry
        if following:
            client.start()
        elif filled:
            client.replica.fill()
        yield client
    finally:
        bus.disconnect()


def meant(wanted: str, client: RegistryClient) -> str:
    """Return the id that someone means: whole, or its beginning.

    ``agent-`` may be left out.

    Raises:
        AgentNotFound: None fits, or several do; the text says how to list them.
    """
    known = client.replica.columns.versions()
    for whole in (wanted, _PREFIX + wanted):
        if whole in known:
            return whole
    begins = wanted.removeprefix(_PREFIX)
    fits = [one for one in known if one.startswith(_PREFIX + begins)]
    if len(begins) >= _MIN_PREFIX and len(fits) == 1:
        return fits[0]
    many = f"{len(fits)} agents begin with"
    why = many if len(fits) > 1 else "no agent is registered as"
    raise AgentNotFound(
        f"{why} {wanted!r}: `orchestration registry list` shows ids", wanted
    )


def columns_of(agents: Iterable[RegisteredAgent]) -> Columns:
    """Return agents of the past as ``Wanted.among`` takes them."""
    columns = Columns()
    for agent in agents:
        columns.put(agent)
    return columns


def follow(client: RegistryClient, wanted: Wanted) -> Iterator[tuple[Seen, ...]]:
    """Yield what changes among the wanted agents, and at first all of them as joined.

    Nothing has changed if what is yielded is empty: time has gone by.
    """
    changed = threading.Event()
    forget = client.listen(changed.set)
    before: Mapping[str, RegisteredAgent] = {}
    try:
        while True:
            changed.clear()
            after = seen_of(wanted.among(client.replica.columns))
            yield tuple(
                Seen(change, before.get(change.agent.agent_id))
                for change in changes(before, after)
            )
            before = after
            if changed.wait(_LOOK_S):
                time.sleep(_GATHER_S)
    finally:
        forget()


def counted(agents: Iterable[RegisteredAgent]) -> dict[AgentStatus, int]:
    """Return how many agents stand how, those statuses that there are."""
    statuses = [agent.status for agent in agents]
    return {one: statuses.count(one) for one in AgentStatus if one in statuses}


def _tell_if_away(redis_url: str) -> None:
    from orchestration.cli.output import console
    from orchestration.cli.session import expect_server

    try:
        expect_server("REDIS_URL", redis_url, 6379)
    except TransportError:
        console(stderr=True).print(
            "! Redis does not answer: health and heartbeats are as last recorded",
            style="warn",
        )
