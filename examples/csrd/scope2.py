"""How much location-based Scope 2 the purchased electricity amounts to.

tCO2e = MWh x g/kWh / 1000, in exact decimals: nothing is rounded before it is
shown. Every figure keeps its lineage: which sites, which factor, whose readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from examples.csrd.decimals import exact
from examples.csrd.factors import Factor
from examples.csrd.period import Period
from examples.csrd.sites import Reading, Site, Source

__all__ = [
    "CountryFigure",
    "QuarterFigure",
    "SiteFigure",
    "YearFigures",
    "emissions_t",
    "year_figures",
]

_G_PER_KWH_TO_T_PER_MWH = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class SiteFigure:
    """What one site used and caused; the leaves of the lineage."""

    site: Site
    mwh: Decimal
    tco2e: Decimal
    mwh_by_source: Mapping[Source, Decimal]


@dataclass(frozen=True, slots=True)
class CountryFigure:
    """The sum of a country's sites, and the one factor that was used for it."""

    factor: Factor
    gap_years: int
    mwh: Decimal
    tco2e: Decimal
    sites: tuple[SiteFigure, ...]


@dataclass(frozen=True, slots=True)
class QuarterFigure:
    """The sum over all sites in one quarter (1 to 4)."""

    quarter: int
    mwh: Decimal
    tco2e: Decimal


@dataclass(frozen=True, slots=True)
class YearFigures:
    """The figures of one reporting year.

    ``countries`` are ordered by emissions, largest first; they and ``quarters``
    each add up to ``mwh`` and ``tco2e`` exactly.
    """

    period: Period
    mwh: Decimal
    tco2e: Decimal
    countries: tuple[CountryFigure, ...]
    quarters: tuple[QuarterFigure, ...]
    mwh_by_source: Mapping[Source, Decimal]


def emissions_t(mwh: Decimal, g_per_kwh: Decimal) -> Decimal:
    """Return tonnes CO2e of ``mwh`` at ``g_per_kwh``, exactly."""
    with exact():
        return mwh * g_per_kwh * _G_PER_KWH_TO_T_PER_MWH


def year_figures(
    sites: Sequence[Site],
    readings: Sequence[Reading],
    factors: Mapping[str, Factor],
    period: Period,
) -> YearFigures:
    """Return the figures of ``period``.

    Args:
        sites: The sites inside the boundary.
        readings: Any months; those outside ``period`` are left out.
        factors: The factor of each country that has a site.
        period: The months to add up.
    """
    months = frozenset(period.months)
    inside = [reading for reading in readings if reading.month in months]
    with exact():
        by_site = [_site(site, inside, factors[site.iso3]) for site in sites]
        countries = tuple(
            _country(factors[iso3], by_site, period.year) for iso3 in sorted(factors)
        )
        return YearFigures(
            period,
            _sum(c.mwh for c in countries),
            _sum(c.tco2e for c in countries),
            tuple(sorted(countries, key=lambda c: (-c.tco2e, c.factor.iso3))),
            _quarters(sites, inside, factors, period),
            _by_source(inside),
        )


def _site(site: Site, readings: Sequence[Reading], factor: Factor) -> SiteFigure:
    own = [reading for reading in readings if reading.site_id == site.site_id]
    mwh = _sum(reading.mwh for reading in own)
    return SiteFigure(site, mwh, emissions_t(mwh, factor.g_per_kwh), _by_source(own))


def _country(factor: Factor, sites: Sequence[SiteFigure], year: int) -> CountryFigure:
    own = tuple(figure for figure in sites if figure.site.iso3 == factor.iso3)
    mwh = _sum(figure.mwh for figure in own)
    tco2e = emissions_t(mwh, factor.g_per_kwh)
    return CountryFigure(factor, year - factor.year, mwh, tco2e, own)


def _quarters(
    sites: Sequence[Site],
    readings: Sequence[Reading],
    factors: Mapping[str, Factor],
    period: Period,
) -> tuple[QuarterFigure, ...]:
    country = {site.site_id: site.iso3 for site in sites}
    figures = []
    for quarter in range(1, period.last_month // 3 + 1):
        own = [r for r in readings if (int(r.month[5:]) + 2) // 3 == quarter]
        tco2e = _sum(
            emissions_t(r.mwh, factors[country[r.site_id]].g_per_kwh) for r in own
        )
        figures.append(QuarterFigure(quarter, _sum(r.mwh for r in own), tco2e))
    return tuple(figures)


def _by_source(readings: Sequence[Reading]) -> Mapping[Source, Decimal]:
    return {
        source: _sum(r.mwh for r in readings if r.source is source) for source in Source
    }


def _sum(values: Iterable[Decimal]) -> Decimal:
    return sum(values, start=Decimal(0))
