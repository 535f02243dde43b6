"""Discovery: the same answers as a plain search, in the same order."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import discover
from orchestration.core.registry.model import AgentStatus, RegisteredAgent, ServiceType
from orchestration.core.registry.query import Order, Query, cursor_after
from orchestration.errors import InvalidQuery
from tests.support.plain_discovery import plain_discover
from tests.support.random_agents import random_agent, random_agents, random_queries
from tests.unit.profiles import examples


def replica(agents) -> Columns:
    columns = Columns()
    for agent in agents:
        assert columns.put(agent)
    return columns


@cache
def many() -> tuple[Columns, tuple[RegisteredAgent, ...]]:
    agents = tuple(random_agents(1, 10_000))
    return replica(agents), agents


def an_agent(agent_id: str, **fields) -> RegisteredAgent:
    said = ("capabilities", "service_types", "tags", "sla", "cost_per_request")
    given = {name: fields.pop(name) for name in said if name in fields}
    code = fields.pop("code", "1.0.0")
    agent = random_agent(random.Random(0), agent_id)
    descriptor = replace(agent.descriptor, version=code, **given)
    plain = {"status": AgentStatus.ACTIVE, "health_score": 1.0, "load": 0.0}
    return replace(agent, descriptor=descriptor, **plain | fields)


def ids(agents) -> list[str]:
    return [agent.agent_id for agent in agents]


def pages(columns: Columns, query: Query):
    """Yield page after page."""
    while page := discover(columns, query):
        yield page
        query = replace(query, after=cursor_after(query, page[-1]))


@pytest.mark.no_cover  # tracing lines doubles its time
def test_a_thousand_queries_over_ten_thousand_agents_are_answered_as_by_plain_search():
    columns, agents = many()
    answered = 0
    for query in random_queries(2, 1_000):
        found = discover(columns, query)
        assert found == plain_discover(_narrowed(agents, query), query), query
        answered += bool(found)
    assert answered > 500


def _narrowed(agents, query: Query):
    """Leave out, by the first wanted word, most of what the slow search would ask."""
    if not query.capabilities:
        return agents
    return _with(query.capabilities[0].partition("@")[0])


@cache
def _with(name: str):
    return [
        agent
        for agent in many()[1]
        if any(one.partition("@")[0] == name for one in agent.descriptor.capabilities)
    ]


def test_many_agents_that_tie_come_in_the_order_of_their_ids():
    names = [f"agent-{'x' * (n % 23)}-é{n}" for n in range(500)]
    columns = replica(an_agent(name) for name in names)
    found = discover(columns, Query(max_results=40))
    assert ids(found) == sorted(names)[:40]


def test_agents_of_the_preferred_location_come_first_and_none_is_left_out():
    columns = replica(
        [
            an_agent("agent-a", location="eu", health_score=1.0),
            an_agent("agent-b", location="us", health_score=0.6),
        ]
    )
    assert ids(discover(columns, Query(location_preference="us"))) == [
        "agent-b",
        "agent-a",
    ]


def test_within_a_hundredth_of_health_the_lower_load_decides():
    columns = replica(
        [
            an_agent("agent-a", health_score=0.953, load=0.9),
            an_agent("agent-b", health_score=0.948, load=0.1),
            an_agent("agent-c", health_score=0.96, load=0.9),
        ]
    )
    assert ids(discover(columns, Query())) == ["agent-c", "agent-b", "agent-a"]


def test_the_cheapest_comes_first_where_cost_is_the_order():
    columns = replica(
        [
            an_agent("agent-a", cost_per_request=0.2, health_score=1.0),
            an_agent("agent-b", cost_per_request=0.1, health_score=0.5),
        ]
    )
    assert ids(discover(columns, Query(order="cost"))) == ["agent-b", "agent-a"]


def test_agents_that_are_inactive_or_gone_are_never_served():
    columns = replica(
        an_agent(f"agent-{status.lower()}", status=status) for status in AgentStatus
    )
    assert ids(discover(columns, Query())) == ["agent-active", "agent-degraded"]
    assert ids(discover(columns, Query(statuses="DEGRADED"))) == ["agent-degraded"]


def test_a_capability_may_be_asked_for_in_a_version():
    columns = replica(
        [
            an_agent("agent-none", capabilities=["calc"]),
            an_agent("agent-old", capabilities=["calc@1.0.0"]),
            an_agent("agent-both", capabilities=["calc@1.0.0", "calc@2.1.0"]),
            an_agent("agent-odd", capabilities=["calc@latest"]),
        ]
    )
    assert len(discover(columns, Query(capabilities=["calc"]))) == 4
    assert ids(discover(columns, Query(capabilities=["calc@^2"]))) == ["agent-both"]
    assert ids(discover(columns, Query(capabilities=["calc@=1.0.0"]))) == [
        "agent-both",
        "agent-old",
    ]


def test_who_promises_nothing_is_left_out_where_a_promise_is_asked_for():
    columns = replica(
        [
            an_agent("agent-a", sla={"max_latency_ms": 100, "availability": 0.99}),
            an_agent("agent-b", sla={}),
        ]
    )
    assert ids(discover(columns, Query(max_latency_ms=100))) == ["agent-a"]
    assert ids(discover(columns, Query(min_availability=0.99))) == ["agent-a"]
    assert not discover(columns, Query(min_availability=0.999))


def test_health_compares_as_it_was_written_however_it_travelled():
    columns = replica([an_agent("agent-a", health_score=0.5)])
    columns.beats(["agent-a"], [float("0.8999999761581421")], [0.3], [2e9])
    [found] = discover(columns, Query(min_health_score=0.9))
    assert found.health_score == 0.9


def test_an_agent_is_the_same_object_until_it_changes():
    columns = replica([an_agent("agent-a")])
    first, second = discover(columns, Query()), discover(columns, Query())
    assert first[0] is second[0]
    columns.beats(["agent-a"], [0.7], [0.1], [2e9])
    assert discover(columns, Query())[0].health_score == 0.7


def test_what_was_found_stays_as_it_was():
    columns = replica([an_agent("agent-a")])
    [found] = discover(columns, Query())
    columns.drop("agent-a", found.version + 1)
    assert (found.agent_id, found.health_score) == ("agent-a", 1.0)


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 120),
    size=st.integers(1, 40),
    order=st.sampled_from(Order),
    place=st.sampled_from([None, "us-east-1"]),
)
@examples(60)
def test_pages_cover_everything_once(seed, count, size, order, place):
    columns = replica(random_agents(seed, count))
    query = Query(max_results=size, order=order, location_preference=place)
    found = [agent for page in pages(columns, query) for agent in page]
    assert tuple(found) == discover(columns, replace(query, max_results=1_000))


@given(seed=st.integers(0, 2**32), size=st.integers(1, 20))
@examples(40)
def test_pages_show_each_agent_that_stays_once_whoever_comes_and_goes(seed, size):
    rng = random.Random(seed)
    agents = list(random_agents(seed, 60))
    columns = replica(agents)
    gone, shown = set(), []
    for number, page in enumerate(pages(columns, Query(max_results=size))):
        shown += ids(page)
        columns.put(random_agent(rng, f"agent-new-{number}", version=1))
        left = rng.choice(agents)
        columns.drop(left.agent_id, left.version + 1)
        gone.add(left.agent_id)
    served = {a.agent_id for a in agents if a.status in Query().statuses}
    assert len(shown) == len(set(shown))
    assert served - gone <= set(shown)


def test_by_id_pages_show_each_agent_once_however_the_ranking_moves():
    names = [f"agent-{number:03}" for number in range(50)]
    columns = replica(an_agent(name) for name in names)
    rng, shown = random.Random(3), []
    for page in pages(columns, Query(max_results=7, order=Order.AGENT_ID)):
        shown += ids(page)
        health = [rng.uniform(0.5, 1) for _ in names]
        columns.beats(names, health, health, [2e9 + len(shown)] * len(names))
    assert shown == names


def test_a_cursor_goes_with_its_query_alone():
    columns = replica(an_agent(f"agent-{number}") for number in range(5))
    query = Query(max_results=2)
    cursor = cursor_after(query, discover(columns, query)[-1])
    assert len(discover(columns, replace(query, after=cursor, max_results=4))) == 3
    with pytest.raises(InvalidQuery, match="no cursor of this query"):
        discover(columns, replace(query, after=cursor, tags=["t"]))


@pytest.mark.parametrize("cursor", ["x", "", "ÄÖ", "bnVsbA==", "W10=", "e30="])
def test_what_is_no_cursor_is_refused(cursor):
    with pytest.raises(InvalidQuery, match="no cursor of this query"):
        discover(Columns(), Query(after=cursor))


def test_two_queries_that_ask_the_same_are_equal():
    first = Query(capabilities=["b", "a", "a"], service_types="data", order="cost")
    second = Query(
        capabilities=("a", "b"), service_types=[ServiceType.DATA], order=Order.COST
    )
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"capabilities": 5}, "capabilities is 5: give a list of texts"),
        ({"capabilities": [""]}, "capabilities has '': give texts"),
        ({"capabilities": ["@1"]}, "capability '@1' has no name"),
        ({"capabilities": ["a@b"]}, "capability 'a@b': version constraint 'b'"),
        ({"capabilities": ["a@"]}, "capability 'a@': version constraint ''"),
        ({"tags": [None]}, "tags has None"),
        ({"service_types": ["COOKING"]}, "service_types has 'COOKING': use COMPUTA"),
        ({"service_types": 1}, "service_types is 1: give a list of ServiceType"),
        ({"statuses": ["INACTIVE"]}, "statuses has INACTIVE: such agents are never"),
        ({"statuses": []}, "statuses is empty"),
        ({"version_constraint": ">>1"}, "version constraint '>>1'"),
        ({"version_constraint": 1}, "a version constraint is 1"),
        ({"min_health_score": 1.5}, "min_health_score is 1.5: give a number, 0.0 to"),
        ({"min_health_score": None}, "min_health_score is None"),
        ({"max_cost": -1}, "max_cost is -1: give a number, 0 or more"),
        ({"max_latency_ms": float("nan")}, "max_latency_ms is nan"),
        ({"min_availability": "high"}, "min_availability is 'high'"),
        ({"max_results": 0}, "max_results is 0: give a whole number, 1 or more"),
        ({"max_results": True}, "max_results is True"),
        ({"location_preference": 3}, "location_preference is 3: give a text"),
        ({"after": 3}, "after is 3: give a text"),
        ({"order": "LUCK"}, "order is 'LUCK': use HEALTH, COST, AGENT_ID"),
    ],
)
def test_a_fault_of_a_query_is_named(fields, fault):
    with pytest.raises(InvalidQuery) as refused:
        discover(Columns(), Query(**fields))
    assert [one for one in refused.value.faults if one.startswith(fault)]


def test_all_faults_of_a_query_are_named_at_once():
    with pytest.raises(InvalidQuery) as refused:
        discover(Columns(), Query(max_results=-1, max_cost=-1, tags=[1]))
    assert len(refused.value.faults) == 3
