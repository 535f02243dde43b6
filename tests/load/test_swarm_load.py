"""Many swarms of many agents that share out work at once, and one of ten thousand."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from celery import Celery

from eventstore.verify import verify
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.swarm import SwarmOrchestrator, SwarmTask
from tests.support.front import Front, front_door
from tests.support.shared import shared_stack, wait_all_ready
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

SWARMS = int(os.environ.get("LOAD_SWARMS", "10"))
AGENTS = 1_000
PARTITIONS = 100
MOST_AGENTS = 10_000
NUMBERS = range(1_000)  # of the data source


@pytest.fixture(scope="module")
def running(postgres_server: str, redis_databases: tuple[str, str]) -> Iterator[Stack]:
    """Two slots, a chores worker and beat."""
    settings = {"ORCHESTRATION_MAX_SWARM_AGENTS": str(MOST_AGENTS)}
    with shared_stack(postgres_server, redis_databases, **settings) as stack:
        stack.worker("-I", "tests.support.swarm_agents", "-c", "2", wait=False)
        stack.chores(wait=False)
        stack.beat(wait=False)
        yield wait_all_ready(stack)


@pytest.fixture(scope="module")
def front(running: Stack) -> Iterator[Front]:
    with front_door(running.env) as front:
        announcements = front.bus.announcements
        wait_until(lambda: announcements.knows("@handler/sums"), "it is announced")
        yield front


def test_swarms_of_a_thousand_agents_do_each_partition_once(front: Front) -> None:
    swarms = SwarmOrchestrator(front.bus)
    tasks = [
        SwarmTask(
            f"sum up {number}",
            PARTITIONS,
            AGENTS,
            handler="sums",
            metadata={"data_source": "numbers"},
        )
        for number in range(SWARMS)
    ]

    async def act() -> list[dict]:
        return await asyncio.gather(*(swarms.deploy(task) for task in tasks))

    begin = time.monotonic()
    results = asyncio.run(act())
    took_s = time.monotonic() - begin
    for task, result in zip(tasks, results, strict=True):
        assert result["status"] == "COMPLETED"
        done = {"done": PARTITIONS, "failed": 0, "pending": 0}
        assert result["partitions"] == done
        first, *rest = asyncio.run(swarms.events(task.swarm_id))
        committed = [e.data for e in rest if e.type == "PARTITION_COMMITTED"]
        once = Counter(one["partition"] for one in committed)
        assert once == dict.fromkeys(range(PARTITIONS), 1)
        assert sum(one["value"] for one in committed) == sum(NUMBERS)
        assert sum(one["rows"] for one in committed) == result["rows"] == len(NUMBERS)
        assert sum(result["agent_partitions"].values()) == PARTITIONS
        colony = Colony.of(task.swarm_id, first)
        colony.fold(rest)
        assert colony.agents.state.size == AGENTS
        assert colony.agents.energy == colony.agents.ledger.balance
    assert len({result["state_hash"] for result in results}) == 1
    assert verify(front.bus._connected.engine).sound
    print(
        f"\n{SWARMS} swarms of {AGENTS:,} agents: {SWARMS * PARTITIONS:,} partitions "
        f"in {took_s:.1f} s, {sum(result['iterations'] for result in results)} ticks"
    )


def test_ten_thousand_agents_work_where_the_setting_allows_it(
    front: Front, running: Stack
) -> None:
    """By a producer without this package: the workers' setting is what counts."""
    swarms = SwarmOrchestrator(front.bus)
    client = Celery(broker=running.env["CELERY_BROKER_URL"], set_as_current=False)
    given = {
        "objective": "sum up",
        "data_partitions": PARTITIONS,
        "agents_required": MOST_AGENTS,
        "handler": "sums",
        "metadata": {"data_source": "numbers"},
    }
    for agents, name in ((MOST_AGENTS + 1, "too-many"), (MOST_AGENTS, "many")):
        kwargs = {"task": {**given, "agents_required": agents}, "swarm_id": name}
        client.send_task("swarm.deploy", kwargs=kwargs, ignore_result=True)
    client.close()
    log = front.bus.swarms.log
    wait_until(lambda: log.read("many"), "it has begun")
    report = asyncio.run(swarms.wait("many", timeout_ms=200_000))
    assert report.agents == MOST_AGENTS
    assert report.result["partitions"]["done"] == PARTITIONS
    values = [one.value for one in asyncio.run(swarms.results("many"))]
    assert sum(values) == sum(NUMBERS)
    assert log.read("too-many") == ()
