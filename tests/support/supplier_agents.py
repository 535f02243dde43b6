"""The handler and the data source of the example of swarms: suppliers' emissions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.agents import (
    Partition,
    PartitionResult,
    data_source,
    partition_handler,
)

SUPPLIERS = 100_000


@data_source("supplier_database")
class Suppliers:
    """So many suppliers, each with a number that tells what it emits."""

    def count(self) -> int:
        return SUPPLIERS

    def slice(self, index: int, of: int) -> range:
        return range(index * SUPPLIERS // of, (index + 1) * SUPPLIERS // of)


@partition_handler("supplier_database")
def emissions(partition: Partition, metadata: Mapping[str, Any]) -> PartitionResult:
    assert metadata["emission_factors"] == "ghg_protocol_2024"
    total = sum(number % 97 for number in partition.rows)
    return PartitionResult(rows=len(partition.rows), quality=1.0, value=total)
