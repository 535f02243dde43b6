"""Swarms that are steps of sagas: what they are told, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestration.core.saga.data import step_input
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed, Outcome, Succeeded
from orchestration.core.saga.swarm_telling import ITEMS, told_to
from orchestration.core.saga.timing import whole_ms
from orchestration.core.saga.view import SagaView
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.task import SwarmTask

__all__ = ["nothing_to_do", "swarm_answer", "swarm_task"]


def swarm_task(view: SagaView, name: str, swarm_id: str) -> SwarmTask:
    """Return what the swarm of a step is told; the same whoever asks, and when.

    A list in the step's data under ``items``, or the key that the step names, is shared
    out: each item is a partition unless the step says how many there are.

    Args:
        view: The saga; the step waits for the swarm.
        name: The step.
        swarm_id: The swarm's id.

    Raises:
        DataConflict: The step's data cannot be told.
    """
    phase = view.do_of(name)
    most_ms = None
    if phase.until is not None and phase.started_at is not None:
        most_ms = max(1, whole_ms(phase.until) - whole_ms(phase.started_at))
    return told_to(
        view.plan.by_name[name],
        step_input(view, name, Direction.DO),
        swarm_id=swarm_id,
        saga_id=view.saga_id,
        most_ms=most_ms,
    )


def nothing_to_do(view: SagaView, name: str) -> Succeeded | None:
    """Return the outcome of a step whose list is empty; None: it has work."""
    key = (view.plan.by_name[name].swarm or {}).get(ITEMS, ITEMS)
    items = step_input(view, name, Direction.DO).get(key)
    if items != []:
        return None
    partitions = {"done": 0, "failed": 0, "pending": 0}
    result = {"status": "COMPLETED", "convergence": 1.0, "converged": True}
    return Succeeded({name: {**result, "partitions": partitions, "values": []}})


def swarm_answer(
    swarm: SwarmView, step: str, values: Sequence[Any] | None
) -> Outcome | None:
    """Return what a swarm's end means for its step; None: it is still at it.

    One that was late, or was stopped, has done enough if it has converged.

    Args:
        swarm: The swarm.
        step: The step that it is.
        values: What came of its partitions, in their order; None: too much to tell.
    """
    if not swarm.status.is_over:
        return None
    result = swarm.result
    if result.get("converged"):
        told = {"swarm_id": swarm.swarm_id, **result, "values": values}
        return Succeeded({step: told})
    partitions = result.get("partitions", {})
    done = ", ".join(f"{count} {what}" for what, count in partitions.items())
    message = f"swarm {swarm.swarm_id} is {swarm.status}: {swarm.reason} ({done})"
    error = {"type": "SwarmNotConverged", "message": message}
    return Failed(error, retryable=False)
