"""Swarms that share out partitions as Celery tasks: agents' turns, and ticks.

Each task may be delivered any number of times: a turn is taken once, a partition is
committed once, a tick is recorded once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Task

from orchestration.contracts import (
    SWARM_DEPLOY,
    SWARM_EVAPORATE,
    SWARM_PARTITION,
    SWARM_PATROL,
    SWARM_TICK,
)
from orchestration.core.swarm.task import SwarmTask
from orchestration.errors import InvalidSwarm
from tasks.because import because_of
from tasks.celery_app import app
from tasks.edge import each
from tasks.runtime import runtime

# Bounds one round; swarms beyond it have their ticks from their own agents.
_PER_ROUND = 500


@app.task(name=SWARM_DEPLOY, bind=True, max_retries=None)
def deploy(
    self: Task,
    task: dict[str, Any],
    swarm_id: str | None = None,
) -> str:
    """Begin a swarm for a producer without this package; return its id.

    Without ``swarm_id`` the task's id is the swarm's, so that a message that comes
    twice begins one swarm.
    """
    chosen = swarm_id or self.request.id
    try:
        told = SwarmTask.from_json(task, swarm_id=chosen)
    except (TypeError, ValueError) as exc:
        name = task.get("objective") if isinstance(task, dict) else None
        raise InvalidSwarm(str(name), [str(exc)]) from exc
    runtime(app).partitions.desk.begin(told, because_of(self))
    return chosen


@app.task(name=SWARM_PARTITION, bind=True, max_retries=None)
def partition(self: Task, *, swarm_id: str, agent: int, turn: int) -> str:
    """Have an agent take its turn."""
    puller = runtime(app).partitions.puller
    return puller.pull(swarm_id, agent, turn, because_of(self))


@app.task(name=SWARM_TICK, bind=True)
def tick(self: Task, *, swarm_id: str) -> bool:
    """Look after a swarm; return whether it goes on."""
    return runtime(app).partitions.desk.tick(swarm_id, because_of(self))


@app.task(name=SWARM_PATROL, bind=True)
def patrol(self: Task, period_s: float = 1.0) -> int:
    """Look after all such swarms; return how many there are."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SWARM_PATROL, period_s):
        return 0
    side, because = rt.partitions, because_of(self)
    swarms = side.log.open(_PER_ROUND)
    for swarm_id in swarms:
        each(f"patrol: swarm {swarm_id}", partial(side.desk.patrol, swarm_id, because))
    side.desk.forget_ended()
    return len(swarms)


@app.task(name=SWARM_EVAPORATE, bind=True)
def evaporate(self: Task, period_s: float = 60.0) -> dict[str, int]:
    """Evaporate standing fields by all ticks that are over; return how many."""
    rt = runtime(app)
    if not rt.watch.claim_tick(SWARM_EVAPORATE, period_s):
        return {}
    return rt.partitions.fields.evaporate(because_of(self))
