"""The query cache: what it serves, and what it forgets."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.cache import QueryCache
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import discover
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.query import Query
from tests.support.random_agents import random_agent, random_agents, random_query
from tests.unit.profiles import examples

SERVED = {"status": AgentStatus.ACTIVE, "version": 1}


def replica(count: int) -> Columns:
    rng, columns = random.Random(7), Columns()
    for number in range(count):
        columns.put(random_agent(rng, f"agent-{number:03}", **SERVED))
    return columns


def ids(agents) -> list[str]:
    return [agent.agent_id for agent in agents]


@given(st.integers(0, 2**32))
@examples(40)
def test_whatever_changes_a_cached_answer_is_the_answer(seed):
    rng, columns = random.Random(seed), Columns()
    agents = list(random_agents(seed, 80))
    for agent in agents:
        columns.put(agent)
    cache, queries = QueryCache(columns), [random_query(rng) for _ in range(3)]
    for tick in range(40):
        agent = rng.choice(agents)
        match rng.randrange(5):
            case 0:
                columns.put(random_agent(rng, agent.agent_id, version=100 + tick))
            case 1:
                columns.drop(agent.agent_id, 100 + tick)
            case 2:
                columns.set_status(
                    [agent.agent_id], [rng.choice(list(AgentStatus))], [100 + tick]
                )
            case _:
                columns.beats([agent.agent_id], [rng.random()], [0.5], [2e9 + tick])
        query = rng.choice(queries)
        assert cache.discover(query, now_s=tick) == discover(columns, query)


def test_what_is_asked_again_is_a_hit_and_health_and_place_may_differ():
    cache = QueryCache(replica(10))
    assert cache.hit_rate == 0.0
    cache.discover(Query(tags="tag-01"), now_s=0)
    cache.discover(
        Query(tags="tag-01", min_health_score=0.9, location_preference="eu"), now_s=1
    )
    cache.discover(Query(tags="tag-02"), now_s=2)
    assert (cache.hits, cache.misses) == (1, 2)
    assert cache.hit_rate == 1 / 3


def test_heartbeats_and_statuses_forget_nothing():
    columns = replica(10)
    cache = QueryCache(columns)
    cache.discover(Query(), now_s=0)
    columns.beats(["agent-001"], [0.9], [0.1], [2e9])
    columns.set_status(["agent-001"], [AgentStatus.INACTIVE], [2])
    assert "agent-001" not in ids(cache.discover(Query(), now_s=1))
    assert cache.hits == 1


def test_who_comes_is_found_at_once_and_who_goes_is_not():
    columns = replica(3)
    cache = QueryCache(columns)
    assert len(cache.discover(Query(), now_s=0)) == 3
    columns.put(random_agent(random.Random(0), "agent-new", **SERVED))
    columns.drop("agent-000", 2)
    found = cache.discover(Query(), now_s=0)
    assert sorted(ids(found)) == ["agent-001", "agent-002", "agent-new"]


def test_rows_are_forgotten_after_their_time():
    cache = QueryCache(replica(3), ttl_s=30)
    for now_s in (0, 29, 30, 31):
        cache.discover(Query(), now_s=now_s)
    assert (cache.hits, cache.misses) == (2, 2)


def test_the_oldest_rows_make_room():
    cache = QueryCache(replica(50), max_rows=300)
    for cost in (1, 2, 3):  # each is 50 rows, and the entry itself
        cache.discover(Query(max_cost=cost), now_s=0)
    cache.discover(Query(max_cost=3), now_s=0)
    assert cache.hits == 1
    cache.discover(Query(max_cost=1), now_s=0)
    assert cache.hits == 1


def test_what_is_remembered_is_bounded_by_the_agents_there_are():
    columns = replica(4_000)
    cache = QueryCache(columns)
    for cost in range(1, 41):
        cache.discover(Query(max_cost=cost), now_s=0)
    cache.discover(Query(max_cost=40), now_s=0)
    assert cache.hits == 1
    cache.discover(Query(max_cost=1), now_s=0)
    assert cache.hits == 1


def test_a_change_that_says_the_same_forgets_nothing():
    columns = replica(3)
    cache = QueryCache(columns)
    cache.discover(Query(), now_s=0)
    columns.put(replace(columns.get("agent-001"), version=2))
    cache.discover(Query(), now_s=0)
    assert cache.hits == 1
