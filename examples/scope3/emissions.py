"""Scope 3 emissions of suppliers, exact to the milligram.

For each supplier, in whole numbers:

    mg CO2e = kWh x (mg CO2e/kWh of its country's grid)
            + cents spent x (mg CO2e/cent of its sector, beside electricity)

where the kWh are those that the supplier reports or, if it does not, those that are
usual in its sector for what was spent, rounded to a whole kWh. That estimate is the one
place where anything is rounded, and it concerns one supplier: sums are of integers.
Integers are added in any order and grouping to the same total, which floating-point
numbers are not; so the total does not depend on the partitions, on who worked on them,
or on which was ready first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from examples.scope3.factors import Factors
from examples.scope3.suppliers import NOT_REPORTED, Suppliers

__all__ = ["Footprint", "Totals", "footprint", "tonnes"]

Integers = NDArray[np.int64]
Groups = dict[str, list[int]]

_CENTS_WH_PER_KWH_EUR = 100_000


@dataclass(frozen=True, slots=True)
class Footprint:
    """Columns, one row for each supplier.

    Attributes:
        kwh: Electricity, reported or estimated.
        electricity_mg: Its emissions, mg CO2e.
        other_mg: All others, mg CO2e.
        is_reported: Whether the electricity is.
    """

    kwh: Integers
    electricity_mg: Integers
    other_mg: Integers
    is_reported: NDArray[np.bool_]


def footprint(suppliers: Suppliers, factors: Factors) -> Footprint:
    """Return the emissions of each supplier.

    Raises:
        OverflowError: Their sum could be more than 64 bits hold.
    """
    sectors, sector, spend = factors.sectors, suppliers.sector, suppliers.spend_cents
    usual_wh = np.array([one.wh_per_eur for one in sectors], np.int64)
    other = np.array([one.other_mg_per_cent for one in sectors], np.int64)
    grid = np.array([one.mg_per_kwh for one in factors.grid], np.int64)
    half = _CENTS_WH_PER_KWH_EUR // 2
    estimated = (spend * usual_wh[sector] + half) // _CENTS_WH_PER_KWH_EUR
    is_reported = suppliers.energy_kwh != NOT_REPORTED
    kwh = np.where(is_reported, suppliers.energy_kwh, estimated)
    _expect_room(len(suppliers), (kwh, grid), (spend, other))
    return Footprint(
        kwh=kwh,
        electricity_mg=kwh * grid[suppliers.country],
        other_mg=spend * other[sector],
        is_reported=is_reported,
    )


@dataclass(slots=True)
class Totals:
    """What suppliers come to together; Python's integers have no end.

    Attributes:
        suppliers: How many they are.
        reporting: How many of them report their electricity.
        spend_cents: What was spent with them.
        kwh: Their electricity.
        electricity_mg: Its emissions, mg CO2e.
        other_mg: All others, mg CO2e.
        by_country: Electricity's and all other emissions, mg CO2e, by the country's
            three letters.
        by_sector: The same by sector.
    """

    suppliers: int = 0
    reporting: int = 0
    spend_cents: int = 0
    kwh: int = 0
    electricity_mg: int = 0
    other_mg: int = 0
    by_country: Groups = field(default_factory=dict)
    by_sector: Groups = field(default_factory=dict)

    @classmethod
    def of(cls, suppliers: Suppliers, factors: Factors) -> Self:
        """Return what these suppliers come to."""
        made = footprint(suppliers, factors)
        countries = [one.iso3 for one in factors.grid]
        sectors = [one.sector for one in factors.sectors]
        return cls(
            suppliers=len(suppliers),
            reporting=int(made.is_reported.sum()),
            spend_cents=int(suppliers.spend_cents.sum()),
            kwh=int(made.kwh.sum()),
            electricity_mg=int(made.electricity_mg.sum()),
            other_mg=int(made.other_mg.sum()),
            by_country=_grouped(suppliers.country, made, countries),
            by_sector=_grouped(suppliers.sector, made, sectors),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what ``to_json`` wrote."""
        return cls(**value)

    @classmethod
    def together(cls, parts: Iterable[Totals]) -> Self:
        """Return the sum of parts, whatever their order."""
        total = cls()
        for part in parts:
            total.add(part)
        return total

    def add(self, other: Totals) -> None:
        """Add another's suppliers to these."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, more in (
            (self.by_country, other.by_country),
            (self.by_sector, other.by_sector),
        ):
            for key, (electricity, rest) in more.items():
                before = mine.get(key, [0, 0])
                mine[key] = [before[0] + electricity, before[1] + rest]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; of a partition all numbers are far below 2**53."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        return {**counts, "by_country": self.by_country, "by_sector": self.by_sector}

    @property
    def all_mg(self) -> int:
        """All emissions, mg CO2e."""
        return self.electricity_mg + self.other_mg

    @property
    def quality(self) -> float:
        """The share of suppliers that report their electricity, 0.0 to 1.0."""
        return self.reporting / self.suppliers if self.suppliers else 0.0


_COUNTS = (
    "suppliers",
    "reporting",
    "spend_cents",
    "kwh",
    "electricity_mg",
    "other_mg",
)


def tonnes(mg: int) -> Decimal:
    """Return milligrams as tonnes, exactly."""
    return Decimal(mg).scaleb(-9)


def _expect_room(count: int, *products: tuple[Integers, Integers]) -> None:
    """See that no product and no sum can run over: NumPy would not say so."""
    most = sum(
        int(amount.max(initial=0)) * int(factor.max(initial=0))
        for amount, factor in products
    )
    if count * most > np.iinfo(np.int64).max:
        raise OverflowError(
            f"{count} suppliers of up to {most} mg CO2e may be more than 64 bits hold: "
            "make more partitions"
        )


def _grouped(group: Integers, made: Footprint, names: list[str]) -> Groups:
    """Return sums by group, of those that occur, in the order of the factors."""
    columns = (made.electricity_mg, made.other_mg)
    sums = np.zeros((len(names), len(columns)), np.int64)
    np.add.at(sums, group, np.stack(columns, axis=1))  # bincount adds in floating point
    return {names[place]: sums[place].tolist() for place in np.unique(group).tolist()}
