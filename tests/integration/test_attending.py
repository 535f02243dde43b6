"""Sagas that somebody acts upon just when they begin, or take their locks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_records import Because, Start
from orchestration.core.saga.acts import Who
from orchestration.core.saga.outcomes import Succeeded
from orchestration.saga import SagaStep, SagaTransaction
from tests.support.front import step
from tests.support.worker_side import WorkerSide

pytestmark = pytest.mark.integration


def test_locks_are_taken_also_if_the_saga_moves_while_they_are(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = side.begin(
        SagaTransaction("s", [SagaStep("wait", wait_for="go")], locks=["door"])
    )
    take_locks = SagaLog.take_locks
    signals = iter([1])

    def signalled_meanwhile(*args: Any) -> Any:
        for _ in signals:
            side.rt.desk.signal(saga_id, Who("ann"), name="go")
        return take_locks(*args)

    monkeypatch.setattr(SagaLog, "take_locks", signalled_meanwhile)
    side.rt.attendant.attend(saga_id, Because())
    assert side.types(saga_id) == [
        "SAGA_STARTED",
        "SIGNAL_RECEIVED",
        "LOCKS_ACQUIRED",
        "STEP_WAITING",
        "STEP_COMPLETED",
        "SAGA_COMPLETED",
    ]
    assert side.row("SELECT holder, fence FROM orch.saga_lock") == (None, 1)


def test_who_ends_a_saga_has_the_next_in_line_for_its_locks_looked_after(
    side: WorkerSide,
) -> None:
    holder, follower = (side.begin(count=1, locks=["door"]) for _ in range(2))
    for one in (holder, follower):
        side.rt.attendant.attend(one, Because())
    assert side.sent.steps == ["s1"]
    side.close(side.open(holder, "s1"), Succeeded({}))
    assert side.sent.attended == [follower]
    side.rt.attendant.attend(follower, Because())
    assert side.sent.steps == ["s1", "s1"]


class Anybody:
    """Somebody hosts everything."""

    def unknown(self, _wanted: Any) -> tuple[()]:
        return ()


def test_a_saga_that_is_signalled_as_it_begins_has_its_other_steps_sent(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = SagaTransaction(
        "s",
        [
            step("work"),
            SagaStep("wait", wait_for="go"),
            step("end", "work", "wait"),
        ],
    )
    record = SagaLog.record
    signals = iter([1])

    def signalled_meanwhile(*args: Any, **options: Any) -> Any:
        for _ in signals:
            side.rt.desk.signal(transaction.transaction_id, Who("ann"), name="go")
        return record(*args, **options)

    monkeypatch.setattr(SagaLog, "record", signalled_meanwhile)
    door = replace(side.rt.desk.door, hosts=Anybody())
    door.begin(Start(transaction=transaction, initial_data={}), Because())
    assert "work" in side.sent.steps
