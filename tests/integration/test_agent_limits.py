"""Limits of an agent over all workers: of calls at once, and of calls a second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest

from orchestration.saga import SagaStep, SagaTransaction
from tests.support.front import Effects, Front
from tests.support.shared import shared_stack, wait_all_ready
from tests.support.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PER_S = 5


@pytest.fixture(scope="module")
def running(
    postgres_server: str, redis_databases: tuple[str, str], effects: Effects
) -> Iterator[Stack]:
    """Two workers that could do six steps at once."""
    settings = {"EFFECTS_FILE": str(effects.path)}
    with shared_stack(postgres_server, redis_databases, **settings) as stack:
        for _ in range(2):
            stack.worker("-I", "tests.support.crowded_agents", "-c", "3", wait=False)
        stack.chores(wait=False)
        stack.beat(wait=False)
        yield wait_all_ready(stack)


def run(front: Front, agent_id: str, count: int, **metadata: Any) -> list[str]:
    """Run so many sagas of one step of an agent; none of them needed a second try."""
    options = {"action": "work", "read_only": True, "metadata": metadata}
    ids = [
        front.client.start(SagaTransaction("one", [SagaStep("s", agent_id, **options)]))
        for _ in range(count)
    ]
    for saga_id in ids:
        status = front.wait(saga_id)
        assert status.state == "COMPLETED"
        assert [step.attempts for step in status.steps] == [1]
    return ids


@pytest.mark.slow
def test_an_agent_is_never_given_more_at_once_than_it_may(
    front: Front, effects: Effects
) -> None:
    ids = run(front, "agent-narrow", 24, sleep_s=0.15)
    done = effects.all(*ids)
    at_once = [*accumulate(1 if one.what == "begin" else -1 for one in done)]
    assert max(at_once) == 2
    assert sum(one.what == "do" for one in done) == 24


@pytest.mark.slow
def test_an_agents_rate_is_held_over_all_workers(front: Front) -> None:
    ids = run(front, "agent-paced", 30)
    starts = sorted(
        event.recorded_at
        for saga_id in ids
        for event in front.client.history(saga_id)
        if event.type == "STEP_STARTED"
    )
    assert len(starts) == 30
    assert rate_of(starts) <= 1.1 * PER_S
    # All that it may get, it gets; but for a time in which the host stands still.
    some = [starts[at : at + 10] for at in range(len(starts) - 9)]
    assert max(map(rate_of, some)) >= 0.9 * PER_S
    # One call may be early, for one before it that was late.
    assert most_in_a_second(starts) <= PER_S + 2


def rate_of(starts: list[datetime]) -> float:
    return (len(starts) - 1) / (starts[-1] - starts[0]).total_seconds()


def most_in_a_second(starts: list[datetime]) -> int:
    second = timedelta(seconds=1)
    return max(sum(at <= one < at + second for one in starts) for at in starts)
