"""Which electricity factor applies to a country in a reporting year.

The rule: the factor of the reporting year; if there is none, the latest earlier
one, at most ``MAX_GAP_YEARS`` old. Its own year and the gap stand beside every
figure made with it. A later year's factor is never used: restating the past
with a newer grid is a decision for people.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from examples.csrd.errors import MissingFactor
from examples.csrd.sites import Site

__all__ = ["MAX_GAP_YEARS", "Factor", "choose_factors", "read_factors"]

MAX_GAP_YEARS = 5


@dataclass(frozen=True, slots=True)
class Factor:
    """Life-cycle carbon intensity of a country's electricity in one year."""

    iso3: str
    country: str
    year: int
    g_per_kwh: Decimal


def read_factors(path: Path) -> tuple[Factor, ...]:
    """Return every factor of the table at ``path``."""
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Factor(
                row["iso3"],
                row["country"],
                int(row["year"]),
                Decimal(row["carbon_intensity_g_per_kwh"]),
            )
            for row in csv.DictReader(file)
        )


def choose_factors(
    factors: Iterable[Factor], sites: Sequence[Site], year: int
) -> Mapping[str, Factor]:
    """Return the factor of each country that has a site, for reporting ``year``.

    Raises:
        MissingFactor: Countries without a usable factor; the text names all of
            them with their sites, so that one correction is enough.
    """
    table = tuple(factors)
    chosen: dict[str, Factor] = {}
    faults: list[str] = []
    for iso3 in sorted({site.iso3 for site in sites}):
        known = [factor for factor in table if factor.iso3 == iso3]
        usable = [f for f in known if year - MAX_GAP_YEARS <= f.year <= year]
        if usable:
            chosen[iso3] = max(usable, key=lambda factor: factor.year)
        else:
            faults.append(_fault(iso3, known, sites))
    if faults:
        raise MissingFactor(
            f"no electricity factor for reporting year {year}: {'; '.join(faults)}. "
            "Add a row for the country, with its source, to "
            "examples/csrd/data/grid_intensity.csv, or take the site out of the "
            "boundary in sites.csv"
        )
    return chosen


def _fault(iso3: str, known: Sequence[Factor], sites: Sequence[Site]) -> str:
    places = ", ".join(f"{s.site_id} ({s.name})" for s in sites if s.iso3 == iso3)
    years = ", ".join(str(factor.year) for factor in known)
    why = f"only of {years}, usable are {MAX_GAP_YEARS} years back" if known else "none"
    return f"country {iso3}, needed by site {places}: {why}"
