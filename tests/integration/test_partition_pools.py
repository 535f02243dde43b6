"""Partitions on RabbitMQ, and in pools whose slots are threads, or one process."""

from __future__ import annotations

import asyncio

import pytest

from orchestration.swarm import SwarmOrchestrator, SwarmTask
from tests.support.front import front_door
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

COUNT = 40


@pytest.mark.parametrize(
    ("broker", "pool"),
    [
        ("rabbitmq_url", "prefork"),
        ("redis_broker_url", "threads"),
        ("redis_broker_url", "solo"),
    ],
    ids=["rabbitmq", "threads", "solo"],
)
def test_work_is_shared_out_on_either_broker_and_in_any_pool(
    request: pytest.FixtureRequest, stack: Stack, broker: str, pool: str
) -> None:
    """Without beat, so that nothing makes up for what a message has not done."""
    stack.env["CELERY_BROKER_URL"] = request.getfixturevalue(broker)
    stack.worker("-I", "tests.support.swarm_agents", "-c", "2", pool=pool)
    with front_door(stack.env) as front:
        announcements = front.bus.announcements
        wait_until(lambda: announcements.knows("@handler/work"), "it is announced")
        swarm = SwarmOrchestrator(front.bus)
        failing = {"3": 1, "5": 2, "7": 9}
        metadata = {"failing": failing, "busy_ms": [5] * COUNT}
        given = {"handler": "work", "backoff_ms": 20, "metadata": metadata}
        task = SwarmTask("test", COUNT, 20, timeout_ms=200_000, **given)
        result = asyncio.run(swarm.deploy(task))
        values = [one.value for one in asyncio.run(swarm.results(task.swarm_id))]
    assert result["partitions"] == {"done": COUNT - 1, "failed": 1, "pending": 0}
    assert (result["failed_partitions"], result["attempts"]) == ([7], COUNT + 5)
    assert values == [p * p for p in range(COUNT) if p != 7]
    assert result["slots"] <= (1 if pool == "solo" else 2)
