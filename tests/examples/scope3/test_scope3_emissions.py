"""Emissions: the formula by hand, and sums that no grouping can change."""

from __future__ import annotations

import csv
import json
import random
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.scope3.emissions import Totals, footprint, tonnes
from examples.scope3.factors import DATA, read_factors
from examples.scope3.plain import plain_total
from examples.scope3.suppliers import NOT_REPORTED, SupplierDatabase, Suppliers

FACTORS = read_factors()


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def by_hand(suppliers: Suppliers) -> Decimal:
    """Grams, from the files as they stand, one supplier after the other."""
    grid, sectors = rows("grid_intensity.csv"), rows("sectors.csv")
    grams = Decimal(0)
    for n in range(len(suppliers)):
        sector = sectors[int(suppliers.sector[n])]
        euros = Decimal(int(suppliers.spend_cents[n])) / 100
        kwh = Decimal(int(suppliers.energy_kwh[n]))
        if kwh < 0:
            usual = euros * int(sector["wh_per_eur"]) / 1_000
            kwh = usual.quantize(Decimal(1), rounding="ROUND_HALF_UP")
        per_kwh = grid[int(suppliers.country[n])]["carbon_intensity_g_per_kwh"]
        grams += kwh * Decimal(per_kwh) + euros * Decimal(sector["other_g_per_eur"])
    return grams


def one(spend_cents: int, energy_kwh: int, country: str, sector: str) -> Suppliers:
    countries = [factor.iso3 for factor in FACTORS.grid]
    names = [factor.sector for factor in FACTORS.sectors]
    figures = (0, countries.index(country), names.index(sector))
    return Suppliers(*(np.array([n]) for n in (*figures, spend_cents, energy_kwh)))


def test_factors_are_those_of_the_file_to_the_last_digit():
    for row, factor in zip(rows("grid_intensity.csv"), FACTORS.grid, strict=True):
        assert row["iso3"] == factor.iso3
        per_kwh = Decimal(factor.mg_per_kwh) / 1_000
        assert per_kwh == Decimal(row["carbon_intensity_g_per_kwh"])
    france = next(factor for factor in FACTORS.grid if factor.iso3 == "FRA")
    assert (france.year, france.mg_per_kwh) == (2023, 56_039)


def test_a_supplier_that_reports_is_taken_at_its_word():
    made = footprint(one(10_000, 7, "FRA", "Metals"), FACTORS)
    assert made.electricity_mg.tolist() == [7 * 56_039]
    assert made.other_mg.tolist() == [100 * 820_000]
    assert made.is_reported.tolist() == [True]


def test_of_one_that_does_not_the_usual_is_assumed_in_whole_kwh():
    # 1900 Wh for a euro: 50.35 and 50.54 kWh
    for cents, kwh in ((2_650, 50), (2_660, 51)):
        made = footprint(one(cents, NOT_REPORTED, "FRA", "Metals"), FACTORS)
        assert (made.kwh.tolist(), made.is_reported.tolist()) == ([kwh], [False])


def test_the_total_is_that_of_decimals_by_hand():
    suppliers = SupplierDatabase(FACTORS, size=2_000).slice(0, 1)
    assert tonnes(Totals.of(suppliers, FACTORS).all_mg) * 10**6 == by_hand(suppliers)


@given(
    size=st.integers(1, 1_500),
    of=st.integers(1, 90),
    seed=st.integers(0, 2**64 - 1),
    order=st.randoms(use_true_random=False),
)
def test_the_total_is_exact_whatever_the_partitions_and_their_order(
    size: int, of: int, seed: int, order: random.Random
):
    database = SupplierDatabase(FACTORS, size=size, seed=seed)
    parts = [Totals.of(database.slice(index, of), FACTORS) for index in range(of)]
    order.shuffle(parts)
    total = Totals.together(parts)
    assert total == Totals.of(database.slice(0, 1), FACTORS)
    assert (total.all_mg, total.spend_cents) == plain_total(database)
    for groups in (total.by_country, total.by_sector):
        together = [sum(column) for column in zip(*groups.values(), strict=True)]
        assert together == [total.electricity_mg, total.other_mg]


def test_totals_come_back_from_json_as_they_were():
    part = Totals.of(SupplierDatabase(FACTORS).slice(3, 1_000), FACTORS)
    assert Totals.from_json(json.loads(json.dumps(part.to_json()))) == part
    assert part.quality == part.reporting / 100


def test_a_sum_that_could_run_over_is_refused():
    many = one(2**56, 0, "FRA", "Metals")
    with pytest.raises(OverflowError, match="make more partitions"):
        footprint(many, FACTORS)


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("grid_intensity.csv", "561.224", "561.2245", "ABW is 561.2245"),
        ("sectors.csv", ",8,1900,", ",9,1900,", "101 % together"),
    ],
)
def test_factors_that_cannot_be_kept_exactly_are_refused(
    tmp_path: Path, file: str, before: str, after: str, said: str
):
    for name in ("grid_intensity.csv", "sectors.csv"):
        text = (DATA / name).read_text("utf-8")
        changed = text.replace(before, after, 1) if name == file else text
        (tmp_path / name).write_text(changed, "utf-8")
    with pytest.raises(ValueError, match=said):
        read_factors(tmp_path)
