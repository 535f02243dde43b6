"""The questions to a registry: who is there, who was, and what changes about it.

``AgentRegistry`` has all of them. Questions are answered in this process, from a
replica that follows a feed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from orchestration.core.registry.model import RegisteredAgent, ServiceType
from orchestration.core.registry.query import Query
from orchestration.core.registry.watch import Change, changes, seen_of
from orchestration.engine.registry_client import RegistryClient
from orchestration.errors import ConfigurationError, InvalidQuery
from orchestration.message_bus import MessageBus

__all__ = ["AgentPage", "Discovery"]

_ALL: Final = 1_000_000
_TIMEOUT_MS: Final = 1_000.0


@dataclass(frozen=True, slots=True)
class AgentPage:
    """Some agents by their ids.

    Attributes:
        agents: At most as many as were asked for.
        after: What the next page is asked for with; None: this is the last.
    """

    agents: tuple[RegisteredAgent, ...]
    after: str | None


class Discovery:
    """Finds agents.

    Args:
        message_bus: Whose connections it uses.
    """

    def __init__(self, message_bus: MessageBus) -> None:
        self._bus = message_bus

    @property
    def feed_age_s(self) -> float:
        """How old what is known here may be, seconds; it grows while Redis is away."""
        return self._client.replica.feed_age_s

    @property
    def _client(self) -> RegistryClient:
        client = self._bus.registry
        if not client.is_started:
            raise ConfigurationError(
                "the registry is not read yet: `await registry.initialize()` first"
            )
        return client

    async def discover(
        self,
        capabilities: Sequence[str] = (),
        service_types: Sequence[ServiceType | str] = (),
        tags: Sequence[str] = (),
        version_constraint: str | None = None,
        location_preference: str | None = None,
        min_health_score: float = 0.0,
        max_results: int = 10,
        timeout_ms: float = _TIMEOUT_MS,
        **more: Any,  # noqa: ANN401  the query's own
    ) -> list[RegisteredAgent]:
        """Return agents that can do what is asked, the best first.

        Args:
            capabilities: All of these; ``name@>=1.2`` asks for a version of one.
            service_types: Any of these.
            tags: All of these.
            version_constraint: Of the agent's code, such as ``>=2.1`` or ``^1.4``.
            location_preference: Agents there come first; it leaves nobody out.
            min_health_score: From 0.0 to 1.0.
            max_results: How many at most.
            timeout_ms: How long it may take, milliseconds.
            more: Further fields of ``Query``: ``statuses``, ``max_cost``,
                ``max_latency_ms``, ``min_availability``, ``order``, ``after``.

        Raises:
            InvalidQuery: The error lists all that is wrong.
            DiscoveryTimeout: It took longer than it may.
        """
        query = Query(
            capabilities=capabilities,
            service_types=service_types,
            tags=tags,
            version_constraint=version_constraint,
            location_preference=location_preference,
            min_health_score=min_health_score,
            max_results=max_results,
            **more,
        )
        if not timeout_ms >= 0:
            raise InvalidQuery([f"timeout_ms is {timeout_ms}: give it 0 or more"])
        client, timeout_s = self._client, timeout_ms / 1_000
        lock = client.replica.columns.lock
        if lock.acquire(blocking=False):  # the usual case: it takes microseconds
            try:
                return list(client.discover(query, timeout_s=timeout_s))
            finally:
                lock.release()
        return list(
            await asyncio.to_thread(client.discover, query, timeout_s=timeout_s)
        )

    async def get(self, agent_id: str) -> RegisteredAgent:
        """Return an agent in whichever status.

        Raises:
            AgentNotFound: No agent of that id is registered.
        """
        known = self._client.replica.columns.get(agent_id)
        if known is None:
            known = await asyncio.to_thread(self._client.get, agent_id)
        return known

    async def list(self, *, after: str | None = None, limit: int = 100) -> AgentPage:
        """Return agents in whichever status by their ids, a page at a time.

        Args:
            after: The last page's ``after``; None: from the first.
            limit: How many at most, at least 1; with fewer it raises InvalidQuery.
        """
        if limit < 1:
            raise InvalidQuery([f"limit is {limit}: give it at least 1"])
        found = await asyncio.to_thread(self._client.listed, after or "", limit + 1)
        page = found[:limit]
        return AgentPage(page, page[-1].agent_id if len(found) > limit else None)

    async def watch(self, query: Query | None = None) -> AsyncIterator[Change]:
        """Yield who answers a query, and from then on what changes about that.

        First those that there are come as ``JOINED``. Heartbeats alone are no change.
        It ends with the message bus.

        Args:
            query: Who is watched; ``max_results`` does not count. None: everybody.

        Raises:
            InvalidQuery: The error lists all that is wrong.
        """
        client, asked = self._client, replace(query or Query(), max_results=_ALL)
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(changed.set)

        before: dict[str, RegisteredAgent] = {}
        forget, seen = client.listen(tell), -1
        try:
            while not client.is_closed:
                changed.clear()
                if seen != (seen := client.news_of(asked)):
                    after = seen_of(await asyncio.to_thread(client.discover, asked))
                    for change in changes(before, after):
                        yield change
                    before = after
                await changed.wait()
        finally:
            forget()

    async def get_metrics(self) -> dict[str, Any]:
        """Return figures over all agents.

        ``total_agents``, ``average_health_score`` (0.0 without agents),
        ``unique_capabilities``, ``by_status``, ``cache_hit_rate``, ``feed_age_s``,
        and ``regions``: what is known of each other one, by name.

        Raises:
            TransportError: There are other regions, and Postgres does not answer.
        """
        found, hit_rate = self._client.tally()
        return {
            "total_agents": found.total_agents,
            "average_health_score": found.average_health_score,
            "unique_capabilities": found.unique_capabilities,
            "by_status": {str(one): count for one, count in found.by_status.items()},
            "cache_hit_rate": hit_rate,
            "feed_age_s": self.feed_age_s,
            "regions": await asyncio.to_thread(self._client.regions),
        }

    async def as_of(self, at: datetime) -> tuple[RegisteredAgent, ...]:
        """Return who was registered at a moment, by id, from the events.

        Args:
            at: With a time zone.
        """
        return await asyncio.to_thread(self._client.as_of, at)
