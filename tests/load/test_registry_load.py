"""As many agents as may be registered: found, heard of, and judged, all at once.

What a process takes to know an agent, with its descriptor and its last heartbeat, is
measured as a size. Figures of time are printed; ``benchmarks`` measures them.
"""

from __future__ import annotations

import gc
import os
import time
import tracemalloc

import pytest

from orchestration.core.registry.discover import discover
from orchestration.core.registry.fold import fold
from orchestration.core.registry.query import Query
from tests.support.front import front_door
from tests.support.many_agents import enroll, fresh_agents
from tests.support.random_agents import random_agents, random_queries
from tests.support.registry import registry_side
from tests.support.stack import Stack
from tests.support.sweeping import Kept, again_and_again
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(280), pytest.mark.no_cover]

AGENTS = int(os.environ.get("LOAD_AGENTS", "10000"))
KB_PER_AGENT = 5
WEIGHED = 2_000
ROUNDS = 3


def test_agents_are_found_heard_of_and_judged_at_once(stack: Stack) -> None:
    stack.chores()
    everybody = [one.agent_id for one in fresh_agents(AGENTS)]
    ill = set(everybody[::3])
    expected = {"DEGRADED": len(ill), "ACTIVE": AGENTS - len(ill)}
    queries = [Query(capabilities=[f"capability-{n}"]) for n in range(50)]
    with front_door(stack.env) as front:
        kept = Kept(front)
        # None is late, however long the host takes for all of their heartbeats.
        enroll(kept.log.db, fresh_agents(AGENTS, interval_s=300.0))
        asked, wrong = 0, 0

        def ask() -> None:
            nonlocal asked, wrong
            found = kept.client.discover(queries[asked % 50])
            asked += 1
            wrong += len(found) != 10

        with kept.swept():  # which finds that Redis does not know them
            replica = kept.client.replica
            wait_until(lambda: len(replica.columns) == AGENTS, "all are known")
        with again_and_again(ask, every_s=0.001) as faults, kept.swept():
            began = time.monotonic()
            for nth in range(ROUNDS):
                kept.beat(set(everybody) - ill, error_rate=0.01 * nth, queue_size=nth)
                kept.beat(ill, error_rate=0.5, queue_size=50)
            took_s = time.monotonic() - began
            wait_until(
                lambda: kept.statuses() == expected,
                "all are judged",
            )
        assert (faults, wrong) == ([], 0)
        print(
            f"\n{AGENTS} agents: {asked} times asked; {ROUNDS * AGENTS / took_s:,.0f} "
            f"heartbeats/s sent, each confirmed; {kept.sweeps().count('HEALTH_SWEPT')} "
            "sweeps meanwhile"
        )
        # Everything agrees: events, rows, Redis, and what this process knows.
        wait_until(
            lambda: fold(kept.log.history()) == kept.log.states(), "rows are as events"
        )
        wait_until(kept.is_as_recorded, "Redis is as the rows")
        states = kept.log.states()
        wait_until(
            lambda: (
                kept.client.replica.columns.versions()
                == {key: one.version for key, one in states.items()}
            ),
            "the replica is as the rows",
        )
        assert {key for key, one in states.items() if one.status == "DEGRADED"} == ill


def test_an_agent_takes_little_room_in_a_process(
    database_url: str, redis_url: str
) -> None:
    with registry_side(database_url, redis_url) as side:
        enroll(side.db, random_agents(21, WEIGHED))
        known = sorted(side.log.states())
        side.sweep()  # builds the hot state
        metrics = {"cpu_usage": 0.5, "response_time_ms": 20.0, "queue_size": 3}
        for at in range(0, WEIGHED, 1_000):
            side.desk.beat([(one, metrics) for one in known[at : at + 1_000]])
        gc.collect()
        tracemalloc.start()
        try:
            replica = side.replica()
            for query in random_queries(22, 500):  # agents have been handed out
                discover(replica.columns, query)
            gc.collect()
            kb = tracemalloc.get_traced_memory()[0] / 1_024 / len(replica.columns)
        finally:
            tracemalloc.stop()
        print(f"\n{len(replica.columns)} agents known: {kb:.2f} KB for each")
        assert kb <= KB_PER_AGENT
