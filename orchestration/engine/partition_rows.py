"""What a handler is given, and what of that which it returns can be recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

from eventstore import NotCanonical
from orchestration.adapters.partition_records import Held
from orchestration.core.jsonable import is_number, is_whole, shown
from orchestration.core.swarm.partitions.colony import Plan
from orchestration.core.swarm.providers import (
    Partition,
    PartitionResult,
    find_data_source,
)
from orchestration.engine.payload import checked_payload
from orchestration.errors import NonRetryable, PayloadTooLarge

__all__ = ["checked_result", "partition_of"]


def partition_of(plan: Plan, held: Held) -> Partition:
    """Return a partition with its rows, as its handler is given it."""
    index, count = held.partition, plan.count
    source = find_data_source(plan.task.source_name or "")
    return Partition(
        index=index,
        of=count,
        rows=_rows(plan, index) if source is None else source.slice(index, count),
        attempt=held.attempt,
        swarm_id=plan.swarm_id,
        agent=held.agent,
    )


def checked_result(
    output: object, partition: Partition, most_bytes: int
) -> PartitionResult:
    """Return what a handler has returned, as it will be read back.

    Raises:
        NonRetryable: It is none that can be recorded.
    """
    if isinstance(output, PartitionResult):
        result = output
    else:
        rows = partition.rows
        count = len(rows) if isinstance(rows, Sized) else 0
        result = PartitionResult(rows=count, value=output)
    if not is_whole(result.rows) or result.rows < 0:
        raise NonRetryable(f"rows is {shown(result.rows)}: return a count, 0 or more")
    if not is_number(result.quality) or not 0 <= result.quality <= 1:
        raise NonRetryable(f"quality is {shown(result.quality)}: return 0.0 to 1.0")
    told: Mapping[str, Any] = {"quality": result.quality, "value": result.value}
    try:
        plain = checked_payload("the partition's value", told, most_bytes)
    except (NotCanonical, PayloadTooLarge) as exc:
        raise NonRetryable(f"what was returned cannot be recorded: {exc}") from exc
    return PartitionResult(result.rows, plain["quality"], plain["value"])


def _rows(plan: Plan, index: int) -> Any:  # noqa: ANN401  JSON
    """Return the share of the items that came with the task, if any did."""
    items, count = plan.task.metadata.get("items"), plan.count
    if not isinstance(items, list):
        return None
    first, end = (at * len(items) // count for at in (index, index + 1))
    return items[first:end]
