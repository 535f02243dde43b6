"""Messages on either broker; without beat, so that none is made up for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from orchestration.agent_registry import AgentRegistry
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, front_door, linear, step
from tests.support.registry import descriptor
from tests.support.shared import shared_stack, wait_all_ready
from tests.support.stack import Stack

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def running(
    broker_url: str,
    postgres_server: str,
    redis_databases: tuple[str, str],
    effects: Effects,
) -> Iterator[Stack]:
    """A worker and a chores worker, on either broker."""
    settings = {"EFFECTS_FILE": str(effects.path)}
    with shared_stack(
        postgres_server, redis_databases, broker_url, **settings
    ) as stack:
        stack.worker("-I", "tests.support.effects_agents", "-c", "2", wait=False)
        stack.chores(wait=False)
        yield wait_all_ready(stack)


def test_probes_children_and_acts_go_by_messages(
    front: Front, effects: Effects, running: Stack, tmp_path: Path
) -> None:
    # A probe is a task of the agent's pool.
    probed = front.run(linear(2, s1={"fail": "unseen", "probe": "look"}))
    assert probed.state is SagaState.COMPLETED
    assert effects.lines(probed.saga_id, "probe") == ["s1"]

    # Chores begin a child, hear of its end, and have it undone.
    family = SagaTransaction(
        "family",
        [SagaStep("child", saga=linear(2)), step("last", "child", fail="for good")],
    )
    undone = front.run(family)
    assert undone.state is SagaState.COMPENSATED
    child = undone.child_ids["child"]
    assert effects.lines(child, "undo") == ["s2", "s1"]

    # They take locks.
    locked = front.run(linear(1, locks=["door"]))
    assert [e.locks for e in effects.all(locked.saga_id)] == [{"door": 1}] * 2

    # They pass on what is asked of a parent.
    gate = tmp_path / "gate"
    inner = linear(2, s1={"wait_for_file": str(gate)})
    saga_id = front.start(SagaTransaction("family", [SagaStep("child", saga=inner)]))
    child = front.await_event(saga_id, "STEP_WAITING").data["for"]["saga"]
    effects.await_begin(child, "s1")
    front.act("pause", saga_id)
    front.await_event(child, "SAGA_PAUSED")
    front.act("resume", saga_id)
    front.await_event(child, "SAGA_RESUMED")

    # A producer without this package cancels: the parent, and by it the child.
    bare = Celery(broker=running.env["CELERY_BROKER_URL"], set_as_current=False)
    bare.send_task("saga.cancel", kwargs={"saga_id": saga_id, "why": "no more"})
    front.await_event(child, "SAGA_CANCEL_REQUESTED")
    bare.close()
    gate.touch()
    assert front.wait(saga_id).is_cancelled
    assert effects.left(child) == set()


def test_heartbeats_are_confirmed_and_arrive(running: Stack) -> None:
    async def beat(registry: AgentRegistry, elsewhere: AgentRegistry) -> float:
        await registry.initialize()
        await registry.register(descriptor("agent-a"))
        await elsewhere.initialize()
        await registry.heartbeat("agent-a", {"error_rate": 0.25})
        async with asyncio.timeout(30):
            while (await elsewhere.get("agent-a")).last_heartbeat is None:
                await asyncio.sleep(0.02)
        return (await elsewhere.get("agent-a")).health_score

    with front_door(running.env) as front, front_door(running.env) as other:
        telling = beat(AgentRegistry(front.bus), AgentRegistry(other.bus))
        assert asyncio.run(telling) == 0.75
