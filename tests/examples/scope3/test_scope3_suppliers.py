"""Suppliers: any part alone, all parts together, always the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.scope3.factors import read_factors
from examples.scope3.suppliers import NOT_REPORTED, SupplierDatabase, Suppliers

COLUMNS = ("index", "country", "sector", "spend_cents", "energy_kwh")
FACTORS = read_factors()
FIRST_TWO = [[0, 34, 0, 857428, 8145], [1, 105, 6, 68091, 719]]


def database(size: int = 500, seed: int = 2024) -> SupplierDatabase:
    return SupplierDatabase(FACTORS, size=size, seed=seed)


def columns(suppliers: Suppliers) -> np.ndarray:
    return np.stack([getattr(suppliers, name) for name in COLUMNS])


@given(size=st.integers(0, 400), of=st.integers(1, 60), seed=st.integers(0, 2**64 - 1))
def test_slices_are_disjoint_and_together_whole(size, of, seed):
    made = database(size, seed)
    parts = [made.slice(index, of) for index in range(of)]
    joined = np.concatenate([columns(part) for part in parts], axis=1)
    assert np.array_equal(joined[0], np.arange(size))
    assert np.array_equal(joined, columns(made.between(0, size)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_supplier_depends_on_the_seed_and_its_index_only():
    alone = columns(database(size=10).between(7, 8))
    assert np.array_equal(alone, columns(database(size=100_000).between(7, 8)))
    assert not np.array_equal(alone, columns(database(seed=1).between(7, 8)))


def test_what_is_made_today_is_what_was_made_before():
    first = database().between(0, 2)
    assert first.ids == ["SUP-000000", "SUP-000001"]
    assert columns(first).T.tolist() == FIRST_TWO


def test_countries_and_sectors_come_as_often_as_they_weigh():
    everyone = database(100_000).slice(0, 1)
    whole = sum(one.generation_10gwh for one in FACTORS.grid)
    for place, country in enumerate(FACTORS.grid[:60]):
        wanted = country.generation_10gwh / whole
        assert (everyone.country == place).mean() == pytest.approx(wanted, abs=0.005)
    for place, sector in enumerate(FACTORS.sectors):
        of_it = everyone.sector == place
        assert of_it.mean() == pytest.approx(sector.share_percent / 100, abs=0.005)
        reporting = (everyone.energy_kwh[of_it] != NOT_REPORTED).mean()
        assert reporting == pytest.approx(sector.reporting_percent / 100, abs=0.03)


def test_each_doubling_of_size_is_half_as_frequent():
    spend = database(100_000).slice(0, 1).spend_cents
    assert spend.min() >= 50_000
    assert spend.max() < 50_000 * 2**13
    for doublings in range(1, 6):
        share = (spend >= 50_000 * 2**doublings).mean()
        assert share == pytest.approx(2.0**-doublings, abs=0.005)
