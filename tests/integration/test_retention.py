"""Ended sagas leave the lists in time; what they did stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestration.adapters.saga_records import Because, Start
from orchestration.core.saga.acts import Who
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.engine.retention import retire_ended
from orchestration.errors import SagaConflict
from orchestration.saga import SagaState, SagaTransaction
from tasks.chores import retire
from tests.support.front import linear
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

AGES_S = 1e9  # in which no tick of a schedule ends while a test runs
FOR_GOOD = Failed({"type": "X", "message": "x"}, retryable=False)


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    monkeypatch.setenv("ORCHESTRATION_SAGA_RETENTION_DAYS", "30")
    with worker_side(database_url, redis_url, monkeypatch) as side:
        monkeypatch.setattr("tasks.chores.runtime", lambda _: side.rt)
        yield side


def completed(
    side: WorkerSide, transaction: SagaTransaction | None = None, *, days_ago: float = 0
) -> str:
    saga_id = side.begin(transaction or linear(1))
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    side.run(
        "UPDATE orch.ended_saga SET ended_at = now() - make_interval(secs => %s)"
        " WHERE saga_id = %s",
        days_ago * 86_400,
        saga_id,
    )
    return saga_id


def listed(side: WorkerSide) -> set[str]:
    return {one.saga_id for one in side.rt.index.find()}


def test_ended_sagas_leave_the_lists_when_their_days_are_over(side: WorkerSide) -> None:
    old = completed(side, linear(1, search_attributes={"order": 7}), days_ago=30.1)
    young = completed(side, days_ago=29.9)
    assert retire.run() == 1
    assert listed(side) == {young}
    assert side.row("SELECT 1 FROM orch.search_attributes") is None
    view = side.rt.log.view(old)
    assert (view.state, len(side.types(old))) == (SagaState.COMPLETED, 4)


def test_a_saga_that_waits_for_a_person_stays_however_old(side: WorkerSide) -> None:
    saga_id = side.begin(linear(1, on_failure="HALT"))
    side.close(side.open(saga_id, "s1"), FOR_GOOD)
    side.run("UPDATE orch.open_saga SET started_at = now() - interval '9 years'")
    assert retire.run() == 0
    assert listed(side) == {saga_id}


def test_a_retired_saga_is_known_when_it_is_started_again(side: WorkerSide) -> None:
    transaction = linear(1)
    completed(side, transaction, days_ago=31)
    retire.run()
    again = Start(transaction=transaction, initial_data={})
    assert side.rt.log.begin(again, Because()) is None
    with pytest.raises(SagaConflict):
        side.rt.log.begin(
            Start(transaction=transaction, initial_data={"a": 1}), Because()
        )
    assert listed(side) == set()


def test_a_retired_saga_can_still_be_acted_upon(side: WorkerSide) -> None:
    saga_id = completed(side, days_ago=31)
    retire.run()
    assert side.rt.desk.undo(saga_id, Who("operator")).state is SagaState.COMPENSATING
    assert listed(side) == {saga_id}


def test_rows_go_in_batches_and_what_is_left_goes_next_time(side: WorkerSide) -> None:
    side.run(
        "INSERT INTO orch.ended_saga SELECT 'saga-' || n, 'old', 'COMPLETED', now(),"
        " now() - interval '31 days' FROM generate_series(1, 25) AS n"
    )
    days_30 = 30 * 86_400.0
    assert retire_ended(side.rt.index, days_30, batch=10, batches=2) == 20
    assert retire_ended(side.rt.index, days_30, batch=10, batches=2) == 5


def test_it_is_done_once_an_hour_whoever_is_told(side: WorkerSide) -> None:
    completed(side, days_ago=31)
    assert retire.run(period_s=AGES_S) == 1
    completed(side, days_ago=31)
    assert retire.run(period_s=AGES_S) == 0
