"""The emission factors, as whole numbers: of each country's grid, and of each sector.

Every factor is read as a decimal and kept in a unit in which it is an integer, so that
what is computed from it is exact: see ``emissions.py``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

__all__ = ["DATA", "Factors", "GridFactor", "SectorFactor", "read_factors"]

DATA = Path(__file__).parent / "data"
_PERCENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class GridFactor:
    """A country's electricity.

    Attributes:
        year: That the figures are of.
        mg_per_kwh: Life-cycle carbon intensity, mg CO2e/kWh.
        generation_10gwh: Yearly generation, in 0.01 TWh.
    """

    iso3: str
    country: str
    year: int
    mg_per_kwh: int
    generation_10gwh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SectorFactor:
    """What a sector emits for each euro that is spent with it.

    Attributes:
        share_percent: How many of a hundred suppliers are of it.
        wh_per_eur: Electricity used, where a supplier does not say.
        other_mg_per_cent: What it emits beside electricity, mg CO2e for each cent.
        reporting_percent: How many of a hundred say what they use.
    """

    sector: str
    share_percent: int
    wh_per_eur: int
    other_mg_per_cent: int
    reporting_percent: int


@dataclass(frozen=True, slots=True)
class Factors:
    """All factors; suppliers name a country and a sector by its place in them."""

    grid: Sequence[GridFactor]
    sectors: Sequence[SectorFactor]


@lru_cache(maxsize=4)
def read_factors(folder: Path = DATA) -> Factors:
    """Return the factors of a folder.

    Raises:
        ValueError: A factor is finer than the unit it is kept in, or the shares of the
            sectors are not 100 % together.
    """
    grid = tuple(
        GridFactor(
            iso3=row["iso3"],
            country=row["country"],
            year=int(row["year"]),
            mg_per_kwh=_whole(row["carbon_intensity_g_per_kwh"], 1_000, row["iso3"]),
            generation_10gwh=round(Decimal(row["total_twh"]) * 100),
        )
        for row in _rows(folder / "grid_intensity.csv")
    )
    sectors = tuple(
        SectorFactor(
            sector=row["sector"],
            share_percent=int(row["share_percent"]),
            wh_per_eur=int(row["wh_per_eur"]),
            other_mg_per_cent=_whole(row["other_g_per_eur"], 10, row["sector"]),
            reporting_percent=int(row["reporting_percent"]),
        )
        for row in _rows(folder / "sectors.csv")
    )
    if (together := sum(one.share_percent for one in sectors)) != _PERCENT:
        raise ValueError(
            f"{folder / 'sectors.csv'}: the shares are {together} % together: make "
            "them 100"
        )
    return Factors(grid, sectors)


def _rows(path: Path) -> Sequence[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def _whole(text: str, times: int, whose: str) -> int:
    """Return a decimal in a unit so many times finer, in which it is a whole number."""
    value = Decimal(text) * times
    if value != int(value):
        raise ValueError(
            f"the factor of {whose} is {text}: give it in steps of {Decimal(1) / times}"
        )
    return int(value)
