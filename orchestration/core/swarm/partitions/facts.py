"""What is recorded of partitions: which facts there are, and what makes two the same.

=======================  =============================================================
``PARTITION_COMMITTED``  ``partition``, ``agent``, ``attempt``, ``rows``, ``quality``,
                         ``value``, ``digest`` (of these three), ``timing``
``PARTITION_FAILED``     ``partition``, ``agent``, ``attempt``, ``how``, ``error``,
                         ``retry_in_ms`` (null: there is no further attempt),
                         ``timing``
``PARTITION_REPEATED``   ``partition``, ``agent``, ``attempt``: it came a second time
``SWARM_TICKED``         ``tick``, ``upto`` (the version that it looked at), ``done``,
                         ``failed``, ``convergence``, ``agents``, ``deaths``,
                         ``births``, ``replaced`` (ids), ``pheromone`` (by group),
                         ``state`` (SHA-256 of the agents and the books)
=======================  =============================================================

A commit has the id of its partition, so that the first one of a partition is the only
one; a failure that of its attempt; a tick that of its number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any

from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.providers import PartitionResult
from orchestration.core.swarm.task import SwarmTask

__all__ = [
    "KIND",
    "How",
    "committed",
    "digest_of",
    "failed",
    "repeated",
    "spec_of",
    "started",
    "told_of",
]

KIND = "partitions"
"""What such swarms are called among others."""


class How(StrEnum):
    """How an attempt at a partition came to nothing."""

    FAILED = "failed"
    EXPIRED = "expired"
    """Nobody has heard of its agent in time."""


def spec_of(task: SwarmTask) -> dict[str, Any]:
    """Return all that a swarm is told, but for its id."""
    spec = task.to_json()
    del spec["swarm_id"]
    return spec


def started(task: SwarmTask, standing: Mapping[str, Any] | None = None) -> NewFact:
    """Return the fact that a swarm begins.

    Args:
        task: What it is told.
        standing: What runs before have left for it; see ``learning.at_begin``.
    """
    spec = spec_of(task)
    told = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    digest = sha256(told.encode()).hexdigest()
    data = {
        "kind": KIND,
        "name": task.objective,
        "spec": spec,
        "spec_hash": digest,
        "seed": task.seed,
        "agents": task.agents_required,
        "digest": digest,
        "timeout_ms": task.timeout_ms,
    }
    if standing:
        data["standing"] = dict(standing)
    return NewFact(EventType.SWARM_STARTED, data)


def committed(
    partition: int,
    agent: int,
    attempt: int,
    result: PartitionResult,
    timing: Mapping[str, Any],
) -> NewFact:
    """Return the fact that a partition is done.

    Args:
        partition: Which one.
        agent: Who has done it.
        attempt: At which attempt.
        result: What came of it, as it is read back from JSON.
        timing: ``busy_ms`` and ``worker``; no hash depends on it.
    """
    told = told_of(result)
    data = {
        "partition": partition,
        "agent": agent,
        "attempt": attempt,
        **told,
        "digest": digest_of(told),
        "timing": timing,
    }
    return NewFact(EventType.PARTITION_COMMITTED, data, key=str(partition))


def told_of(result: PartitionResult) -> dict[str, Any]:
    """Return what is recorded of a result, and what its hash is of."""
    return {"rows": result.rows, "quality": result.quality, "value": result.value}


def digest_of(told: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what came of a partition, in hex."""
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def failed(
    partition: int,
    agent: int,
    attempt: int,
    *,
    how: How,
    error: Mapping[str, str],
    retry_in_ms: int | None,
    timing: Mapping[str, Any],
) -> NewFact:
    """Return the fact that an attempt at a partition came to nothing."""
    data = {
        "partition": partition,
        "agent": agent,
        "attempt": attempt,
        "how": str(how),
        "error": error,
        "retry_in_ms": retry_in_ms,
        "timing": timing,
    }
    return NewFact(EventType.PARTITION_FAILED, data, key=f"{partition}:{attempt}")


def repeated(partition: int, agent: int, attempt: int) -> NewFact:
    """Return the fact that a partition was done once more, in vain."""
    data = {"partition": partition, "agent": agent, "attempt": attempt}
    key = f"{partition}:{attempt}:{agent}"
    return NewFact(EventType.PARTITION_REPEATED, data, key=key)
