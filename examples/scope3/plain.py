"""The same total by plain NumPy: no partitions, no swarm, and no code of theirs."""

from __future__ import annotations

import numpy as np

from examples.scope3.suppliers import SupplierDatabase

__all__ = ["plain_total"]


def plain_total(database: SupplierDatabase) -> tuple[int, int]:
    """Return the emissions of all suppliers, mg CO2e, and what was spent, in cents."""
    everyone = database.between(0, database.count())
    grid = np.array([one.mg_per_kwh for one in database.factors.grid])
    usual_wh = np.array([one.wh_per_eur for one in database.factors.sectors])
    other = np.array([one.other_mg_per_cent for one in database.factors.sectors])
    kwh, spend = everyone.energy_kwh.copy(), everyone.spend_cents
    silent = kwh < 0
    kwh[silent] = (spend * usual_wh[everyone.sector] + 50_000)[silent] // 100_000
    mg = np.dot(kwh, grid[everyone.country]) + np.dot(spend, other[everyone.sector])
    return int(mg), int(spend.sum())
