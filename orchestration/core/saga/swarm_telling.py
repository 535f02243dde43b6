"""What a swarm that is a step is told, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestration.core.saga.model import SagaStep
from orchestration.core.swarm.task import SwarmTask

__all__ = ["ITEMS", "swarm_faults", "swarm_of", "told_to"]

ITEMS: Final = "items"
"""Where a swarm's configuration names the key of a list, and what that is if not."""

_MOST_MS: Final = 604_800_000  # what a swarm is given at most: seven days
_MOST_AGENTS: Final = 10_000  # a setting may say fewer, when the swarm begins


def swarm_faults(step: SagaStep) -> Iterator[str]:
    """Yield what is wrong with the swarm that a step runs, each with its way out."""
    key = (step.swarm or {}).get(ITEMS, ITEMS)
    if not isinstance(key, str):
        yield f"swarm: items is {key!r}: name the key of a list in its data"
        return
    try:
        task = told_to(step, {}, swarm_id="swarm", saga_id="saga", most_ms=None)
        faults = task.faults(_MOST_AGENTS)
    except (TypeError, ValueError) as exc:
        faults = (str(exc),)
    yield from (f"swarm: {fault}" for fault in faults)


def swarm_of(step: SagaStep) -> SwarmTask:
    """Return what the swarm of a sound step is told, but for its data."""
    return told_to(step, {}, swarm_id="swarm", saga_id="saga", most_ms=None)


def told_to(
    step: SagaStep,
    data: Mapping[str, Any],
    *,
    swarm_id: str,
    saga_id: str,
    most_ms: int | None,
) -> SwarmTask:
    """Return what the swarm of a step is told.

    Args:
        step: The step.
        data: Its input.
        swarm_id: The swarm's id.
        saga_id: The saga's, which is told of its end.
        most_ms: How long it may take at most; None: as long as it says.

    Raises:
        ValueError: Its configuration has a field that there is not.
    """
    config = {**(step.swarm or {})}
    key = config.pop(ITEMS, ITEMS)
    items = data.get(key)
    metadata = {**step.metadata, **config.pop("metadata", {}), "saga_id": saga_id}
    metadata["input"] = {name: value for name, value in data.items() if name != key}
    if isinstance(items, list):
        metadata[ITEMS] = items
        wanted = config.get("data_partitions", len(items))
        config["data_partitions"] = min(wanted, len(items))
    config.setdefault("objective", step.name)
    task = SwarmTask.from_json({**config, "metadata": metadata}, swarm_id=swarm_id)
    if most_ms is None:
        return task
    own_ms = task.timeout_ms if "timeout_ms" in config else _MOST_MS
    limit = min(own_ms, most_ms)
    return SwarmTask.from_json({**task.to_json(), "timeout_ms": limit})
