"""From events to agents: who is registered, and how each stands, at any time.

``apply`` takes one event of one agent, ``fold`` the events of many. An event that was
applied before changes nothing, and the order of events of different agents does not
matter, so that what reads the log may read a part of it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orchestration.core.registry.events import EventType, RegistryEvent
from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
    broken_since,
)

__all__ = ["AgentState", "apply", "fold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """One agent, as its events tell of it.

    Attributes:
        descriptor: What it says of itself.
        location: Region or cluster that it runs in.
        owner: Who may change it; empty: anybody.
        status: Where it stands; DECOMMISSIONED: it is not registered any more.
        health_score: As it was when its status or a promise of its SLA last changed;
            1.0 before that.
        registered_at: When it joined, or joined again.
        changed_at: When the last event was recorded.
        last_heartbeat: When it was last heard of, as far as events tell.
        violations: The terms of its SLA that it breaks, each with the time since when,
            epoch milliseconds.
        version: The version of the last event.
        region: The region whose agent it is; empty: this one.
        as_of: When that region was last reached before this was shown.
    """

    descriptor: AgentDescriptor
    location: str
    owner: str
    status: AgentStatus
    health_score: float
    registered_at: datetime
    changed_at: datetime
    last_heartbeat: datetime | None = None
    violations: Mapping[str, int] = field(default_factory=dict)
    version: int
    region: str = ""
    as_of: datetime | None = None

    @property
    def is_registered(self) -> bool:
        """Whether it has neither left nor been given up."""
        return self.status is not AgentStatus.DECOMMISSIONED

    @property
    def agent(self) -> RegisteredAgent:
        """The agent as discovery shows it."""
        return RegisteredAgent(
            descriptor=self.descriptor,
            health_score=self.health_score,
            status=self.status,
            location=self.location,
            registered_at=self.registered_at,
            last_heartbeat=self.last_heartbeat,
            violations=broken_since(self.violations),
            version=self.version,
            region=self.region,
            as_of=self.as_of,
        )


def fold(
    events: Iterable[RegistryEvent], start: Mapping[str, AgentState] | None = None
) -> dict[str, AgentState]:
    """Return the agents after ``events``, by id.

    Those that left are in it too, as DECOMMISSIONED; see ``is_registered``.

    Args:
        events: In the order of their streams; those of different agents may be mixed,
            and events that are about no agent are passed over.
        start: What earlier events folded to.

    Raises:
        ValueError: An agent's first event is not that it was registered.
    """
    states = dict(start or {})
    for event in events:
        agent_id = event.agent_id
        if agent_id is not None:
            states[agent_id] = apply(states.get(agent_id), event)
    return states


def apply(state: AgentState | None, event: RegistryEvent) -> AgentState:
    """Return the agent after one more event of it.

    Raises:
        ValueError: There is no agent yet, and the event does not register it.
    """
    if event.type is EventType.AGENT_REGISTERED:
        return state if state and event.version <= state.version else _joined(event)
    if event.type is EventType.AGENT_COPIED:
        return state if state and event.version <= state.version else _copied(event)
    if state is None:
        raise ValueError(f"agent {event.agent_id}: its first event is {event.type}")
    if event.version <= state.version:
        return state
    changes = _changes(state, event)
    return replace(
        state, version=event.version, changed_at=event.recorded_at, **changes
    )


def _joined(event: RegistryEvent) -> AgentState:
    data = event.data
    return AgentState(
        descriptor=AgentDescriptor.from_json(data["descriptor"]),
        location=data["location"],
        owner=data["owner"],
        status=AgentStatus.ACTIVE,
        health_score=1.0,
        registered_at=event.recorded_at,
        changed_at=event.recorded_at,
        version=event.version,
    )


def _copied(event: RegistryEvent) -> AgentState:
    data = event.data
    heard_ms = data["last_heartbeat_ms"]
    return AgentState(
        descriptor=AgentDescriptor.from_json(data["descriptor"]),
        location=data["location"],
        owner=data["owner"],
        status=AgentStatus(data["status"]),
        health_score=data["health_score"],
        registered_at=datetime.fromisoformat(data["registered_at"]),
        changed_at=event.recorded_at,
        last_heartbeat=(
            None if heard_ms is None else datetime.fromtimestamp(heard_ms / 1_000, UTC)
        ),
        version=event.version,
        region=data["region"],
        as_of=datetime.fromisoformat(data["as_of"]),
    )


def _changes(state: AgentState, event: RegistryEvent) -> dict[str, Any]:
    data = event.data
    match event.type:
        case EventType.AGENT_UPDATED:
            return {
                "descriptor": AgentDescriptor.from_json(data["descriptor"]),
                "location": data["location"],
                "owner": data["owner"],
            }
        case EventType.AGENT_STATUS_CHANGED:
            return {
                "status": AgentStatus(data["to"]),
                **_judged(state, event),
            }
        case EventType.AGENT_DEREGISTERED:
            return {
                "status": AgentStatus.DECOMMISSIONED,
                "last_heartbeat": _heard(state, event),
                "violations": {},
            }
        case EventType.AGENT_COPY_ENDED:
            return {"status": AgentStatus.DECOMMISSIONED, "region": ""}
        case EventType.SLA_VIOLATED:
            broken = {**state.violations, data["term"]: data["since_ms"]}
            return {"violations": broken, **_judged(state, event)}
        case EventType.SLA_RESTORED:
            left = {t: s for t, s in state.violations.items() if t != data["term"]}
            return {"violations": left, **_judged(state, event)}
        case _:
            raise ValueError(f"{event.type} is about no agent: leave agent_id out")


def _judged(state: AgentState, event: RegistryEvent) -> dict[str, Any]:
    """Return what a sweep found of an agent when it recorded a change of it."""
    return {
        "health_score": event.data["health_score"],
        "last_heartbeat": _heard(state, event),
    }


def _heard(state: AgentState, event: RegistryEvent) -> datetime | None:
    """Return when it was last heard of; events without that change nothing."""
    ms = event.data["last_heartbeat_ms"]
    if ms is None:
        return state.last_heartbeat
    return datetime.fromtimestamp(ms / 1_000, UTC)
