"""The sweep: finds sagas that stand still, and moves them on.

Every second, on the chores worker. It is what makes messages mere hints: a lost
one, a dead worker, a due time and a deadline all end up here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from celery import Task

from orchestration.contracts import SAGA_ATTEND, SAGA_SWEEP
from orchestration.errors import TransportError
from tasks.because import because_of
from tasks.celery_app import app
from tasks.runtime import runtime

logger = logging.getLogger(__name__)

# Bounds one tick; what is left is taken by the next.
_PER_TICK = 200


@app.task(name=SAGA_SWEEP, bind=True)
def sweep(self: Task, period_s: float = 1.0) -> dict[str, int]:
    """Look at everything that is due; return how much there was."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SAGA_SWEEP, period_s):
        return {}
    because, sweeper = because_of(self), rt.sweeper
    expired = rt.watch.expired(_PER_TICK, rt.settings.lease_s)
    for lease in expired:
        if not _each(lease.saga_id, partial(sweeper.expire, lease, because)):
            rt.watch.put_off(lease)
    due = rt.watch.claim_due(_PER_TICK)
    for saga_id, is_unsent in due:
        _each(saga_id, partial(sweeper.look, saga_id, because, is_unsent=is_unsent))
    return {"expired": len(expired), "due": len(due)}


@app.task(name=SAGA_ATTEND, bind=True)
def attend(self: Task, saga_id: str) -> None:
    """Look after a saga that waits for locks, or for other sagas."""
    runtime(app).attendant.attend(saga_id, because_of(self))


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
