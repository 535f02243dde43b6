"""The calculated figures, against a second computation that shares no code."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.csrd.decimals import canonical, shown
from examples.csrd.errors import MissingFactor
from examples.csrd.factors import Factor, choose_factors, read_factors
from examples.csrd.figures import dump_year, load_year
from examples.csrd.period import parse_period
from examples.csrd.scope2 import emissions_t, year_figures
from examples.csrd.sites import Reading, Site, Source


def independent_totals(data_folder, year):
    """Sums in fractions, straight from the files; factors by the stated rule."""
    company = data_folder / "companies" / "LEI-1234567890"
    with (company / "sites.csv").open() as file:
        country = {row["site_id"]: row["iso3"] for row in csv.DictReader(file)}
    factor = {}
    with (data_folder / "grid_intensity.csv").open() as file:
        for row in csv.DictReader(file):
            if int(row["year"]) <= year:
                factor[row["iso3"]] = Fraction(row["carbon_intensity_g_per_kwh"])
    mwh, tonnes = defaultdict(Fraction), defaultdict(Fraction)
    with (company / "electricity.csv").open() as file:
        for row in csv.DictReader(file):
            if row["month"].startswith(str(year)):
                iso3 = country[row["site_id"]]
                mwh[iso3] += Fraction(row["mwh"])
                kg = Fraction(row["mwh"]) * 1000 * factor[iso3] / 1000
                tonnes[iso3] += kg / 1000
    return mwh, tonnes


@pytest.mark.parametrize("year", [2023, 2024])
def test_figures_equal_an_independent_computation_to_the_last_digit(
    run, home, data_folder, year
):
    run.up_to("generate_report")
    figures = json.loads((home / run.data["figures"]["path"]).read_text())
    mwh, tonnes = independent_totals(data_folder, year)
    own = next(y for y in figures["years"] if y["period"]["year"] == year)
    assert Fraction(own["electricity_mwh"]) == sum(mwh.values())
    assert Fraction(own["scope2_location_based_tco2e"]) == sum(tonnes.values())
    by_country = {c["factor"]["iso3"]: c for c in own["countries"]}
    assert set(by_country) == set(mwh)
    for iso3, row in by_country.items():
        assert Fraction(row["electricity_mwh"]) == mwh[iso3]
        assert Fraction(row["scope2_location_based_tco2e"]) == tonnes[iso3]


def test_output_of_the_step_tells_totals_and_each_factors_own_year(run):
    run.up_to("calculate_metrics")
    output = run.do("calculate_metrics")
    assert output["electricity_mwh"] == "76154.779"
    assert output["scope2_location_based_tco2e"] == "27787.615378294"
    countries = output["scope2"]["2024"]["countries"]
    assert (countries["DEU"]["factor_year"], countries["DEU"]["factor_gap_years"]) == (
        2023,
        1,
    )
    assert (countries["UKR"]["factor_year"], countries["UKR"]["factor_gap_years"]) == (
        2022,
        2,
    )


def test_a_megawatt_hour_at_a_gram_per_kilowatt_hour_is_a_kilogram():
    assert emissions_t(Decimal(1), Decimal(1)) == Decimal("0.001")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "C", "D"]),
            st.integers(1, 12),
            st.decimals(0, 10**9, places=6),
            st.sampled_from(list(Source)),
        ),
        max_size=40,
        unique_by=lambda row: row[:2],
    )
)
def test_countries_sites_quarters_and_sources_each_add_up_exactly(rows):
    sites = [Site(s, s, iso3, "plant") for s, iso3 in zip("ABCD", "XXYZ", strict=True)]
    readings = [Reading(s, f"2024-{m:02d}", mwh, source) for s, m, mwh, source in rows]
    factors = {
        iso3: Factor(iso3, iso3, 2023, Decimal("123.456789") + ord(iso3))
        for iso3 in "XYZ"
    }
    year = year_figures(sites, readings, factors, parse_period("2024"))
    total = sum((Fraction(r.mwh) for r in readings), Fraction(0))
    assert Fraction(year.mwh) == total
    for parts in (year.countries, year.quarters):
        assert sum((Fraction(p.mwh) for p in parts), Fraction(0)) == total
        tonnes = sum((Fraction(p.tco2e) for p in parts), Fraction(0))
        assert tonnes == Fraction(year.tco2e)
    of_sites = (s for country in year.countries for s in country.sites)
    assert sum((Fraction(s.tco2e) for s in of_sites), Fraction(0)) == tonnes
    by_source = year.mwh_by_source.values()
    assert sum((Fraction(m) for m in by_source), Fraction(0)) == total
    assert load_year(json.loads(json.dumps(dump_year(year)))) == year


def test_readings_outside_the_period_are_left_out():
    sites = [Site("A", "A", "XXX", "plant")]
    factors = {"XXX": Factor("XXX", "X", 2024, Decimal(1))}
    readings = [
        Reading("A", month, Decimal(1), Source.METER)
        for month in ("2023-12", "2024-01", "2024-03", "2024-04")
    ]
    assert year_figures(sites, readings, factors, parse_period("2024-Q1")).mwh == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0"), ("0.000", "0"), ("1.500", "1.5"), ("1E+3", "1000"), ("100", "100")],
)
def test_a_value_has_one_spelling(value, text):
    assert canonical(Decimal(value)) == text


def test_shown_values_are_rounded_half_to_even():
    assert shown(Decimal("2.25")) == "2.2"
    assert shown(Decimal("12345.67"), 0) == "12\N{NARROW NO-BREAK SPACE}346"


def table(*years):
    return [Factor("DEU", "Germany", year, Decimal(year)) for year in years]


SITES = [Site("DE-1", "Bremen works", "DEU", "plant")]


@pytest.mark.parametrize(
    ("years", "reporting", "chosen"),
    [
        ((2022, 2023, 2024), 2024, 2024),
        ((2023, 2022), 2024, 2023),
        ((2022, 2025), 2024, 2022),
        ((2019,), 2024, 2019),
    ],
)
def test_the_latest_factor_not_after_the_reporting_year_is_chosen(
    years, reporting, chosen
):
    assert choose_factors(table(*years), SITES, reporting)["DEU"].year == chosen


@pytest.mark.parametrize("years", [(2025,), (2018,), ()])
def test_a_later_too_old_or_absent_factor_is_refused_with_the_way_out(years):
    with pytest.raises(MissingFactor) as caught:
        choose_factors(table(*years), SITES, 2024)
    told = str(caught.value)
    assert "DEU" in told
    assert "DE-1 (Bremen works)" in told
    assert "Add a row" in told


def test_all_countries_without_a_factor_are_named_at_once():
    sites = [Site("A", "a", "AAA", "plant"), Site("B", "b", "BBB", "plant")]
    with pytest.raises(MissingFactor, match=r"AAA.*BBB"):
        choose_factors([], sites, 2024)


def test_the_shipped_table_has_one_row_per_country(data_folder):
    factors = read_factors(data_folder / "grid_intensity.csv")
    assert len(factors) == 213
    assert len({factor.iso3 for factor in factors}) == 213
