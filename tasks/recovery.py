"""The sweep: finds sagas that stand still, and moves them on.

Every second, on the chores worker. It is what makes messages mere hints: a lost
one, a dead worker, a due time and a deadline all end up here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from celery import Task

from orchestration.adapters.saga_records import Because, Lease, LeaseChange
from orchestration.contracts import SAGA_SWEEP
from orchestration.core.saga.decide import advance, wake_at
from orchestration.core.saga.fold import PhaseStatus
from orchestration.core.saga.outcomes import Lost
from orchestration.errors import TransportError
from tasks.action import deadline_passed
from tasks.attempts import Claimed, because_of, close_attempt, record
from tasks.celery_app import app
from tasks.runtime import Runtime, runtime

logger = logging.getLogger(__name__)

# Bounds one tick; what is left is taken by the next.
_PER_TICK = 200


@app.task(name=SAGA_SWEEP, bind=True)
def sweep(self: Task, period_s: float = 1.0) -> dict[str, int]:
    """Look at everything that is due; return how much there was."""
    rt = runtime(app)
    if not rt.log.claim_tick(SAGA_SWEEP, period_s):
        return {}
    because = because_of(self)
    expired = rt.log.expired(_PER_TICK, rt.settings.lease_s)
    for lease in expired:
        if not _each(lease.saga_id, partial(_expire, rt, lease, because)):
            rt.log.put_off(lease)
    due = rt.log.claim_due(_PER_TICK)
    for saga_id, next_look in due:
        _each(saga_id, partial(_look, rt, saga_id, next_look, because))
    return {"expired": len(expired), "due": len(due)}


def _each(saga_id: str, work: Callable[[], None]) -> bool:
    """Do one saga's part; what is wrong with one must not stop the others."""
    try:
        work()
    except TransportError:
        raise  # it concerns all of them
    except Exception:  # the edge: it is logged, and the saga is looked at again
        logger.exception("sweep: saga %s", saga_id)
        return False
    return True


def _expire(rt: Runtime, lease: Lease, because: Because) -> None:
    """Close an attempt whose holder has not been heard of in time."""
    view = rt.log.view(lease.saga_id)
    phase = view.phase(lease.step, lease.direction)
    if phase.status is not PhaseStatus.RUNNING or phase.attempt != lease.attempt:
        rt.log.forget_lease(lease)
        return
    timeout_ms = view.plan.by_name[lease.step].timeout_ms
    timed_out = deadline_passed(phase.started_at, timeout_ms, rt.now())
    message = (
        f"its {timeout_ms} ms were over"
        if timed_out
        else "its worker was not heard of until the lease ran out"
    )
    error = {"type": "TimedOut" if timed_out else "WorkerLost", "message": message}
    mine = Lease(lease.saga_id, lease.step, lease.direction, lease.attempt, phase.token)
    outcome = Lost(error, timed_out=timed_out, at_once=True)
    decision = close_attempt(
        rt, Claimed(view, mine), outcome, because, change=LeaseChange.EXPIRE
    )
    rt.sender.send(decision)


def _look(rt: Runtime, saga_id: str, next_look: datetime, because: Because) -> None:
    """Decide anew about a saga that may stand still, and send what is ready."""
    while True:
        view = rt.log.view(saga_id)
        if view.state.is_over:  # its row is a leftover
            rt.log.heal(saga_id)
            return
        decision = advance(view, rt.now())
        if not decision.facts:
            break
        if record(rt, view, decision, because).is_recorded:
            break
    rt.sender.send(decision)
    at = wake_at(view, rt.now())
    if not decision.facts and at is not None and at < next_look:
        rt.log.look_earlier(view, at)
