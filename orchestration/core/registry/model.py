"""What the registry knows of an agent: what it can do, and how well it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from orchestration.core.words import member

__all__ = [
    "AGENT_ID",
    "AgentDescriptor",
    "AgentStatus",
    "RegisteredAgent",
    "ServiceType",
    "broken_since",
]

AGENT_ID: Final = re.compile(r"agent-[\w-]+")
"""How the ids of registered agents read."""


class ServiceType(StrEnum):
    """What kind of service an agent renders."""

    COMPUTATION = "COMPUTATION"
    DATA = "DATA"
    VALIDATION = "VALIDATION"
    REPORTING = "REPORTING"
    COORDINATION = "COORDINATION"
    INTEGRATION = "INTEGRATION"
    STORAGE = "STORAGE"
    MONITORING = "MONITORING"


class AgentStatus(StrEnum):
    """How an agent stands; the sweep moves it by its heartbeats."""

    ACTIVE = "ACTIVE"
    DEGRADED = "DEGRADED"
    INACTIVE = "INACTIVE"
    DECOMMISSIONED = "DECOMMISSIONED"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDescriptor:
    """What an agent says of itself when it registers.

    Nothing is checked here: ``checks.descriptor_faults`` lists all that is wrong.

    Attributes:
        agent_id: ``agent-`` and letters, digits, ``_`` or ``-``; unique.
        agent_type: What kind of agent it is, for people.
        version: Semantic version of its code.
        capabilities: What it can do; ``name`` or ``name@version``.
        service_types: What kinds of service it renders.
        endpoint: Where it can be reached outside of the message bus, a URL.
        tags: Free words.
        sla: What it promises: ``max_latency_ms``, ``availability`` (0-1),
            ``max_error_rate`` (0-1).
        cost_per_request: What one request costs, in the currency that all agents use.
        heartbeat_interval_s: How often it is heard of, seconds.
        metadata: JSON about it; ``max_concurrent_requests`` is its capacity.
    """

    agent_id: str
    agent_type: str
    version: str
    capabilities: Sequence[str] = ()
    service_types: Sequence[ServiceType | str] = ()
    endpoint: str = ""
    tags: Sequence[str] = ()
    sla: Mapping[str, float] = field(default_factory=dict)
    cost_per_request: float = 0.0
    heartbeat_interval_s: float = 30.0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("capabilities", "service_types", "tags"):
            put(self, name, _words(getattr(self, name)))
        if isinstance(self.service_types, tuple):
            put(self, "service_types", tuple(_known(one) for one in self.service_types))
        for name in ("sla", "metadata"):
            if isinstance(getattr(self, name), Mapping):
                put(self, name, dict(getattr(self, name)))

    @property
    def capacity(self) -> int | None:
        """How many requests it takes at once; None: it did not say."""
        capacity = self.metadata.get("max_concurrent_requests")
        return capacity if isinstance(capacity, int) else None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; ``from_json`` takes it back."""
        return {
            "agent_id": self.agent_id,
            "agent_type": self.agent_type,
            "version": self.version,
            "capabilities": list(self.capabilities),
            "service_types": [str(one) for one in self.service_types],
            "endpoint": self.endpoint,
            "tags": list(self.tags),
            "sla": dict(self.sla),
            "cost_per_request": self.cost_per_request,
            "heartbeat_interval_s": self.heartbeat_interval_s,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Return the descriptor that JSON tells of.

        Raises:
            TypeError: A field is missing, or there is no such field.
        """
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAgent:
    """An agent as the registry sees it.

    Attributes:
        descriptor: What it says of itself.
        health_score: From 0.0 to 1.0; see ``health``.
        status: Where it stands.
        location: Region or cluster that it runs in; empty if it did not say.
        registered_at: When its registration was recorded.
        last_heartbeat: When it was last heard of; None: not since its registration.
        version: Counts up with every recorded change of it.
        load: From 0.0 (idle); queue and capacity, see the router.
        region: The region whose agent it is; empty: this one.
        as_of: Of another region's agent: since when, at the latest, what is shown of
            it was so; its status is worth no more than that.
        violations: The terms of its SLA that it breaks, each with the time since when.
    """

    descriptor: AgentDescriptor
    health_score: float
    status: AgentStatus
    location: str
    registered_at: datetime
    last_heartbeat: datetime | None = None
    version: int = 1
    load: float = 0.0
    region: str = ""
    as_of: datetime | None = None
    violations: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def agent_id(self) -> str:
        """The id in its descriptor."""
        return self.descriptor.agent_id


def broken_since(violations: Mapping[str, int]) -> dict[str, datetime]:
    """Return broken terms, as events tell of them, as a registered agent shows them."""
    return {
        term: datetime.fromtimestamp(since_ms / 1_000, UTC)
        for term, since_ms in violations.items()
    }


def _words(given: Any) -> Any:  # noqa: ANN401  what is no list is named as a fault
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        return tuple(given)
    return given


def _known(given: str) -> ServiceType | str:
    try:
        return member(ServiceType, given) or given
    except ValueError:
        return given
