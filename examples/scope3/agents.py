"""What the workers host: the supplier database, and what is done with a part of it.

``celery -A tasks worker -I examples.scope3.agents`` hosts both. Whoever is faster gets
the next partition; what a partition comes to depends on nothing but its suppliers.

Environment, the same for all workers: ``SCOPE3_SUPPLIERS``, how many there are (default
100000), and ``SCOPE3_SEED``, which ones (default 2024).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from examples.scope3.emissions import Totals
from examples.scope3.factors import read_factors
from examples.scope3.suppliers import SupplierDatabase, Suppliers
from orchestration.agents import (
    Partition,
    PartitionResult,
    data_source,
    partition_handler,
)

__all__ = ["SUPPLIERS", "SupplierSource", "emissions", "supplier_database"]

SUPPLIERS: Final = "supplier_database"
"""What the source and its handler are called; a task names it as ``data_source``."""

_FACTOR_SETS: Final = ("ghg_protocol_2024",)


@data_source(SUPPLIERS)
class SupplierSource:
    """The suppliers that the environment asks for."""

    def count(self) -> int:
        """Return how many there are."""
        return supplier_database().count()

    def slice(self, index: int, of: int) -> Suppliers:
        """Return one of ``of`` parts."""
        return supplier_database().slice(index, of)


@partition_handler(SUPPLIERS)
def emissions(partition: Partition, metadata: Mapping[str, Any]) -> PartitionResult:
    """Return what a partition's suppliers emit; its quality is how many report.

    Raises:
        ValueError: The task asks for factors that are not here.
    """
    asked = metadata.get("emission_factors", _FACTOR_SETS[0])
    if asked not in _FACTOR_SETS:
        raise ValueError(
            f"emission_factors is {asked!r}: this example has {', '.join(_FACTOR_SETS)}"
        )
    totals = Totals.of(partition.rows, read_factors())
    return PartitionResult(
        rows=totals.suppliers, quality=totals.quality, value=totals.to_json()
    )


def supplier_database() -> SupplierDatabase:
    """Return the database that the environment asks for."""
    return _database(
        int(os.environ.get("SCOPE3_SUPPLIERS", "100000")),
        int(os.environ.get("SCOPE3_SEED", "2024")),
    )


@lru_cache(maxsize=2)
def _database(size: int, seed: int) -> SupplierDatabase:
    return SupplierDatabase(read_factors(), size=size, seed=seed)
