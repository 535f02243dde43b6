"""Scatters on either broker, with agents that hang and workers that die."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration.errors import InsufficientResponses
from orchestration.message_bus import Message
from orchestration.routing import ScatterGather
from orchestration.scatter import ScatterEnd, ScatterResult
from tests.support.front import Front, front_door
from tests.support.scatter_agents import ELSEWHERE
from tests.support.stack import Stack, Started
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MODULE = ("-I", "tests.support.scatter_agents")


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, stack: Stack) -> Stack:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    return stack


@pytest.fixture
def elsewhere(broker: Stack) -> Started:
    """The worker of one agent; the others have one beside it."""
    here = broker.worker(*MODULE, "-Q", "agents.default", "-c", "3", wait=False)
    there = broker.worker(*MODULE, "-Q", "agents.elsewhere", "-c", "1", wait=False)
    here.wait_ready()
    return there.wait_ready()


@pytest.fixture
def front(broker: Stack, elsewhere: Started) -> Iterator[Front]:
    with front_door(broker.env) as front:
        yield front


def ask(front: Front, timeout_ms: int = 60_000, **payload: Any) -> ScatterResult:
    scatter = ScatterGather(SimpleNamespace(message_bus=front.bus))
    asked = Message(
        sender_id="test",
        recipient_id="calculator",
        message_type="REQUEST",
        payload=payload,
    )
    return asyncio.run(
        scatter.execute_detailed(
            request=asked,
            target_agents=["agent-a", "agent-b", ELSEWHERE],
            aggregation_strategy="AVERAGE",
            timeout_ms=timeout_ms,
            min_responses=2,
        )
    )


def test_agents_answer_hang_and_die_and_the_rest_is_averaged(
    front: Front, elsewhere: Started, tmp_path: Path
) -> None:
    says = {"agent-a": {"n": 1}, "agent-b": {"n": 2}, ELSEWHERE: {"n": 6}}
    result = ask(front, says=says)
    assert (result.value, result.end) == ({"n": 3}, ScatterEnd.COMPLETE)

    # One hangs: the deadline comes, and two are enough.
    gate = tmp_path / "gate"
    hung = ask(front, 10_000, says=says, waits={ELSEWHERE: str(gate)})
    gate.touch()
    assert hung.value == {"n": 1.5}
    # That the worker interrupts what hangs may be heard just in time.
    assert hung.end in (ScatterEnd.DEADLINE, ScatterEnd.COMPLETE)
    assert (*hung.missing, *hung.errors) == (ELSEWHERE,)

    # Its worker dies while it answers: the same.
    begun, never = tmp_path / "begun", tmp_path / "never"
    begun.mkdir()

    async def dies() -> ScatterResult:
        asking = asyncio.to_thread(
            ask,
            front,
            15_000,
            says=says,
            waits={ELSEWHERE: str(never)},
            begun=str(begun),
        )
        waiting = asyncio.create_task(asking)
        await asyncio.to_thread(
            wait_until, (begun / ELSEWHERE).exists, "the agent is at work"
        )
        elsewhere.kill()
        return await waiting

    died = asyncio.run(dies())
    assert (died.value, died.missing) == ({"n": 1.5}, (ELSEWHERE,))

    # Known, and in no worker: it is asked, and the rest does not wait beyond the time.
    with pytest.raises(InsufficientResponses) as refused:
        ask(front, 10_000, says=says, fails=["agent-a"])
    assert refused.value.responses == {"agent-b": {"n": 2}}
    assert refused.value.result.missing == (ELSEWHERE,)
