"""Partitions are committed exactly once, whatever dies, and whatever is wiped."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.adapters.saga_records import Because
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.swarm import SwarmOrchestrator, SwarmReport, SwarmTask
from tests.conftest import migrate
from tests.support.front import front_door
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.chaos

WORKER = ("-I", "tests.support.swarm_agents", "-c", "2")


@pytest.fixture
def stack(private_servers: EmbeddedServers, make_stack: Callable[..., Stack]) -> Stack:
    """Workers on servers of the test's own, which may be wiped."""
    hot = private_servers.redis_url
    made = make_stack(
        {
            "DATABASE_URL": private_servers.database_url,
            "REDIS_URL": hot,
            "CELERY_BROKER_URL": hot.rsplit("/", 1)[0] + "/1",
            # It is renewed every third of this: who stands still for less is not lost.
            "ORCHESTRATION_LEASE_S": "6",
        },
        prepare=migrate,
    )
    for part in (made.chores(wait=False), made.beat(wait=False)):
        part.wait_ready()
    return made


@pytest.fixture
def swarm(stack: Stack) -> Iterator[SwarmOrchestrator]:
    with front_door(stack.env) as front:
        yield SwarmOrchestrator(front.bus)


def begin(swarm: SwarmOrchestrator, task: SwarmTask) -> str:
    announcements = swarm._bus.announcements
    wait_until(lambda: announcements.knows("@handler/work"), "the handler is announced")
    swarm._bus.partitions.desk.begin(task, Because(actor="test"))
    return task.swarm_id


def wait(swarm: SwarmOrchestrator, swarm_id: str) -> SwarmReport:
    return asyncio.run(swarm.wait(swarm_id, timeout_ms=200_000))


def committed(swarm: SwarmOrchestrator, swarm_id: str) -> list[int]:
    events = asyncio.run(swarm.events(swarm_id))
    return [
        event.data["partition"]
        for event in events
        if event.type == "PARTITION_COMMITTED"
    ]


def assert_exactly_once(
    swarm: SwarmOrchestrator, swarm_id: str, report: SwarmReport, count: int
) -> None:
    """Every partition is on record once, and the books are right."""
    assert report.result["partitions"] == {"done": count, "failed": 0, "pending": 0}
    once = Counter(committed(swarm, swarm_id))
    assert once == dict.fromkeys(range(count), 1)
    first, *rest = asyncio.run(swarm.events(swarm_id))
    colony = Colony.of(swarm_id, first)
    colony.fold(rest)
    assert colony.agents.energy == colony.agents.ledger.balance
    assert report.result["energy"]["total"] == colony.agents.energy
    assert sum(report.result["agent_partitions"].values()) == count


def lognormal(count: int, mean_ms: float) -> list[float]:
    dice = random.Random(count)
    return [round(mean_ms * dice.lognormvariate(-0.35, 0.83), 3) for _ in range(count)]


def test_each_is_committed_once_though_attempts_fail_and_a_worker_is_killed(
    stack: Stack, swarm: SwarmOrchestrator, tmp_path: Path
) -> None:
    doomed, _ = stack.worker(*WORKER), stack.worker(*WORKER)
    count = 1_000
    failing = {str(p): 1 for p in random.Random(5).sample(range(count), count // 20)}
    task = SwarmTask(
        "survive",
        count,
        100,
        handler="work",
        max_attempts=9,
        backoff_ms=50,
        metadata={"busy_ms": lognormal(count, 5), "failing": failing},
    )
    swarm_id = begin(swarm, task)
    wait_until(lambda: len(committed(swarm, swarm_id)) > 200, "it is under way")
    doomed.kill()
    stack.worker(*WORKER, wait=False)
    report = wait(swarm, swarm_id)
    assert_exactly_once(swarm, swarm_id, report, count)
    assert report.result["attempts"] >= count + len(failing)


def test_the_queue_is_built_anew_when_redis_is_wiped(
    stack: Stack, swarm: SwarmOrchestrator
) -> None:
    stack.worker(*WORKER)
    count = 300
    metadata: dict[str, Any] = {"busy_ms": [10] * count}
    given = {"handler": "work", "max_attempts": 9, "metadata": metadata}
    task = SwarmTask("be wiped", count, 20, **given)
    swarm_id = begin(swarm, task)
    for reached in (40, 150):
        wait_until(
            lambda least=reached: len(committed(swarm, swarm_id)) > least,
            f"{reached} are done",
        )
        with redis.Redis.from_url(stack.env["REDIS_URL"]) as server:
            server.flushall()
    report = wait(swarm, swarm_id)
    assert_exactly_once(swarm, swarm_id, report, count)


def test_a_process_killed_at_work_costs_one_attempt(
    stack: Stack, swarm: SwarmOrchestrator, tmp_path: Path
) -> None:
    stack.worker(*WORKER)
    metadata = {"kills": str(tmp_path / "killed")}
    task = SwarmTask("die", 20, handler="work", backoff_ms=20, metadata=metadata)
    swarm_id = begin(swarm, task)
    report = wait(swarm, swarm_id)
    assert_exactly_once(swarm, swarm_id, report, 20)
    failed = [
        event.data
        for event in asyncio.run(swarm.events(swarm_id))
        if event.type == "PARTITION_FAILED"
    ]
    assert [(one["partition"], one["how"]) for one in failed] == [(0, "expired")]


def test_a_swarm_whose_worker_is_away_waits_and_says_for_whom(
    stack: Stack, swarm: SwarmOrchestrator
) -> None:
    worker = stack.worker(*WORKER)
    swarm_id = begin(swarm, SwarmTask("warm up", 4, handler="work"))
    wait(swarm, swarm_id)
    worker.terminate()
    worker.wait()
    waits = begin(swarm, SwarmTask("wait", 10, handler="work"))
    fails = begin(swarm, SwarmTask("in vain", 10, handler="work", timeout_ms=1_500))

    def noted() -> str | None:
        return asyncio.run(swarm.status(waits)).waiting_for

    wait_until(noted, "it says what it waits for")
    assert noted() == "a worker that hosts handler 'work'"
    late = wait(swarm, fails)
    assert late.result["status"] == "TIMEOUT"
    assert late.result["partitions"]["pending"] == 10
    stack.worker(*WORKER, wait=False)
    assert wait(swarm, waits).result["partitions"]["done"] == 10
