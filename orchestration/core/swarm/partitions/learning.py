"""What a run knows of its groups from runs before, and what it has learned itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.standing import FieldKey, Left
from orchestration.core.swarm.partitions.trails import Attempt
from orchestration.core.swarm.task import SwarmTask

__all__ = ["at_begin", "learned"]


def at_begin(task: SwarmTask, tick: int, left: Mapping[int, Left]) -> Mapping[str, Any]:
    """Return what the event of a run's begin tells of it as ``standing``, JSON.

    Args:
        task: Of the run.
        tick: At which it begins.
        left: What is left of the field of its work.
    """
    count = max(task.group_of) + 1
    known = {group: one for group, one in left.items() if group < count}
    if not known:
        return {}
    unit = _unit(task)
    return {
        "field": str(FieldKey.of(task).uuid),
        "tick": tick,
        "pace_ms": {str(g): round(one.work_ms / unit, 6) for g, one in known.items()},
        "pheromone": {str(g): round(one.pheromone, 6) for g, one in known.items()},
    }


def learned(colony: Colony) -> dict[str, list[float]]:
    """Return what a run lays on the field of its work.

    By group: what its partitions took, as ``Left.work_ms`` has it, and the mean of
    their quality. Nothing of groups in which nothing was done.
    """
    plan = colony.plan
    unit = _unit(plan.task)
    of: dict[int, list[Attempt]] = {}
    for one in colony.settled:
        if one.quality is not None:
            of.setdefault(int(plan.groups[one.partition]), []).append(one)
    found: dict[str, list[float]] = {}
    for group, done in sorted(of.items()):
        weight = sum(float(plan.weights[one.partition]) for one in done)
        work_ms = sum(one.busy_ms for one in done) / weight * unit
        quality = sum(one.quality or 0.0 for one in done) / len(done)
        found[str(group)] = [round(work_ms, 6), round(quality, 6)]
    return found


def _unit(task: SwarmTask) -> float:
    """Return by what a pace is multiplied so that runs can be compared.

    Without weights a partition is one part in so many of the data, however many.
    """
    return float(task.data_partitions) if task.weights is None else 1.0
