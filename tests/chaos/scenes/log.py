"""Scenes where the log is written to, or a step is claimed, out of turn."""

from __future__ import annotations

import threading
from uuid import uuid4

from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_records import (
    Because,
    Lease,
    LeaseChange,
    Record,
    Start,
)
from orchestration.core.saga.events import EventType, NewFact, SagaEvent
from orchestration.core.saga.fold import apply
from orchestration.core.saga.forward import routed
from orchestration.core.saga.model import (
    Direction,
    SagaState,
    SagaStep,
    SagaTransaction,
)
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.errors import SagaConflict
from tests.chaos.scenes.common import (
    AT_ONE,
    WHO,
    announce,
    deliver,
)
from tests.support.front import linear
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide


def one_message_twice(side: WorkerSide) -> bool:
    """Two deliveries of one message claim by what it says."""
    saga_id = side.begin()
    assert deliver(side, saga_id, "s1", AT_ONE)
    deliver(side, saga_id, "s1", AT_ONE)
    return side.types(saga_id).count("STEP_STARTED") > 1


def two_claims_at_once(side: WorkerSide) -> bool:
    """The second claim begins while the first has not committed."""
    saga_id = side.begin()
    with side.rt.log.transaction() as connection:
        side.rt.log.record(_claim_of(saga_id), Because(), connection=connection)
        other = threading.Thread(target=deliver, args=(side, saga_id, "s1", AT_ONE))
        other.start()
        wait_until(
            lambda: side.row(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
            ),
            "the second claim waits for the first",
        )
    other.join()
    return side.types(saga_id).count("STEP_STARTED") > 1


def _claim_of(saga_id: str) -> Record:
    token = str(uuid4())
    opened = {"step": "s1", "attempt": 1, "round": 1, "token": token}
    return Record(
        saga_id=saga_id,
        expected=1,
        facts=(NewFact(EventType.STEP_STARTED, opened),),
        state=SagaState.RUNNING,
        lease=Lease(saga_id, "s1", Direction.DO, 1, token),
        change=LeaseChange.TAKE,
        lease_s=5,
        limit_s=60,
    )


def healed_by_one_who_looked_before(side: WorkerSide) -> bool:
    """A healer that read the saga before its claim writes after it."""
    saga_id = side.begin()
    before = side.rt.log.view(saga_id)
    side.open(saga_id, "s1")
    view, SagaLog.view = SagaLog.view, lambda *_: before
    try:
        side.rt.log.heal(saga_id)
    finally:
        SagaLog.view = view
    row = side.row("SELECT version FROM orch.open_saga WHERE saga_id = %s", saga_id)
    return row != (2,)


def begun_again_when_over(side: WorkerSide) -> bool:
    """A start is told again after the saga has ended."""
    start = Start(transaction=linear(1), initial_data={})
    saga_id = start.transaction.transaction_id
    side.rt.log.begin(start, Because())
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    try:
        return side.rt.log.begin(start, Because()) is not None
    except SagaConflict:
        return False


def start_message_twice(side: WorkerSide) -> bool:
    """A producer without this package sends no id, and its message is doubled."""
    from tasks.saga import start

    announce(side)
    definition = linear(1).to_json()
    ids = set()
    for _ in range(2):
        start.push_request(id="7a0e5ac6-8b1d-4d0c-9d2b-0a3f5b6c7d8e")
        try:
            ids.add(start.run(definition, {}))
        finally:
            start.pop_request()
    return len(ids) > 1


def message_while_it_runs(side: WorkerSide) -> bool:
    saga_id = side.begin()
    return deliver(side, saga_id, "s1") and deliver(side, saga_id, "s1")


def message_when_it_is_done(side: WorkerSide) -> bool:
    saga_id = side.begin()
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    return deliver(side, saga_id, "s1")


def message_before_the_retry_is_due(side: WorkerSide) -> bool:
    policy = {"max_attempts": 2, "backoff_ms": 60_000}
    saga_id = side.begin(count=1, s1={"retry_policy": policy})
    side.close(side.open(saga_id, "s1"), Failed({"type": "X", "message": "x"}))
    return deliver(side, saga_id, "s1")


def message_before_its_turn(side: WorkerSide) -> bool:
    return deliver(side, side.begin(), "s2")


def message_to_an_agent_that_was_not_chosen(side: WorkerSide) -> bool:
    steps = [SagaStep("s1", capability="calc", action="work")]
    saga_id = side.begin(SagaTransaction("skilled", steps))
    chosen = routed("s1", attempt=1, round_=1, agent_id="agent-other", why={})
    log = side.rt.log
    view = log.view(saga_id)
    after = apply(view, SagaEvent(2, chosen.type, chosen.data, side.rt.recorder.now()))
    log.record(Record.of(view, after, (chosen,), check_at=None), Because())
    return deliver(side, saga_id, "s1")


def message_of_a_saga_that_turned(side: WorkerSide) -> bool:
    saga_id = side.begin()
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    side.rt.desk.cancel(saga_id, WHO)
    return deliver(side, saga_id, "s2")


def message_that_lies(side: WorkerSide) -> bool:
    return deliver(side, side.begin(), "s2", AT_ONE)
