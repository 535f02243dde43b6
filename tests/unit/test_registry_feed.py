"""What the registry's feed carries comes out as it went in."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestration.adapters.registry_feed import (
    FeedChange,
    Kind,
    change_arguments,
    checksum_of,
    halves,
    read_agent,
    read_delta,
)
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.core.registry.packed import pack

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)


def state(agent_id: str = "agent-ä", **changes: object) -> AgentState:
    fields: dict[str, object] = {
        "descriptor": AgentDescriptor(
            agent_id=agent_id,
            agent_type="T",
            version="1.0.0",
            capabilities=["a"],
            tags=[],
            metadata={"quoted": 'a "word"\n', "list": []},
        ),
        "location": "eu west",
        "owner": "team",
        "status": AgentStatus.DEGRADED,
        "health_score": 0.1 + 0.2,
        "registered_at": AT,
        "changed_at": AT,
        "last_heartbeat": datetime.fromtimestamp(1_767_000_000.123, UTC),
        "version": 7,
    }
    return AgentState(**{**fields, **changes})  # type: ignore[arg-type]


def as_told(change: FeedChange) -> bytes:
    """Return a change as the script writes it into the stream."""
    document = json.loads(change.document) if change.document else None
    return json.dumps(
        [[change.kind, change.agent_id, change.state, document]], ensure_ascii=False
    ).encode()


def test_an_agent_is_read_as_it_was_told() -> None:
    change = FeedChange.of(state())
    told = {b"nth": b"3", b"changes": as_told(change)}
    delta = read_delta(b"17-0", told)
    assert (delta.position, delta.nth) == ("17-0", 3)
    assert read_agent(delta.changes[0]) == state().agent


def test_broken_promises_are_told() -> None:
    change = FeedChange.of(state(violations={"availability": 1_767_000_000_123}))
    told = {b"nth": b"1", b"changes": as_told(change)}
    (read,) = read_delta(b"1-0", told).changes
    since = datetime.fromtimestamp(1_767_000_000.123, UTC)
    assert read_agent(read).violations == {"availability": since}


def test_an_agent_that_was_never_heard_of_stays_so() -> None:
    change = FeedChange.of(state(last_heartbeat=None))
    read = FeedChange.read("put", change.agent_id, change.state, change.document)
    assert read == change
    assert read_agent(read).last_heartbeat is None


def test_a_digest_behind_a_state_is_passed_over() -> None:
    change = FeedChange(
        kind=Kind.STATUS,
        agent_id="agent-a",
        version=2,
        status=AgentStatus.INACTIVE,
        health=0.5,
        heard_ms=12,
        violations={"availability": 7, "max_latency_ms": 8},
    )
    assert FeedChange.read("status", "agent-a", f"{change.state} 1 2") == change


def test_heartbeats_are_read_one_by_one() -> None:
    blobs = [pack(1, {"cpu_usage": 0.1}), pack(2, {})]
    told = {b"nth": b"1", b"agents": b"agent-a\nagent-b", b"beats": b"".join(blobs)}
    delta = read_delta(b"1-0", told)
    assert list(delta.agent_ids) == ["agent-a", "agent-b"]
    assert list(delta.blobs) == blobs


@pytest.mark.parametrize("number", [0, 1, 2**32 - 1, 2**32, 2**64 - 1])
def test_halves_make_the_number(number: int) -> None:
    high, low = halves(number)
    assert (high << 32) + low == number
    assert max(high, low) < 2**32


def test_the_checksum_is_that_of_a_replica_with_these_agents() -> None:
    states = [state(f"agent-{nth}", version=nth + 1) for nth in range(5)]
    columns = Columns()
    for one in states:
        columns.put(one.agent)
    changes = [FeedChange.of(one) for one in states]
    assert checksum_of(changes) == columns.checksum
    assert checksum_of([]) == Columns().checksum == 0
    assert len(change_arguments(changes)) == 6 * len(changes)
