"""Which agents there are, what they can do, and how well they are.

    registry = AgentRegistry(message_bus)
    await registry.initialize()
    await registry.register(descriptor, location="us-east-1")
    agents = await registry.discover(capabilities=["carbon_calculation"])

Questions are answered in this process, from a replica that follows a feed. docs/
registry.md tells the whole story.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from orchestration.core.registry.card import from_card, to_card
from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
    ServiceType,
)
from orchestration.core.registry.query import Order, Query
from orchestration.core.registry.watch import Change, ChangeKind
from orchestration.discovery import AgentPage, Discovery
from orchestration.message_bus import MessageBus
from orchestration.opening import Opened

__all__ = [
    "AgentDescriptor",
    "AgentPage",
    "AgentRegistry",
    "AgentStatus",
    "Change",
    "ChangeKind",
    "Order",
    "Query",
    "RegisteredAgent",
    "ServiceDiscovery",
    "ServiceType",
]

_Awaited = tuple[Future[None] | None, asyncio.Future[None] | None]


class AgentRegistry(Discovery, Opened):
    """Registers agents, hears of them, and finds them.

    Args:
        message_bus: Whose connections it uses; None: one of its own.
    """

    def __init__(self, message_bus: MessageBus | None = None) -> None:
        super().__init__(message_bus or MessageBus())
        self._is_own = message_bus is None
        self._awaited: _Awaited = (None, None)

    async def initialize(self) -> None:
        """Connect and read all agents; a second call does nothing.

        Raises:
            SchemaOutdated: ``orchestration migrate`` has to be run first.
            TransportError: The database does not answer.
        """
        await self._bus.initialize()
        await asyncio.to_thread(self._bus.registry.start)

    async def close(self) -> None:
        """Let go of what this object opened; a shared bus stays open."""
        if self._is_own:
            await self._bus.close()

    async def register(
        self,
        descriptor: AgentDescriptor,
        location: str | None = None,
        token: str | None = None,
    ) -> bool:
        """Register an agent, or say that it is something else now; return True.

        What is registered already, word for word, stays as it is and leaves no event.

        Args:
            descriptor: What it says of itself.
            location: Region or cluster that it runs in; None: as it was.
            token: Whose agent it is; needed where the registry has secrets.

        Raises:
            InvalidDescriptor: The error lists all that is wrong.
            DuplicateAgent: An agent of that id is alive, and somebody else's.
            TokenRefused: The token does not allow it, or there is none.
            TooManyAgents: There are as many as may be.
            TransportError: Postgres does not answer.
        """
        await asyncio.to_thread(
            self._client.register, descriptor, location=location, token=token
        )
        return True

    async def register_card(
        self,
        card: object,
        *,
        agent_id: str | None = None,
        location: str | None = None,
        token: str | None = None,
    ) -> RegisteredAgent:
        """Register the agent that an A2A agent card tells of; return it.

        Args:
            card: The card as JSON, of protocol 1.0 or 0.3.
            agent_id: Its id; None: the one that a card of ours has, else ``agent-`` and
                the card's name.
            location: As for ``register``.
            token: As for ``register``.

        Raises:
            InvalidCard: The error lists all that is wrong; others as ``register``.
        """
        said = from_card(card, agent_id=agent_id)
        await self.register(said, location, token)
        return await self.get(said.agent_id)

    async def card_of(self, agent_id: str) -> dict[str, Any]:
        """Return the A2A agent card of an agent, as JSON.

        Raises:
            AgentNotFound: No agent of that id is registered.
        """
        return to_card((await self.get(agent_id)).descriptor)

    async def update(
        self,
        agent_id: str,
        *,
        location: str | None = None,
        token: str | None = None,
        **fields: Any,  # noqa: ANN401  the descriptor's own
    ) -> RegisteredAgent:
        """Change some of what an agent says of itself; return it.

        Args:
            agent_id: The agent.
            location: Where it runs now; None: as it was.
            token: As for ``register``.
            fields: Fields of its descriptor.

        Raises:
            AgentNotFound: No agent of that id is registered.
            InvalidDescriptor: As for ``register``, like all its errors.
        """
        state = await asyncio.to_thread(self._client.state, agent_id)
        said = replace(state.descriptor, **fields)
        await self.register(said, location, token)
        return await self.get(agent_id)

    async def deregister(self, agent_id: str, token: str | None = None) -> bool:
        """Take an agent out; return whether it was registered.

        Raises:
            DuplicateAgent: It is alive, and somebody else's.
            TokenRefused: The token does not allow it, or there is none.
            TransportError: Postgres does not answer.
        """
        return await asyncio.to_thread(self._client.deregister, agent_id, token=token)

    async def heartbeat(
        self, agent_id: str, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Say that an agent is alive; return when the broker has confirmed it.

        Heartbeats that are sent at about the same time go in one message.

        Args:
            agent_id: The agent.
            metrics: ``cpu_usage``, ``memory_usage`` and ``error_rate`` (0-1),
                ``response_time_ms``, ``queue_size``; none must be given.

        Raises:
            AgentNotFound: No agent of that id is registered.
            InvalidHeartbeat: The error lists all that is wrong with the metrics.
            TransportError: The broker did not take it.
        """
        client, told = self._client, dict(metrics or {})
        if agent_id in client.replica.columns:  # the usual case: it only takes a place
            sent = client.heartbeat(agent_id, told)
        else:
            sent = await asyncio.to_thread(client.heartbeat, agent_id, told)
        await self._confirmed(sent)

    async def _confirmed(self, sent: Future[None]) -> None:
        """Wait for a message of heartbeats; all that wait for one are woken at once."""
        of, here = self._awaited
        loop = asyncio.get_running_loop()
        if here is None or of is not sent or here.get_loop() is not loop:
            here = asyncio.wrap_future(sent)
            self._awaited = (sent, here)
        # Who gives up waiting takes nothing from the others.
        await asyncio.shield(here)


class ServiceDiscovery:
    """The query side of a registry alone.

    Args:
        registry: Whose replica answers.
    """

    def __init__(self, registry: AgentRegistry) -> None:
        self.discover = registry.discover
        self.get = registry.get
        self.list = registry.list
        self.watch = registry.watch
