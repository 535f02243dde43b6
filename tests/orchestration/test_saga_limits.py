"""What there may be too much of: open sagas, data, calls of an agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import PayloadTooLarge, SagaNotFound, TooManySagas
from orchestration.message_bus import MessageBus
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MODULES = "tests.support.effects_agents,tests.support.limited_agents"

Gate = Callable[[], Path]


def of(agent_id: str, count: int, **options: object) -> SagaTransaction:
    """Return a saga of that many steps at once, all of one agent."""
    steps = [step(f"s{n}", **options) for n in range(count)]
    end = step("end", *(one.name for one in steps), returns={})
    return SagaTransaction(
        "limited",
        [*(replace(one, agent_id=agent_id, compensation=None) for one in steps), end],
    )


def test_no_more_sagas_are_begun_than_may_be_open(front: Front) -> None:
    waiting = SagaTransaction("open", [SagaStep("wait", wait_for="go")])
    saga_id = front.start(waiting)
    settings = front.bus.settings.model_copy(update={"max_open_sagas": 1})
    bus = MessageBus(settings)
    asyncio.run(bus.initialize())
    full = Front(bus)
    another = linear(1)
    with pytest.raises(TooManySagas, match="1 sagas are open, which is the limit"):
        full.start(another)
    with pytest.raises(SagaNotFound):
        front.status(another.transaction_id)
    # What has begun already is no other saga.
    assert full.start(waiting) == saga_id
    full.act("signal", saga_id, "go")
    assert full.wait(saga_id).state is SagaState.COMPLETED

    def begins() -> bool:
        try:
            return full.start(another) == another.transaction_id
        except TooManySagas:
            return False

    wait_until(begins, "there is room again")
    assert full.wait(another.transaction_id).state is SagaState.COMPLETED
    asyncio.run(bus.close())


@pytest.mark.parametrize("size", [300_000, 2_000_000])
def test_data_over_the_limit_are_refused_before_the_start(
    front: Front, size: int
) -> None:
    transaction = linear(1)
    with pytest.raises(PayloadTooLarge, match="the limit is 262144"):
        front.start(transaction, blob="x" * size)
    with pytest.raises(PayloadTooLarge, match="the limit is 262144"):
        front.start(linear(1, s1={"returns": {"x": "y" * size}}))
    with pytest.raises(SagaNotFound):
        front.status(transaction.transaction_id)


@pytest.mark.parametrize("kind", ["big", "huge", "nan", "list"])
def test_an_output_that_cannot_be_stored_is_an_effect_without_a_record(
    front: Front, kind: str
) -> None:
    bad = {"action": "return_what", "kind": kind, "max_recoveries": 0}
    status = front.run(linear(1, s1=bad))
    [unknown] = front.told(status.saga_id, "STEP_UNKNOWN")
    words = {
        "big": "the limit is 262144",
        "huge": "the limit is 262144",
        "nan": "no JSON",
        "list": "returned list",
    }
    assert words[kind] in unknown["error"]["message"]
    assert status.compensated_steps == ("s1",)


def test_an_agents_actions_run_no_more_at_once_than_it_allows(
    front: Front, effects: Effects
) -> None:
    """Four children are free; one at a time has the agent."""
    status = front.run(of("agent-single", 4, sleep_s=0.1))
    assert status.state is SagaState.COMPLETED
    seen = [(e.what, e.step) for e in effects.all(status.saga_id)][:8]
    assert [what for what, _ in seen] == ["begin", "do"] * 4
    assert all(seen[at][1] == seen[at + 1][1] for at in range(0, 8, 2))
    # Waiting for its turn uses up no attempt.
    assert [one.attempts for one in status.steps] == [1] * 5


def test_an_agent_is_not_called_more_often_than_it_allows(front: Front) -> None:
    """Twelve calls at four a second: the last begins after eleven quarters."""
    status = front.run(of("agent-rated", 12))
    assert status.state is SagaState.COMPLETED
    events = front.history(status.saga_id)
    begun = [
        event.recorded_at
        for event in events
        if event.type == "STEP_STARTED" and event.data["step"] != "end"
    ]
    assert len(begun) == 12
    # From the saga's start: the first call may be recorded long after it was let in.
    # One call that nobody made before the first may be made up for.
    assert (begun[-1] - events[0].recorded_at).total_seconds() >= 2.4
