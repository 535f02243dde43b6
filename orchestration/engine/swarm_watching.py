"""What a swarm looks like while it moves, for whoever watches."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestration.core.swarm.fold import SwarmStatus
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.errors import TransportError

if TYPE_CHECKING:
    import redis

    from orchestration.engine.swarm_side import SwarmSide

__all__ = ["SwarmFrame", "frames"]

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmFrame:
    """A swarm at one moment.

    Attributes:
        iteration: How many are done.
        best: The best value found; None: none yet, or it does not search.
        convergence: 0.0 to 1.0.
        status: Where the swarm stands.
        positions: Of its agents, shape ``(agents, dims)``; not to be changed.
        state: All there is to be known of them.
    """

    iteration: int
    best: float | None
    convergence: float
    status: SwarmStatus
    positions: Floats
    state: SwarmState


async def frames(
    swarms: SwarmSide, swarm_id: str, every_ms: int
) -> AsyncIterator[SwarmFrame]:
    """Yield frames until the swarm is over; see ``SwarmOrchestrator.watch``."""
    await asyncio.to_thread(swarms.log.view, swarm_id)
    subscription = await asyncio.to_thread(swarms.hot.watch, swarm_id)
    try:
        seen, looked_at = -1, float("-inf")
        while True:
            told = await asyncio.to_thread(_next, subscription)
            if told is None and time.monotonic() > looked_at + _LOOK_EVERY_S:
                # Words are lost when Redis is; and there may be none to come.
                looked_at = time.monotonic()
                told = await asyncio.to_thread(_as_recorded, swarms, swarm_id)
            if told is None or told["iteration"] < seen:
                continue
            is_over = SwarmStatus(told["status"]).is_over
            if told["iteration"] > seen or is_over:
                frame = await asyncio.to_thread(_frame, swarms, swarm_id, told)
                seen = told["iteration"]
                if frame is not None:
                    yield frame
            if is_over:
                return
            await asyncio.sleep(every_ms / 1_000)
    finally:
        await asyncio.to_thread(subscription.close)


def _next(subscription: redis.client.PubSub) -> dict[str, Any] | None:
    """Return the newest word; None if there was none for a while."""
    message = subscription.get_message(timeout=0.2)
    while message is not None:
        newer = subscription.get_message(timeout=0)
        if newer is None:
            told: dict[str, Any] = json.loads(message["data"])
            return told
        message = newer
    return None


def _as_recorded(swarms: SwarmSide, swarm_id: str) -> dict[str, Any]:
    view = swarms.log.view(swarm_id)
    return {
        "iteration": view.iteration,
        "best": view.best,
        "convergence": view.convergence,
        "status": str(view.status),
    }


def _frame(swarms: SwarmSide, swarm_id: str, told: dict[str, Any]) -> SwarmFrame | None:
    """Return a frame of the newest state there is; None: there is none."""
    state = _state(swarms, swarm_id, told["iteration"])
    if state is None:
        return None
    positions: Floats = state.record["position"]
    positions.flags.writeable = False
    return SwarmFrame(
        iteration=state.iteration,
        best=told["best"],
        convergence=told["convergence"],
        status=SwarmStatus(told["status"]),
        positions=positions,
        state=state,
    )


def _state(swarms: SwarmSide, swarm_id: str, iteration: int) -> SwarmState | None:
    """Return the newest state there is of a swarm that is on record up to there."""
    try:
        blob = swarms.hot.get(swarm_id)
    except TransportError:
        blob = None
    state = None if blob is None else SwarmState.from_bytes(blob)
    if state is None or state.iteration < iteration:
        # Redis has lost it, or gets it after the record; the last one is in both.
        kept = swarms.log.snapshot(swarm_id)
        if kept is not None and (state is None or kept.iteration > state.iteration):
            state = SwarmState.from_bytes(kept.state)
    return state
