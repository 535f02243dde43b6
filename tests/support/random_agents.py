"""Agents and queries drawn from a seed: the same each time, with much that ties."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
    ServiceType,
)
from orchestration.core.registry.query import Order, Query

__all__ = ["BEGIN", "random_agent", "random_agents", "random_queries", "random_query"]

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CAPABILITIES = [f"capability_{number:02}" for number in range(50)]
RELEASES = ["1.0.0", "1.1.0", "1.2.3", "2.0.0-rc.1", "2.0.0", "2.1.0"]
TAGS = [f"tag-{number:02}" for number in range(20)]
LOCATIONS = ["", "us-east-1", "us-west-2", "eu-central-1", "eu-west-3"]
VERSIONS = [
    *(f"{major}.{minor}.0" for major in range(4) for minor in range(5)),
    "1.2.3-beta.2",
    "3.0.0-rc.1",
    "0.3.1",
]
STATUSES = [AgentStatus.ACTIVE] * 16 + [AgentStatus.DEGRADED] * 2
STATUSES += [AgentStatus.INACTIVE, AgentStatus.DECOMMISSIONED]
CONSTRAINTS = [
    ">=2.0.0",
    ">1.0",
    "=1.2.0",
    "^1.2",
    "~1.4",
    "~=2.1",
    "!=1.0.0",
    "<2",
    "1.x",
    ">=1.1,<3 || ^0.3",
    ">=3.0.0-rc.0",
]
RELEASE_CONSTRAINTS = [">=1.1", "^1.0", "2.x", ">=2.0.0-rc.0", "1.0.0", "!=1.1.0"]


def random_agents(seed: int, count: int) -> Iterator[RegisteredAgent]:
    """Draw agents with the ids ``agent-<kind>-<number>``."""
    rng = random.Random(seed)
    for number in range(count):
        kind = rng.choice(["calc", "data-intake", "report", "validation-of-suppliers"])
        yield random_agent(rng, f"agent-{kind}-{number:06}")


def random_queries(seed: int, count: int) -> Iterator[Query]:
    """Draw queries; some ask for much, some for nothing."""
    rng = random.Random(seed)
    return (random_query(rng) for _ in range(count))


def random_agent(rng: random.Random, agent_id: str, **fields: Any) -> RegisteredAgent:
    """Draw one agent; ``fields`` of it may be given."""
    fresh = rng.random() < 0.3  # as new agents are: all alike
    sla: dict[str, float] = {"max_latency_ms": rng.choice([50, 200, 500, 2_000])}
    if rng.random() < 0.7:
        sla["availability"] = rng.choice([0.9, 0.99, 0.999])
    drawn: dict[str, Any] = {
        "descriptor": AgentDescriptor(
            agent_id=agent_id,
            agent_type="Drawn",
            version=rng.choice(VERSIONS),
            capabilities=_capabilities(rng),
            service_types=rng.sample(list(ServiceType), rng.randint(1, 2)),
            endpoint="tcp://10.0.1.50:5000",
            tags=[*rng.sample(TAGS, rng.randint(0, 4)), f"host-{rng.randrange(3_000)}"],
            sla=sla if rng.random() < 0.8 else {},
            cost_per_request=rng.choice([0.0, 0.01, 0.05, 0.1]),
            metadata={"max_concurrent_requests": rng.choice([10, 100])},
        ),
        "health_score": 1.0 if fresh else round(rng.uniform(0.2, 1), 4),
        "status": rng.choice(STATUSES),
        "location": rng.choice(LOCATIONS),
        "registered_at": BEGIN + timedelta(microseconds=rng.randrange(10**12)),
        "last_heartbeat": None
        if fresh
        else BEGIN + timedelta(days=rng.uniform(20, 30)),
        "version": rng.randint(1, 9),
        "load": 0.0 if fresh else round(rng.random(), rng.choice([1, 4])),
    }
    return RegisteredAgent(**drawn | fields)


def random_query(rng: random.Random) -> Query:
    """Draw one query."""
    asked: dict[str, Any] = {
        "capabilities": [_wanted(rng) for _ in range(rng.choice([0, 1, 1, 2, 2, 3]))],
        "max_results": rng.choice([1, 5, 10, 10, 50, 1_000]),
    }
    chances: list[tuple[str, float, Any]] = [
        ("service_types", 0.3, rng.sample(list(ServiceType), rng.randint(1, 3))),
        ("tags", 0.3, rng.sample(TAGS, rng.randint(1, 2))),
        ("tags", 0.1, [f"host-{rng.randrange(3_100)}"]),
        ("version_constraint", 0.3, rng.choice(CONSTRAINTS)),
        ("location_preference", 0.5, rng.choice([*LOCATIONS, "moon"])),
        ("min_health_score", 0.5, rng.choice([0.5, 0.8, 0.9, 0.95])),
        ("statuses", 0.1, [AgentStatus.ACTIVE]),
        ("max_cost", 0.2, rng.choice([0.0, 0.01, 0.05])),
        ("max_latency_ms", 0.2, rng.choice([100, 500])),
        ("min_availability", 0.2, rng.choice([0.95, 0.999])),
        ("order", 0.3, rng.choice(list(Order))),
    ]
    asked |= {name: value for name, chance, value in chances if rng.random() < chance}
    return Query(**asked)


def _capabilities(rng: random.Random) -> list[str]:
    names = rng.sample(CAPABILITIES, rng.randint(3, 7))
    return [
        f"{name}@{rng.choice(RELEASES)}" if rng.random() < 0.3 else name
        for name in names
    ]


def _wanted(rng: random.Random) -> str:
    if rng.random() < 0.02:
        return "nobody-can"
    name = rng.choice(CAPABILITIES)
    if rng.random() < 0.2:
        return f"{name}@{rng.choice(RELEASE_CONSTRAINTS)}"
    return name
