"""Who hosts what: each worker says so in Postgres, and producers look it up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.agents import Agent, pool_hash
from orchestration.core.messaging.listening import event_pattern
from orchestration.core.swarm.providers import Provider

__all__ = ["Announced", "Announcements", "PoolMismatch", "Subscription"]

# A worker not heard of for three rounds is taken to be gone.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class PoolMismatch:
    """A live worker of the same pool hosts other agents."""

    pool: str
    worker: str
    missing_here: tuple[str, ...]
    missing_there: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One thing that a worker said of itself.

    Attributes:
        kind: ``agent``, ``action`` (``name`` is ``agent/action``), ``listener``
            (``agent/@message``, ``agent/@event:orders.*``), ``handler``, ``source``
            and ``fitness`` of swarms (``@handler/name``), ``pool``, ``queue`` that it
            consumes, ``router``, or ``beat``.
        is_live: Whether the worker is up and was heard of lately.
    """

    worker: str
    kind: str
    name: str
    pool: str
    is_live: bool
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """An agent that listens to topics.

    Attributes:
        pattern: To which ones.
    """

    agent_id: str
    pattern: str


@dataclass(slots=True)
class Announcements:
    """The announcements of one database.

    Args:
        db: Where they are.
        interval_s: How often workers repeat themselves, seconds.
        cache_s: How long a process goes by what it has read, seconds.
    """

    db: Database
    interval_s: float = 10.0
    cache_s: float = 2.0
    _sql: Mapping[str, str] = field(
        default_factory=lambda: load_queries("announcements.sql")
    )
    _actions: dict[str, str] = field(default_factory=dict)
    _subscriptions: tuple[Subscription, ...] = ()
    _read_at: float = float("-inf")

    def announce(
        self,
        worker: str,
        agents: Sequence[Agent] = (),
        provided: Sequence[Provider] = (),
        *,
        also: Iterable[tuple[str, str]] = (),
    ) -> int:
        """Say what a process does; what it no longer does is struck out.

        Args:
            worker: Its name, ``name@host``.
            agents: What it hosts.
            provided: What it hosts for swarms.
            also: Kinds and names of what else it is there for.

        Returns:
            How many things that is.
        """
        rows = [
            *_pool_rows(agents, provided),
            *((kind, name, "", "") for kind, name in also),
            *(("agent", agent.agent_id, agent.pool, "") for agent in agents),
            *(
                ("action", f"{agent.agent_id}/{action}", agent.pool, "")
                for agent in agents
                for action in agent.actions
            ),
            *(
                ("listener", f"{agent.agent_id}/{listener}", agent.pool, "")
                for agent in agents
                for listener in agent.listeners
            ),
            *((str(one.kind), one.announced_as, one.pool, "") for one in provided),
        ]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 4
        self.db.rows(self._sql["announce"], (*columns, worker, worker, worker))
        return len(rows)

    def still_up(self, worker: str) -> int:
        """Say that a worker is alive; return how much is known of it."""
        return int(self.db.rows(self._sql["still_up"], (worker,))[0][0])

    def gone(self, worker: str) -> None:
        """Say that a worker has stopped; what it hosted stays known."""
        self.db.rows(self._sql["gone"], (worker,))

    def mismatches(
        self, worker: str, agents: Iterable[Agent], provided: Iterable[Provider] = ()
    ) -> tuple[PoolMismatch, ...]:
        """Return live workers that serve a pool of these agents with others."""
        mine: dict[str, set[str]] = {}
        for agent in agents:
            own = (*agent.actions, *agent.listeners)
            names = {f"{agent.agent_id}/{name}" for name in own}
            mine.setdefault(agent.pool, set()).update({agent.agent_id}, names)
        for one in provided:
            mine.setdefault(one.pool, set()).add(one.announced_as)
        rows = self.db.rows(
            self._sql["live"], (worker, list(mine), self.interval_s * _ROUNDS)
        )
        theirs: dict[tuple[str, str], set[str]] = {}
        for pool, other, name in rows:
            theirs.setdefault((pool, other), set()).add(name)
        return tuple(
            PoolMismatch(
                pool,
                other,
                tuple(sorted(names - mine[pool])),
                tuple(sorted(mine[pool] - names)),
            )
            for (pool, other), names in theirs.items()
            if names != mine[pool]
        )

    def pool_of(self, agent_id: str) -> str:
        """Return the pool an agent is served from; ``default`` if nobody said."""
        return self._known().get(agent_id, "default")

    def unknown(self, wanted: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Return which (agent, action) no worker has ever announced.

        An agent ``*`` stands for any.
        """
        pairs = list(dict.fromkeys(wanted))
        known = self._known()
        missing = [pair for pair in pairs if not _is_known(pair, known)]
        if missing:  # perhaps announced since
            known = self._known(fresh=True)
        return tuple(pair for pair in missing if not _is_known(pair, known))

    def hosting(self, action: str) -> frozenset[str]:
        """Return the agents that have an action, as any worker ever said."""
        pairs = (name.partition("/") for name in self._known())
        return frozenset(agent for agent, _, own in pairs if own == action)

    def knows(self, agent_id: str) -> bool:
        """Return whether any worker has ever announced the agent."""
        return agent_id in self._known() or agent_id in self._known(fresh=True)

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return which agents listen to topics, as workers said in the last day."""
        self._known()
        return self._subscriptions

    def offline(self, agent_ids: Iterable[str]) -> tuple[str, ...]:
        """Return which of these agents no live worker hosts."""
        wanted = sorted(set(agent_ids))
        rows = self.db.rows(self._sql["offline"], (wanted, self.interval_s * _ROUNDS))
        return tuple(row[0] for row in rows)

    def listed(self) -> tuple[Announced, ...]:
        """Return everything that workers have said, those long gone included."""
        rows = self.db.rows(self._sql["listed"], (self.interval_s * _ROUNDS,))
        return tuple(
            Announced(
                worker=row[0],
                kind=row[1],
                name=row[2],
                pool=row[3],
                is_live=row[4],
                last_seen=row[5],
            )
            for row in rows
        )

    def _known(self, *, fresh: bool = False) -> Mapping[str, str]:
        """Return the pool of every known agent, action and listener."""
        if fresh or time.monotonic() > self._read_at + self.cache_s:
            rows = self.db.rows(self._sql["known"])
            self._actions = {name: pool for name, pool, _, _ in rows}
            found = ((name.partition("/"), lately) for name, _, lately, _ in rows)
            self._subscriptions = tuple(
                Subscription(agent, pattern)
                for (agent, _, own), lately in found
                if lately and (pattern := event_pattern(own)) is not None
            )
            if rows:
                self.db.clock.heard(rows[0][3])
            self._read_at = time.monotonic()
        return self._actions


def _is_known(pair: tuple[str, str], known: Mapping[str, str]) -> bool:
    agent, action = pair
    if agent != "*":
        return f"{agent}/{action}" in known
    return any(name.partition("/")[2] == action for name in known)


def _pool_rows(
    agents: Sequence[Agent], provided: Sequence[Provider]
) -> Iterator[tuple[str, str, str, str]]:
    for pool in dict.fromkeys((*(a.pool for a in agents), *(p.pool for p in provided))):
        mine = [agent for agent in agents if agent.pool == pool]
        also = [one for one in provided if one.pool == pool]
        yield "pool", pool, pool, pool_hash(mine, also)
