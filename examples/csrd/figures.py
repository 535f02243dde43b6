"""How the calculated figures are written to JSON and read back, without loss."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from examples.csrd.decimals import canonical
from examples.csrd.factors import Factor
from examples.csrd.period import Period, parse_period
from examples.csrd.scope2 import (
    CountryFigure,
    QuarterFigure,
    SiteFigure,
    YearFigures,
)
from examples.csrd.sites import Site, Source

__all__ = ["dump_year", "load_year", "summary"]

Json = dict[str, Any]


def dump_year(year: YearFigures) -> Json:
    """Return the figures of a year with all their lineage, as JSON."""
    return {
        "period": {
            "label": year.period.label,
            "year": year.period.year,
            "from": year.period.start.isoformat(),
            "to": year.period.end.isoformat(),
        },
        "electricity_mwh": canonical(year.mwh),
        "scope2_location_based_tco2e": canonical(year.tco2e),
        "formula": "tCO2e = MWh x g CO2e/kWh / 1000",
        "mwh_by_source": _dump_sources(year.mwh_by_source),
        "quarters": [
            {
                "quarter": quarter.quarter,
                "electricity_mwh": canonical(quarter.mwh),
                "scope2_location_based_tco2e": canonical(quarter.tco2e),
            }
            for quarter in year.quarters
        ],
        "countries": [_dump_country(country) for country in year.countries],
    }


def summary(year: YearFigures) -> Json:
    """Return what a step's output tells of a year: totals, and one row a country."""
    return {
        "electricity_mwh": canonical(year.mwh),
        "scope2_location_based_tco2e": canonical(year.tco2e),
        "countries": {
            country.factor.iso3: {
                "electricity_mwh": canonical(country.mwh),
                "scope2_location_based_tco2e": canonical(country.tco2e),
                "factor_g_per_kwh": canonical(country.factor.g_per_kwh),
                "factor_year": country.factor.year,
                "factor_gap_years": country.gap_years,
            }
            for country in year.countries
        },
    }


def load_year(raw: Mapping[str, Any]) -> YearFigures:
    """Return what :func:`dump_year` wrote."""
    label = parse_period(raw["period"]["label"])
    return YearFigures(
        Period(label.label, raw["period"]["year"], label.last_month),
        Decimal(raw["electricity_mwh"]),
        Decimal(raw["scope2_location_based_tco2e"]),
        tuple(_load_country(country) for country in raw["countries"]),
        tuple(
            QuarterFigure(
                quarter["quarter"],
                Decimal(quarter["electricity_mwh"]),
                Decimal(quarter["scope2_location_based_tco2e"]),
            )
            for quarter in raw["quarters"]
        ),
        _load_sources(raw["mwh_by_source"]),
    )


def _dump_country(country: CountryFigure) -> Json:
    return {
        "factor": {
            "iso3": country.factor.iso3,
            "country": country.factor.country,
            "year": country.factor.year,
            "g_per_kwh": canonical(country.factor.g_per_kwh),
            "gap_years": country.gap_years,
        },
        "electricity_mwh": canonical(country.mwh),
        "scope2_location_based_tco2e": canonical(country.tco2e),
        "sites": [
            {
                "site_id": figure.site.site_id,
                "name": figure.site.name,
                "kind": figure.site.kind,
                "electricity_mwh": canonical(figure.mwh),
                "scope2_location_based_tco2e": canonical(figure.tco2e),
                "mwh_by_source": _dump_sources(figure.mwh_by_source),
            }
            for figure in country.sites
        ],
    }


def _load_country(raw: Mapping[str, Any]) -> CountryFigure:
    factor = raw["factor"]
    return CountryFigure(
        Factor(
            factor["iso3"],
            factor["country"],
            factor["year"],
            Decimal(factor["g_per_kwh"]),
        ),
        factor["gap_years"],
        Decimal(raw["electricity_mwh"]),
        Decimal(raw["scope2_location_based_tco2e"]),
        tuple(
            SiteFigure(
                Site(site["site_id"], site["name"], factor["iso3"], site["kind"]),
                Decimal(site["electricity_mwh"]),
                Decimal(site["scope2_location_based_tco2e"]),
                _load_sources(site["mwh_by_source"]),
            )
            for site in raw["sites"]
        ),
    )


def _dump_sources(sources: Mapping[Source, Decimal]) -> Json:
    return {str(source): canonical(mwh) for source, mwh in sources.items()}


def _load_sources(raw: Mapping[str, str]) -> Mapping[Source, Decimal]:
    return {source: Decimal(raw[source]) for source in Source}
