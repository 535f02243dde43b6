"""Discovery as one would write it first: agent by agent, slow, and plain to read."""

from __future__ import annotations

from collections.abc import Iterable

from orchestration.core.registry.constraint import compile_constraint
from orchestration.core.registry.model import AgentDescriptor, RegisteredAgent
from orchestration.core.registry.query import Order, Query

__all__ = ["plain_discover"]


def plain_discover(
    agents: Iterable[RegisteredAgent], query: Query
) -> tuple[RegisteredAgent, ...]:
    """Return what ``discover`` is to return; cursors are not known here."""
    found = [agent for agent in agents if _answers(agent, query)]
    return tuple(sorted(found, key=lambda one: _rank(one, query))[: query.max_results])


def _answers(agent: RegisteredAgent, query: Query) -> bool:
    said = agent.descriptor
    return (
        agent.status in query.statuses
        and agent.health_score >= query.min_health_score
        and all(_can(said, capability) for capability in query.capabilities)
        and (
            not query.service_types
            or bool(set(query.service_types) & set(said.service_types))
        )
        and set(query.tags) <= set(said.tags)
        and (
            query.version_constraint is None
            or compile_constraint(query.version_constraint).allows(said.version)
        )
        and (query.max_cost is None or said.cost_per_request <= query.max_cost)
        and (
            query.max_latency_ms is None
            or said.sla.get("max_latency_ms", float("inf")) <= query.max_latency_ms
        )
        and (
            query.min_availability is None
            or said.sla.get("availability", -1) >= query.min_availability
        )
    )


def _can(said: AgentDescriptor, wanted: str) -> bool:
    name, _, constraint = wanted.partition("@")
    for capability in said.capabilities:
        known, _, release = capability.partition("@")
        if known == name and (
            not constraint
            or (release and compile_constraint(constraint).allows(release))
        ):
            return True
    return False


def _rank(agent: RegisteredAgent, query: Query) -> tuple[object, ...]:
    elsewhere = query.location_preference not in (None, agent.location)
    health = -round(agent.health_score * 100)
    match query.order:
        case Order.AGENT_ID:
            return (agent.agent_id,)
        case Order.COST:
            cost = agent.descriptor.cost_per_request
            return elsewhere, cost, health, agent.load, agent.agent_id
        case _:
            return elsewhere, health, agent.load, agent.agent_id
