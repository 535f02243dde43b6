"""What beat has done for sagas beside the sweep: at most one of each at a time.

Each tick claims its slot, so that two beats do nothing twice; what is decided is
decided in ``orchestration.engine``.
"""

from __future__ import annotations

from functools import partial

from celery import Task

from orchestration.adapters.receivers import receivers_of
from orchestration.adapters.schedules import Schedules
from orchestration.contracts import (
    SAGA_LETTERS,
    SAGA_NOTIFY,
    SAGA_RETIRE,
    SAGA_SCHEDULES,
)
from orchestration.engine.letters import letters_by_saga, try_again
from orchestration.engine.notifying import Notifier
from orchestration.engine.retention import retire_ended
from orchestration.engine.scheduling import Scheduler
from tasks.because import because_of
from tasks.celery_app import app
from tasks.edge import each
from tasks.runtime import runtime

# Bounds one tick; what is left is taken by the next.
_PER_TICK = 200
_DAY_S = 86_400


@app.task(name=SAGA_LETTERS)
def letters(period_s: float = 5.0) -> int:
    """Try again undos that failed for good; return of how many sagas."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SAGA_LETTERS, period_s):
        return 0
    due = letters_by_saga(rt.index.due_letters(_PER_TICK))
    for saga_id, of_saga in due.items():
        each(f"letters: saga {saga_id}", partial(try_again, rt.desk, of_saga))
    return len(due)


# The limit is for what has no timeout of its own, such as looking up a host's name.
@app.task(name=SAGA_NOTIFY, time_limit=60)
def notify(period_s: float = 5.0) -> int:
    """Tell somebody outside of sagas that need a person; return of how many."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SAGA_NOTIFY, period_s):
        return 0
    if not (receivers := receivers_of(rt.settings, app)):
        return 0
    return Notifier(rt.index, receivers, rt.db.clock).deliver(_PER_TICK)


@app.task(name=SAGA_SCHEDULES, bind=True)
def schedules(self: Task, period_s: float = 1.0) -> int:
    """Start the sagas whose slot has come; return how many schedules were due."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SAGA_SCHEDULES, period_s):
        return 0
    because = because_of(self)
    scheduler = Scheduler(Schedules(rt.db), rt.desk.door)
    due = scheduler.schedules.due(_PER_TICK)
    for schedule, now in due:
        run = partial(scheduler.run, schedule, now, because)
        each(f"schedules: {schedule.name}", run)
    return len(due)


@app.task(name=SAGA_RETIRE)
def retire(period_s: float = 3_600.0) -> int:
    """Have sagas that ended long ago leave the lists; return how many did."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SAGA_RETIRE, period_s):
        return 0
    return retire_ended(rt.index, rt.settings.saga_retention_days * _DAY_S)
