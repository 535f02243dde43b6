"""Thousands of registered agents at once: events and rows, many by one statement."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from eventstore import canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.registry_log import interval_ms
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.events import agent_uuid, registered
from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
)

__all__ = ["enroll", "fresh_agents"]

_PER_CALL = 1_000
_ENROLL = """
INSERT INTO orch.agent (
    agent_id, version, descriptor, location, owner, status, health_score, interval_ms,
    registered_at, changed_at, last_heartbeat_ms
)
SELECT
    t.agent, done.version, t.descriptor::json, t.location, '', t.status, t.health,
    t.interval_ms, done.recorded_at, done.recorded_at, t.heard_ms
FROM unnest(
    %s::text[], %s::text[], %s::text[], %s::text[], %s::double precision[],
    %s::bigint[], %s::bigint[], %s::uuid[], %s::uuid[], %s::bytea[]
) AS t (
    agent, descriptor, location, status, health, interval_ms, heard_ms, event_id,
    correlation, data
)
CROSS JOIN LATERAL es.append_one(
    'registry-' || t.agent, 0, t.event_id, 'AGENT_REGISTERED', 1, t.correlation,
    NULL, %s, %s, t.data
) AS done
WHERE done.status = 'ok'
RETURNING agent_id
"""


def enroll(db: Database, agents: Iterable[RegisteredAgent]) -> None:
    """Register agents that nobody knows; each stands as it says from the start on."""
    left, because = iter(agents), Because()
    while some := list(itertools.islice(left, _PER_CALL)):
        said = [one.descriptor for one in some]
        facts = [registered(one.descriptor, location=one.location) for one in some]
        heard = [one.last_heartbeat for one in some]
        parameters = (
            [one.agent_id for one in some],
            [canonical_bytes(one.to_json()).decode() for one in said],
            [one.location for one in some],
            [str(one.status) for one in some],
            [one.health_score for one in some],
            [interval_ms(one) for one in said],
            [at and round(at.timestamp() * 1_000) for at in heard],
            [str(fact.event_id(0)) for fact in facts],
            [str(agent_uuid(one.agent_id)) for one in some],
            [canonical_bytes(fact.data) for fact in facts],
            because.actor,
            because.metadata,
        )
        assert len(db.rows(_ENROLL, parameters)) == len(some)


def fresh_agents(count: int, *, interval_s: float = 30.0) -> Iterator[RegisteredAgent]:
    """Return agents as they are when they have just been registered."""
    for nth in range(count):
        descriptor = AgentDescriptor(
            agent_id=f"agent-{nth:05}",
            agent_type="Calculator",
            version="1.0.0",
            capabilities=[f"capability-{nth % 50}", f"kind-{nth % 7}"],
            tags=["production"],
            heartbeat_interval_s=interval_s,
            metadata={"max_concurrent_requests": 100},
        )
        yield RegisteredAgent(
            descriptor=descriptor,
            health_score=1.0,
            status=AgentStatus.ACTIVE,
            location="eu",
            registered_at=datetime.now(UTC),  # which is told anew when it is recorded
        )
