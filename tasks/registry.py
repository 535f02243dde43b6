"""Agents join, are heard of, and leave; and the sweep that judges them.

Any Celery producer may send the first three with JSON; docs/registry.md shows how. Each
may come twice: what is known already changes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from celery import Task

from orchestration.contracts import (
    REGISTRY_DEREGISTER,
    REGISTRY_FOLLOW,
    REGISTRY_HEARTBEAT,
    REGISTRY_REGISTER,
    REGISTRY_REPLICATE,
    REGISTRY_SWEEP,
)
from orchestration.core.registry.checks import read_descriptor
from orchestration.core.registry.packed import MAX_BATCH
from orchestration.engine.registering import checked_heartbeats, limits_of
from orchestration.engine.replicating import Follower
from orchestration.errors import InvalidHeartbeat
from tasks.because import because_of
from tasks.celery_app import app
from tasks.runtime import runtime
from tasks.tokens import TOKEN_REQUEST, token_of

logger = logging.getLogger(__name__)
_FOLLOW_EXPIRES_S = 10.0


@app.task(name=REGISTRY_REGISTER, bind=True, Request=TOKEN_REQUEST)
def register(
    self: Task,
    descriptor: dict[str, Any],
    location: str | None = None,
    token: str | None = None,
) -> int:
    """Register an agent; return the version that it stands at."""
    said = read_descriptor(descriptor)
    state = runtime(app).registry.register(
        said, because_of(self), location=location, token=token_of(self, token)
    )
    return state.version


@app.task(name=REGISTRY_HEARTBEAT)
def heartbeat(
    heartbeats: list[dict[str, Any]], sender: str = "", number: int = 0
) -> dict[str, Any]:
    """Take in up to 1,000 heartbeats; return how many counted, and of whom none do.

    One that is no heartbeat costs the others nothing, and fails the task afterwards.
    """
    if len(heartbeats) > MAX_BATCH:
        fault = f"{len(heartbeats)} in one message: send at most {MAX_BATCH} in each"
        raise InvalidHeartbeat("", [fault])
    good, bad = checked_heartbeats(heartbeats)
    unknown: tuple[str, ...] = ()
    late = 0
    if good:
        heard = runtime(app).registry.beat(
            good, sender=sender, number=number, until_ms=limits_of(heartbeats)
        )
        if heard is None:
            logger.info("%d heartbeats came while Redis was being built", len(good))
        else:
            unknown, late = heard.unknown, heard.late
            if late:
                logger.warning("%d heartbeats came too late to count", late)
    if bad:
        raise bad[0]
    return {"taken": len(good) - len(unknown) - late, "unknown": list(unknown)}


@app.task(name=REGISTRY_DEREGISTER, bind=True, Request=TOKEN_REQUEST)
def deregister(self: Task, agent_id: str, token: str | None = None) -> bool:
    """Take an agent out; return whether it was registered."""
    ended = runtime(app).registry.deregister(
        agent_id, because_of(self), token=token_of(self, token)
    )
    return ended is not None


@app.task(name=REGISTRY_SWEEP, bind=True)
def sweep(self: Task, period_s: float = 5.0) -> dict[str, int]:
    """Look at every agent; return how many, and how many stand elsewhere now."""
    rt = runtime(app)
    if not rt.watch.claim_tick(REGISTRY_SWEEP, period_s):
        return {}
    swept = rt.registry_sweeper.sweep(because_of(self))
    return {} if swept is None else asdict(swept)


@app.task(name=REGISTRY_REPLICATE, bind=True)
def replicate(self: Task, period_s: float = 1.0) -> list[str]:
    """Have each other region followed that may be by now, each by a task of its own."""
    rt = runtime(app)
    if not rt.settings.region:
        return []
    follower = Follower.of(rt.registry, rt.settings)
    if not rt.watch.claim_tick(REGISTRY_REPLICATE, period_s):
        return []
    due = follower.due(because_of(self))
    for region in due:
        follow.apply_async(kwargs={"region": region}, expires=_FOLLOW_EXPIRES_S)
    return list(due)


@app.task(name=REGISTRY_FOLLOW, bind=True)
def follow(self: Task, region: str) -> dict[str, Any]:
    """Read what a region tells of its agents; return how much of it was new."""
    rt = runtime(app)
    follower = Follower.of(rt.registry, rt.settings)
    return asdict(follower.follow(region, because_of(self)))
