"""What a registration, or the end of one, comes to: a fact, nothing, or a refusal."""

from __future__ import annotations

from orchestration.core.registry.events import (
    NewFact,
    deregistered,
    registered,
    updated,
)
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.errors import DuplicateAgent, ForeignAgent

__all__ = ["deregistration", "registration"]


def registration(
    state: AgentState | None,
    descriptor: AgentDescriptor,
    *,
    location: str | None = None,
    owner: str = "",
) -> NewFact | None:
    """Return the fact that a registration leads to; None: it is all known.

    Args:
        state: The agent of that id, if there ever was one.
        descriptor: What it says of itself, free of faults.
        location: Region or cluster that it runs in; None: as it was.
        owner: Who registers it. Empty: somebody without a name.

    Raises:
        DuplicateAgent: An agent of that id is alive, and somebody else's.
    """
    if state is None or not state.is_registered:
        return registered(descriptor, location or "", owner)
    if state.region:
        _refuse_the_living(state, descriptor.agent_id)
        return registered(descriptor, location or "", owner)
    where = state.location if location is None else location
    if not _may_change(state, owner):
        _refuse_the_living(state, descriptor.agent_id)
        return registered(descriptor, location or "", owner)
    if (descriptor, where, owner) == (state.descriptor, state.location, state.owner):
        return None
    return updated(descriptor, where, owner)


def deregistration(
    state: AgentState | None, *, owner: str = "", last_heartbeat_ms: int | None = None
) -> NewFact | None:
    """Return the fact that an agent leaves because it was asked to; None: it is gone.

    Args:
        state: The agent, if there ever was one.
        owner: Who asks.
        last_heartbeat_ms: When it was last heard of, epoch milliseconds; None: unknown.

    Raises:
        DuplicateAgent: It is alive, and somebody else's.
        ForeignAgent: It is another region's.
    """
    if state is None or not state.is_registered:
        return None
    agent_id = state.descriptor.agent_id
    if state.region:
        raise ForeignAgent(
            f"agent {agent_id!r} is of region {state.region!r}, which alone changes "
            "it: deregister it there",
            agent_id,
        )
    if not _may_change(state, owner):
        _refuse_the_living(state, agent_id)
    return deregistered(agent_id, state.status, last_heartbeat_ms=last_heartbeat_ms)


def _may_change(state: AgentState, owner: str) -> bool:
    """Tell whether the agent is that owner's, or nobody's."""
    return state.owner in {"", owner}


def _refuse_the_living(state: AgentState, agent_id: str) -> None:
    """Refuse what somebody else wants of an agent, unless it is heard of no more."""
    if state.status is AgentStatus.INACTIVE:
        return
    if state.region:
        raise DuplicateAgent(
            f"agent {agent_id!r} is {state.status} in region {state.region!r}: choose "
            "another id",
            agent_id,
        )
    raise DuplicateAgent(
        f"agent {agent_id!r} is {state.status} and belongs to {state.owner!r}: "
        "choose another id, or register it as its owner",
        agent_id,
    )
