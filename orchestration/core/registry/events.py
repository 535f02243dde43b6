"""The facts of the registry: event types, their payloads, streams and identity.

Each agent has a stream of its own. What is about all agents, sweeps and protection
against mass failures, stands in ``SWEEPS``. Heartbeats are no events: what they led to
is, and each sweep records one digest of those that it went by.

========================  ============================================================
Type                      Payload
========================  ============================================================
``AGENT_REGISTERED``      ``agent_id``, ``descriptor`` (its JSON), ``location``,
                          ``owner`` (who may change it; empty: anybody)
``AGENT_UPDATED``         the same
``AGENT_STATUS_CHANGED``  ``agent_id``, ``from``, ``to``, ``health_score``,
                          ``last_heartbeat_ms`` (null: never), ``reason``
``AGENT_DEREGISTERED``    ``agent_id``, ``from``, ``last_heartbeat_ms``, ``reason``
``AGENT_COPIED``          what another region tells of its agent; see ``regions``
``AGENT_COPY_ENDED``      it tells no more of it, and no agent of ours has its id
``SLA_VIOLATED``          ``agent_id``, ``term``, ``limit``, ``observed``, ``since_ms``,
                          ``health_score`` (since), ``last_heartbeat_ms``
``SLA_RESTORED``          the same (``limit`` null: it promises that no longer), and
                          ``until_ms``
``HEALTH_SWEPT``          ``swept_at_ms``, ``epoch``, ``agents``, ``by_status``,
                          ``average_health``, ``changes``, ``held``,
                          ``protection`` (``since_ms``, ``until_ms``, ``is_spent``;
                          or null), ``digest`` (of the heartbeats, ``Pulse.digest``)
``PROTECTION_STARTED``    ``since_ms``, ``until_ms``, ``silent``, ``agents``
``PROTECTION_ENDED``      ``since_ms``, ``until_ms`` (as planned), ``ended_ms``,
                          ``reason``
========================  ============================================================

Times are epoch milliseconds on the servers' clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from orchestration.core.registry.model import AgentDescriptor, AgentStatus

__all__ = [
    "SWEEPS",
    "EventType",
    "NewFact",
    "Reason",
    "RegistryEvent",
    "agent_uuid",
    "deregistered",
    "registered",
    "status_changed",
    "stream_of",
    "updated",
]


class EventType(StrEnum):
    """Every type of event that the registry records."""

    AGENT_REGISTERED = "AGENT_REGISTERED"
    AGENT_UPDATED = "AGENT_UPDATED"
    AGENT_STATUS_CHANGED = "AGENT_STATUS_CHANGED"
    AGENT_DEREGISTERED = "AGENT_DEREGISTERED"
    AGENT_COPIED = "AGENT_COPIED"
    AGENT_COPY_ENDED = "AGENT_COPY_ENDED"
    SLA_VIOLATED = "SLA_VIOLATED"
    SLA_RESTORED = "SLA_RESTORED"
    HEALTH_SWEPT = "HEALTH_SWEPT"
    PROTECTION_STARTED = "PROTECTION_STARTED"
    PROTECTION_ENDED = "PROTECTION_ENDED"


class Reason(StrEnum):
    """Why an agent's status changed, or why protection ended."""

    ASKED = "ASKED"
    """Somebody asked for it."""
    SILENCE = "SILENCE"
    """It was not heard of for too long."""
    HEALTH = "HEALTH"
    """Its health score fell below the line."""
    HELD = "HELD"
    """It is silent like too many others, so protection holds it."""
    RECOVERED = "RECOVERED"
    """It was heard of again, or does better again."""
    EXPIRED = "EXPIRED"
    """Protection had lasted for as long as it may."""


SWEEPS: Final = "registry-sweeps"
"""The stream of what is about all agents."""

_REGISTRY = uuid5(NAMESPACE_URL, "urn:agent-foundation-orchestration:registry")


def stream_of(agent_id: str) -> str:
    """Return the name of an agent's event stream."""
    return f"registry-{agent_id}"


def agent_uuid(agent_id: str) -> UUID:
    """Return the correlation id of everything that is about an agent."""
    return uuid5(_REGISTRY, agent_id)


@dataclass(frozen=True, slots=True)
class RegistryEvent:
    """One recorded fact.

    Attributes:
        version: Its number in its stream, from 1.
        type: What happened.
        data: The payload; see the module.
        recorded_at: The database's clock, in UTC.
    """

    version: int
    type: EventType
    data: Mapping[str, Any]
    recorded_at: datetime

    @property
    def agent_id(self) -> str | None:
        """The agent that it is about; None: all of them."""
        agent_id = self.data.get("agent_id")
        return None if agent_id is None else str(agent_id)


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact about to be recorded."""

    type: EventType
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The stream that it belongs to."""
        agent_id = self.data.get("agent_id")
        return SWEEPS if agent_id is None else stream_of(agent_id)

    def event_id(self, version: int) -> UUID:
        """Return its id: two processes that decide the same write one event.

        Args:
            version: The version of the stream that it was decided at.
        """
        return uuid5(_REGISTRY, f"{self.stream}:{self.type}:{version}")


def registered(
    descriptor: AgentDescriptor, location: str = "", owner: str = ""
) -> NewFact:
    """Return the fact that an agent joined, or joined again."""
    return _described(EventType.AGENT_REGISTERED, descriptor, location, owner)


def updated(
    descriptor: AgentDescriptor, location: str = "", owner: str = ""
) -> NewFact:
    """Return the fact that a registered agent says something else of itself now."""
    return _described(EventType.AGENT_UPDATED, descriptor, location, owner)


def status_changed(
    agent_id: str,
    before: AgentStatus,
    after: AgentStatus,
    *,
    health_score: float,
    last_heartbeat_ms: int | None,
    reason: Reason,
) -> NewFact:
    """Return the fact that an agent stands elsewhere now.

    Decommissioning is deregistration: see ``deregistered``.
    """
    data = {
        "agent_id": agent_id,
        "from": str(before),
        "to": str(after),
        "health_score": health_score,
        "last_heartbeat_ms": last_heartbeat_ms,
        "reason": str(reason),
    }
    return NewFact(EventType.AGENT_STATUS_CHANGED, data)


def deregistered(
    agent_id: str,
    before: AgentStatus,
    *,
    last_heartbeat_ms: int | None,
    reason: Reason = Reason.ASKED,
) -> NewFact:
    """Return the fact that an agent left, or was silent for so long that it is gone."""
    data = {
        "agent_id": agent_id,
        "from": str(before),
        "last_heartbeat_ms": last_heartbeat_ms,
        "reason": str(reason),
    }
    return NewFact(EventType.AGENT_DEREGISTERED, data)


def _described(
    type_: EventType, descriptor: AgentDescriptor, location: str, owner: str
) -> NewFact:
    data = {
        "agent_id": descriptor.agent_id,
        "descriptor": descriptor.to_json(),
        "location": location,
        "owner": owner,
    }
    return NewFact(type_, data)
