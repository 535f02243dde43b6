"""Limits as they are decided: of open sagas, and of calls to an agent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.saga_records import AgentLimit, Because, Start
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Succeeded
from orchestration.core.saga.view import Parent
from orchestration.engine.attempts import Busy, open_attempt
from orchestration.errors import TooManySagas
from orchestration.saga import SagaTransaction
from tests.support.front import linear
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


# --- of open sagas


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    """Return a worker where two sagas may be open at once."""
    monkeypatch.setenv("ORCHESTRATION_MAX_OPEN_SAGAS", "2")
    # A claim counts against a limit until its lease runs out.
    with worker_side(database_url, redis_url, monkeypatch, lease_s=60) as side:
        said = [("action", f"agent-effects/{name}") for name in ("work", "unwork")]
        Announcements(side.rt.db).announce("worker@host", also=said)
        yield side


def begin(side: WorkerSide, transaction: SagaTransaction, **options: Any) -> bool:
    start = Start(transaction=transaction, initial_data={}, **options)
    return side.rt.desk.door.begin(start, Because())


def test_a_saga_beyond_the_limit_is_refused_and_leaves_no_trace(
    side: WorkerSide,
) -> None:
    side.begin()
    side.begin()
    refused = linear(1)
    with pytest.raises(TooManySagas, match="2 sagas are open"):
        begin(side, refused)
    assert side.types(refused.transaction_id) == []


def test_once_one_has_ended_another_may_begin(side: WorkerSide) -> None:
    ends, waiting = side.begin(linear(1)), linear(1)
    side.begin()
    with pytest.raises(TooManySagas):
        begin(side, waiting)
    side.close(side.open(ends, "s1"), Succeeded({}))

    def has_room() -> bool:
        try:
            return begin(side, waiting)
        except TooManySagas:  # it counts once a second
            return False

    wait_until(has_room, "there is room again")


def test_a_saga_that_has_begun_may_be_started_again_though_there_is_no_room(
    side: WorkerSide,
) -> None:
    one = linear(1)
    assert begin(side, one)
    side.begin()
    side.rt.desk.door.backpressure._counted_at = float("-inf")
    assert not begin(side, one)


def test_a_step_that_is_a_saga_is_let_in_with_its_parent(side: WorkerSide) -> None:
    parent = side.begin()
    side.begin()
    assert begin(side, linear(1), parent=Parent(parent, "s1"))


# --- of an agent


def ask(side: WorkerSide, saga_id: str, limit: AgentLimit) -> Any:
    message = side.message(saga_id, "s1")
    recorder = side.rt.recorder
    return open_attempt(recorder, message, Direction.DO, None, Because(), limit=limit)


def test_who_has_to_wait_for_an_agent_uses_up_no_attempt(side: WorkerSide) -> None:
    limit = AgentLimit("agent-narrow", max_concurrent=1)
    first, second = side.begin(), side.begin()
    claimed = ask(side, first, limit)
    for _ in range(3):
        assert isinstance(ask(side, second, limit), Busy)
    assert side.types(second) == ["SAGA_STARTED"]
    side.close(claimed, Succeeded({}))
    taken = ask(side, second, limit)
    assert taken.lease.attempt == 1


def test_those_who_wait_are_told_to_ask_one_after_the_other(side: WorkerSide) -> None:
    limit = AgentLimit("agent-narrow", max_concurrent=1)
    ask(side, side.begin(), limit)
    waits, times = [], []
    for _ in range(8):
        waits.append(ask(side, side.begin(), limit).wait_ms)
        row = side.row("SELECT extract(epoch FROM ask_at) FROM orch.agent_rate")
        assert row is not None
        times.append(float(row[0]))
    assert min(waits) >= 240  # whoever asks alone, asks four times a second
    # By the times themselves: who asks later has waited a part of it already.
    assert all(after - before > 0.049 for before, after in pairwise(times))


def test_nobody_waits_for_a_rate_longer_than_it_takes(side: WorkerSide) -> None:
    limit = AgentLimit("agent-paced", max_per_s=0.1)
    ask(side, side.begin(), limit)
    alone = ask(side, side.begin(), limit).wait_ms
    assert alone <= 10_000
    assert side.row("SELECT ask_at = free_at FROM orch.agent_rate") == (True,)
