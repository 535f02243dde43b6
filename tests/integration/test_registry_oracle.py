"""What the registry finds is what a query in Postgres finds, in the same order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestration.adapters.registry_replica import Replica
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.cache import QueryCache
from orchestration.core.registry.discover import discover
from orchestration.core.registry.query import Query
from tests.support.many_agents import enroll
from tests.support.random_agents import random_agents, random_queries
from tests.support.registry import RegistrySide, registry_side
from tests.support.registry_oracle import RegistryOracle
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(240),
    pytest.mark.no_cover,  # tracing lines doubles its time
]

AGENTS = 10_000
QUERIES = 1_000
BECAUSE = Because()


@pytest.fixture
def side(database_url: str, redis_url: str) -> Iterator[RegistrySide]:
    with registry_side(database_url, redis_url) as side:
        yield side


@pytest.fixture
def oracle(side: RegistrySide) -> Iterator[RegistryOracle]:
    oracle = RegistryOracle(side.settings.database_url)
    yield oracle
    oracle.close()


def test_discovery_equals_a_query_in_postgres(
    side: RegistrySide, oracle: RegistryOracle
) -> None:
    enroll(side.db, random_agents(11, AGENTS))
    replica = side.replica()
    assert len(replica.columns) == AGENTS
    queries = list(random_queries(12, QUERIES))
    oracle.read()
    found = compared(oracle, replica, queries[: QUERIES // 2])

    # From here on all comes by the feed.
    change(side, oracle)
    follow(side, replica)
    oracle.read()
    found += compared(oracle, replica, queries[QUERIES // 2 :])
    assert replica.reloads == 1
    assert found >= QUERIES // 2, "most queries are answered by somebody"


def compared(oracle: RegistryOracle, replica: Replica, queries: list[Query]) -> int:
    """Hold answers against the oracle's; return how many found somebody."""
    cache, found = QueryCache(replica.columns), 0
    for query in queries:
        expected = oracle.answer(query)
        answers = [discover(replica.columns, query), cache.discover(query, now_s=0)]
        assert [[one.agent_id for one in got] for got in answers] == [expected] * 2, (
            f"to {query}"
        )
        found += bool(expected)
    return found


def change(side: RegistrySide, oracle: RegistryOracle) -> None:
    """Have agents say something else, leave, and be heard of."""
    rng = random.Random(13)
    known = sorted(side.log.states())
    others = [one.descriptor for one in random_agents(14, 150)]
    for agent_id, said in zip(rng.sample(known, 150), others, strict=True):
        fields = {"capabilities": said.capabilities, "version": said.version}
        before = side.log.some([agent_id])[agent_id].state
        assert before is not None
        side.desk.register(
            replace(before.descriptor, tags=said.tags, **fields), BECAUSE
        )
    for agent_id in rng.sample(known, 150):
        side.desk.deregister(agent_id, BECAUSE)
    left = sorted(side.log.states())
    beats = [(agent_id, drawn(rng)) for agent_id in rng.sample(left, len(left) // 2)]
    oracle.beats(beats)
    for at in range(0, len(beats), 1_000):
        assert side.desk.beat(beats[at : at + 1_000]) is not None


def drawn(rng: random.Random) -> dict[str, float]:
    """Draw metrics of a heartbeat."""
    return {
        "cpu_usage": round(rng.random(), 4),
        "error_rate": round(rng.random() / 4, 4),
        "response_time_ms": float(rng.choice([50, 1_900, 2_500, 4_000])),
        "queue_size": rng.randrange(40),
    }


def follow(side: RegistrySide, replica: Replica) -> None:
    """Return once a replica has read the feed to its end."""
    told = side.hot.checksum(side.hot.epoch)
    assert told is not None
    wait_until(
        lambda: replica._position is not None and replica._position.nth >= told[0],
        "the replica has read the feed",
    )
