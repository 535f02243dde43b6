"""Scenes of messages, sweeps and beats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

from orchestration.adapters.saga_records import (
    Because,
)
from orchestration.adapters.schedules import SagaSchedule, Schedules
from orchestration.agents import ActionContext
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.engine.scheduling import Scheduler
from orchestration.saga import SagaTransaction
from tests.chaos.scenes.common import (
    WHO,
    announce,
    sagas_of,
)
from tests.support.front import linear, step
from tests.support.worker_side import WorkerSide


def refused_with_a_tail(side: WorkerSide) -> bool:
    """A doubled first message of a chain: its step is held."""
    saga_id = side.begin()
    side.open(saga_id, "s1")
    return bool(_trace(side, saga_id, lambda *_: {}))


def turned_with_a_tail(side: WorkerSide) -> bool:
    """The saga is cancelled while the first step of a chain works on its connection.

    So nothing is sent ahead of its end.
    """
    saga_id = side.begin()

    def act(_: Any, context: ActionContext) -> dict[str, Any]:
        context.connection.exec_driver_sql("SELECT 1")
        side.rt.desk.cancel(saga_id, WHO)
        return {}

    return bool(_trace(side, saga_id, act))


def _trace(side: WorkerSide, saga_id: str, act: Callable[..., Any]) -> list[Any]:
    """Have Celery run a delivery of s1 with s2 behind it; return what it goes on to."""
    from celery.app.trace import build_tracer
    from celery.canvas import Signature

    import tasks.saga

    sent: list[Any] = []
    link = Signature(
        "saga.step", kwargs=dict(side.message(saga_id, "s2")), app=tasks.saga.app
    )
    kept = (tasks.saga.find_action, Signature.apply_async)
    tasks.saga.find_action = lambda *_: act
    Signature.apply_async = lambda self, *_, **__: sent.append(self)
    try:
        tracer = build_tracer("saga.step", tasks.saga.step, app=tasks.saga.app)
        request = {"id": str(uuid4()), "chain": [dict(link)], "delivery_info": {}}
        tracer(request["id"], (None,), dict(side.message(saga_id, "s1")), request)
    finally:
        tasks.saga.find_action, Signature.apply_async = kept
    return sent


def branch_ends_beside_one_that_waits(side: WorkerSide) -> bool:
    fork = SagaTransaction("fork", [step("a"), step("b", "a"), step("c", "a")])
    saga_id = side.begin(fork)
    both = side.close(side.open(saga_id, "a"), Succeeded({}))
    assert both.lines == (("b",), ("c",))
    return bool(side.close(side.open(saga_id, "b"), Succeeded({})).lines)


def failed_with_no_wait(side: WorkerSide) -> bool:
    """What is named in the decision is sent beside the task's own retry."""
    policy = {"max_attempts": 2, "backoff_ms": 0, "jitter": 0.0}
    saga_id = side.begin(count=1, s1={"retry_policy": policy})
    failed = Failed({"type": "X", "message": "x"})
    return bool(side.close(side.open(saga_id, "s1"), failed).lines)


def looked_at_when_it_has_just_begun(side: WorkerSide) -> bool:
    saga_id = side.begin()
    sent = len(side.sent.steps)
    side.rt.sweeper.look(saga_id, Because())
    return len(side.sent.steps) > sent


def two_sweeps_at_once(side: WorkerSide) -> bool:
    side.begin()
    side.run("UPDATE orch.open_saga SET check_at = now() - interval '1 s'")
    return bool(side.rt.watch.claim_due(100)) and bool(side.rt.watch.claim_due(100))


def two_who_try_again(side: WorkerSide) -> bool:
    side.run(
        "INSERT INTO orch.dead_letter (saga_id, step, error, since, next_try_at)"
        " VALUES (%s, 's1', '{}', now(), now())",
        str(uuid4()),
    )
    index = side.rt.index
    return bool(index.due_letters(100)) and bool(index.due_letters(100))


def two_who_notify(side: WorkerSide) -> bool:
    side.run(
        "INSERT INTO orch.notice (saga_id, name, state, version, recorded_at, due_at)"
        " VALUES (%s, 'x', 'FAILED', 1, now(), now())",
        str(uuid4()),  # of one saga, only the oldest is delivered
    )
    index = side.rt.index
    return bool(index.due_notices(100)) and bool(index.due_notices(100))


def two_beats(side: WorkerSide) -> bool:
    tick = str(uuid4())
    watch = side.rt.watch
    ages_s = 1e9  # which do not end between two statements
    return watch.claim_tick(tick, ages_s) and watch.claim_tick(tick, ages_s)


def one_slot_twice(side: WorkerSide) -> bool:
    """Two who look at a schedule at once start its saga."""
    scheduler, schedule, now = _due_schedule(side)
    before = sagas_of(side)
    for _ in range(2):
        scheduler.run(schedule, now, Because())
    return sagas_of(side) - before > 1


def slot_after_slot(side: WorkerSide) -> bool:
    """One who looked first writes last, when others are a slot further."""
    scheduler, schedule, now = _due_schedule(side)
    scheduler.run(schedule, now, Because())
    side.run(
        "UPDATE orch.schedule SET next_at = next_at + interval '1 h' WHERE name = %s",
        schedule.name,
    )
    next_at = "SELECT next_at FROM orch.schedule WHERE name = %s"
    before = side.row(next_at, schedule.name)
    scheduler.run(schedule, now, Because())
    return side.row(next_at, schedule.name) != before


def _due_schedule(side: WorkerSide) -> tuple[Scheduler, SagaSchedule, datetime]:
    announce(side)
    scheduler = Scheduler(Schedules(side.rt.db), side.rt.desk.door)
    name = f"s{uuid4().hex}"
    scheduler.add(name, linear(1), {}, every_s=3_600, cron=None, first_at=None)
    side.run(
        "UPDATE orch.schedule SET next_at = clock_timestamp() - interval '1 s'"
        " WHERE name = %s",
        name,
    )
    due = scheduler.schedules.due(100)
    [(schedule, now)] = [one for one in due if one[0].name == name]
    return scheduler, schedule, now
