"""The sweep: finds sagas that stand still, and moves them on.

Every second, on the chores worker. It is what makes messages mere hints: a lost
one, a dead worker, a due time and a deadline all end up here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from celery import Task

from orchestration.contracts import SAGA_ATTEND, SAGA_SWEEP
from tasks.because import because_of
from tasks.celery_app import app
from tasks.edge import each
from tasks.runtime import runtime

# Bounds one tick; what is left is taken by the next.
_PER_TICK = 200


@app.task(name=SAGA_SWEEP, bind=True)
def sweep(self: Task, period_s: float = 1.0) -> dict[str, int]:
    """Look at everything that is due; return how much, and how often it was sent."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SAGA_SWEEP, period_s):
        return {}
    because, sweeper = because_of(self), rt.sweeper
    expired = rt.watch.expired(_PER_TICK, rt.settings.lease_s)
    for lease in expired:
        expire = partial(sweeper.expire, lease, because)
        if not each(f"sweep: lease of saga {lease.saga_id}", expire):
            rt.watch.put_off(lease)
    due = rt.watch.claim_due(_PER_TICK)
    resent: list[int] = []
    for saga_id, is_unsent in due:
        look = partial(sweeper.look, saga_id, because, is_unsent=is_unsent)
        each(f"sweep: saga {saga_id}", partial(_count, resent, look))
    return {"expired": len(expired), "due": len(due), "resent": sum(resent)}


def _count(counted: list[int], look: Callable[[], int]) -> None:
    counted.append(look())


@app.task(name=SAGA_ATTEND, bind=True)
def attend(self: Task, saga_id: str) -> None:
    """Look after a saga that waits for locks, or for other sagas."""
    runtime(app).attendant.attend(saga_id, because_of(self))
