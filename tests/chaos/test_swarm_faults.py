"""A swarm among kills and wipes comes to the state of an undisturbed one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
import redis

from orchestration.adapters.embedded import EmbeddedServers
from tests.conftest import migrate
from tests.support.stack import Stack, Started
from tests.support.swarming import CUBE, Swarming, swarming

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(900)]

WORKER = ("-c", "2")


@pytest.fixture
def servers() -> Iterator[EmbeddedServers]:
    """Servers that keep what was committed, as in production."""
    with EmbeddedServers() as servers:
        yield servers


@pytest.fixture
def stack(servers: EmbeddedServers, make_stack: Callable[..., Stack]) -> Stack:
    environment = servers.environment | {
        "ORCHESTRATION_SWARM_STILL_S": "0.5",
        "ORCHESTRATION_SWARM_SNAPSHOT_S": "0.1",
    }
    migrate(environment)
    return make_stack(environment)


@pytest.fixture
def front(stack: Stack) -> Iterator[Swarming]:
    with swarming(stack.env) as front:
        yield front


def undisturbed(front: Swarming, iterations: int) -> str:
    """Return the state that an undisturbed swarm comes to."""
    return front.optimize(iterations=iterations, iterations_per_task=50).state_hash


@pytest.mark.slow
def test_twenty_killed_workers_cost_no_iteration_and_no_bit(
    front: Swarming, stack: Stack
) -> None:
    stack.chores()
    stack.beat()
    worker = stack.worker(*WORKER)
    wanted = undisturbed(front, 1_000)
    swarm_id = front.start(iterations=1_000)
    draw = random.Random(5)
    for at in sorted(draw.sample(range(1, 980), 20)):
        front.await_iteration(swarm_id, at)
        worker.kill()
        worker = stack.worker(*WORKER)
    report = front.wait(swarm_id, timeout_s=400)
    assert report.state_hash == wanted
    assert front.iterations(swarm_id) == list(range(1, 1_001))


@pytest.mark.slow
def test_settings_evolve_to_the_same_whoever_is_killed(
    front: Swarming, stack: Stack
) -> None:
    stack.chores()
    stack.beat()
    worker = stack.worker(*WORKER)
    told = {"generations": 20, "seed": 4, "evaluations": 4_000, "searches": 5}

    def begun() -> str:
        return asyncio.run(front.swarm.start_tuning("rastrigin", CUBE, **told))

    wanted = front.wait(begun(), timeout_s=400)
    swarm_id = begun()
    for at in (1, 6, 11):
        front.await_iteration(swarm_id, at)
        worker.kill()
        worker = stack.worker(*WORKER)
    report = front.wait(swarm_id, timeout_s=400)
    assert report.state_hash == wanted.state_hash
    assert report.settings == wanted.settings
    assert front.iterations(swarm_id) == list(range(1, 21))


@pytest.mark.slow
def test_worker_and_beat_killed_in_turn_lose_no_iteration(
    front: Swarming, stack: Stack
) -> None:
    stack.chores()
    parts: dict[str, Started] = {"worker": stack.worker(*WORKER), "beat": stack.beat()}
    wanted = undisturbed(front, 1_000)
    swarm_id = front.start(iterations=1_000)
    for nth in range(6):
        front.await_iteration(swarm_id, 150 * (nth + 1))
        which = ("worker", "beat")[nth % 2]
        parts[which].kill()
        parts[which] = stack.worker(*WORKER) if which == "worker" else stack.beat()
    report = front.wait(swarm_id, timeout_s=400)
    assert report.state_hash == wanted
    assert front.iterations(swarm_id) == list(range(1, 1_001))


def test_a_wiped_redis_is_resumed_from_the_snapshot(
    front: Swarming, stack: Stack
) -> None:
    stack.chores()
    stack.beat()
    worker = stack.worker(*WORKER)
    wanted = undisturbed(front, 600)
    swarm_id = front.start(iterations=600)
    front.await_iteration(swarm_id, 250)
    worker.kill()  # what its processes remember goes as well
    with redis.Redis.from_url(stack.env["REDIS_URL"]) as client:
        client.flushall()
    assert front.bus.swarms.log.snapshot(swarm_id) is not None
    stack.worker(*WORKER)
    report = front.wait(swarm_id, timeout_s=400)
    assert report.state_hash == wanted
    assert front.iterations(swarm_id) == list(range(1, 601))


@pytest.mark.slow
def test_killed_workers_cost_a_federation_no_iteration_and_no_bit(
    front: Swarming, stack: Stack
) -> None:
    stack.chores()
    stack.beat()
    worker = stack.worker(*WORKER)
    told = {"islands": 4, "migrate_every": 10, "iterations": 600}
    wanted = front.optimize(**told, iterations_per_task=50).state_hash
    swarm_id = front.start(**told, evaluate="islands")
    for at in sorted(random.Random(6).sample(range(1, 580), 3)):
        front.await_iteration(swarm_id, at)
        worker.kill()
        worker = stack.worker(*WORKER)
    report = front.wait(swarm_id, timeout_s=400)
    assert report.state_hash == wanted
    assert front.iterations(swarm_id) == list(range(1, 601))
