"""Handlers of partitions for benchmarks: one takes as long as told, one adds up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from orchestration.agents import (
    Partition,
    PartitionResult,
    data_source,
    partition_handler,
)

SUPPLIERS: Final = 100_000


@partition_handler("bench-naps")
def nap(partition: Partition, metadata: Mapping[str, Any]) -> PartitionResult:
    """Take as long as the partition's own figure; fail the first attempt at some."""
    time.sleep(metadata["busy_ms"][partition.index] / 1_000)
    if partition.attempt == 1 and partition.index in metadata["failing"]:
        raise ValueError("an attempt that fails")
    return PartitionResult(rows=1)


@data_source("bench-suppliers")
class Suppliers:
    """Numbers in place of suppliers."""

    def count(self) -> int:
        """Return how many there are."""
        return SUPPLIERS

    def slice(self, index: int, of: int) -> range:
        """Return one slice of ``of``."""
        return range(index * SUPPLIERS // of, (index + 1) * SUPPLIERS // of)


@partition_handler("bench-suppliers")
def emissions(partition: Partition, metadata: Mapping[str, Any]) -> PartitionResult:
    """Multiply and add, as an emission factor would."""
    factor = metadata["factor"]
    total = sum(number % 97 * factor for number in partition.rows)
    return PartitionResult(rows=len(partition.rows), value=round(total, 6))
