"""Swarms that move as Celery tasks: one for the next iterations, or one for each part.

Nothing is decided here. Each task may be delivered any number of times: what it would
record is refused if the swarm has gone on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from celery import Task

from orchestration.contracts import (
    SWARM_ISLAND,
    SWARM_ITERATE,
    SWARM_JOIN,
    SWARM_RETIRE,
    SWARM_SWEEP,
    SWARM_VALUE,
    Moved,
    SwarmHint,
)
from orchestration.engine.retention import retire_ended
from tasks.because import because_of
from tasks.celery_app import app
from tasks.edge import each
from tasks.runtime import runtime

# Bounds one tick; what is left is taken by the next.
_PER_TICK = 200
_DAY_S = 86_400


@app.task(name=SWARM_ITERATE, bind=True)
def iterate(self: Task, hint: SwarmHint | None = None, *, swarm_id: str) -> str:
    """Do a swarm's next iterations, or have them done in several tasks."""
    again = bool((self.request.delivery_info or {}).get("redelivered"))
    swarms, because = runtime(app).swarms, because_of(self)
    return swarms.iterate(swarm_id, hint, because, is_redelivered=again)


@app.task(name=SWARM_VALUE, bind=True)
def value(self: Task, hint: SwarmHint, *, swarm_id: str, moved: Moved, nth: int) -> str:
    """Value a slice of positions."""
    scatterer = runtime(app).swarms.scatterer
    return scatterer.value(swarm_id, hint, moved, nth, because_of(self))


@app.task(name=SWARM_ISLAND, bind=True)
def island(
    self: Task, hint: SwarmHint, *, swarm_id: str, moved: Moved, nth: int
) -> str:
    """Do an island's iterations up to the next migration."""
    federator = runtime(app).swarms.federator
    return federator.stretch(swarm_id, hint, moved, nth, because_of(self))


@app.task(name=SWARM_JOIN, bind=True)
def join(self: Task, hint: SwarmHint, *, swarm_id: str, moved: Moved) -> str:
    """Put together what the tasks of all slices or islands have come to."""
    return runtime(app).swarms.join(swarm_id, hint, moved, because_of(self))


@app.task(name=SWARM_SWEEP, bind=True)
def sweep(self: Task, period_s: float = 1.0) -> dict[str, int]:
    """Look at swarms that stand still; return how many, and how many were sent."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SWARM_SWEEP, period_s):
        return {}
    sweeper, because = rt.swarms.sweeper, because_of(self)
    due = rt.swarms.log.claim_due(_PER_TICK)
    sent: list[bool] = []
    for swarm_id, sends in due:
        look = partial(sweeper.look, swarm_id, sends, because)
        each(f"sweep: swarm {swarm_id}", partial(_count, sent, look))
    return {"due": len(due), "sent": sum(sent)}


def _count(counted: list[bool], look: Callable[[], bool]) -> None:
    counted.append(look())


@app.task(name=SWARM_RETIRE)
def retire(period_s: float = 3_600.0) -> int:
    """Have swarms that ended long ago leave the lists; return how many did."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SWARM_RETIRE, period_s):
        return 0
    return retire_ended(rt.swarms.log, rt.settings.saga_retention_days * _DAY_S)
