"""Reading a company's files, the period, completeness and plausibility."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from examples.csrd.completeness import (
    Status,
    assess,
    dump_completeness,
    gaps,
    load_completeness,
    read_data_points,
    require,
)
from examples.csrd.errors import (
    BadData,
    BadRequest,
    CsrdError,
    IncompleteData,
    UnknownCompany,
)
from examples.csrd.period import parse_period
from examples.csrd.plausibility import doubtful
from examples.csrd.sites import Reading, Site, Source, load_company
from orchestration.errors import NonRetryable


def test_the_shipped_companies_are_sound(data_folder):
    for company_id, sites, countries in (
        ("LEI-1234567890", 12, 9),
        ("LEI-0987654321", 3, 3),
    ):
        company, own, readings = load_company(data_folder / "companies", company_id)
        assert company.company_id == company_id
        assert len(own) == sites
        assert len({site.iso3 for site in own}) == countries
        assert len(readings) == sites * 24
        for label in ("2023", "2024"):
            assert gaps(own, readings, parse_period(label)) == {}
        assert doubtful(readings) == ()


@pytest.mark.parametrize("company_id", ["LEI-0", "../LEI-1234567890", "", "."])
def test_an_unknown_company_is_refused_and_the_known_ones_are_listed(
    data_folder, company_id
):
    with pytest.raises(UnknownCompany, match="LEI-1234567890"):
        load_company(data_folder / "companies", company_id)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("electricity.csv", "1259.292", "12x", "line 2: mwh '12x' is no number"),
        ("electricity.csv", "1259.292", "-1", "line 2: mwh -1 must be zero or more"),
        ("electricity.csv", "1259.292", "NaN", "mwh NaN must be zero or more"),
        ("electricity.csv", "2023-02", "2023-13", "month '2023-13' must look like"),
        ("electricity.csv", "2023-02", "2023-01", "has two readings of 2023-01"),
        ("electricity.csv", "meter", "guess", "source 'guess' must be one of meter"),
        ("electricity.csv", "DE-STR", "DE-XXX", "has readings of DE-XXX"),
        ("electricity.csv", "site_id", "site", "has columns"),
        ("electricity.csv", ",meter", "", "is no row"),
        ("sites.csv", "DE-CHE", "DE-STR", "site DE-STR is listed twice"),
        ("sites.csv", "DEU", "de", "iso3 'de' three capitals"),
        ("company.json", "00003", "00004", "fails the ISO 17442 check digits"),
        ("company.json", '"lei"', '"LEI"', "KeyError"),
    ],
)
def test_a_malformed_file_is_refused_naming_line_and_value(
    own_data, file, old, new, told
):
    path = own_data / "companies" / "LEI-1234567890" / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BadData) as caught:
        load_company(own_data / "companies", "LEI-1234567890")
    assert told in str(caught.value)


@pytest.mark.parametrize("file", ["electricity.csv", "sites.csv", "company.json"])
def test_a_missing_file_is_named(own_data, file):
    (own_data / "companies" / "LEI-1234567890" / file).unlink()
    with pytest.raises(BadData, match=f"{file} is missing"):
        load_company(own_data / "companies", "LEI-1234567890")


def test_every_error_says_that_trying_again_is_useless():
    assert issubclass(CsrdError, NonRetryable)


def test_the_fourth_quarter_closes_the_full_year():
    period = parse_period("2024-Q4")
    assert len(period.months) == 12
    assert period.coverage == "2024-01-01 to 2024-12-31 (the full year)"
    assert period.comparative.coverage.startswith("2023-01-01 to 2023-12-31")


def test_an_earlier_quarter_is_the_year_to_date_and_says_that_it_is_interim():
    period = parse_period("2024-Q2")
    assert period.months[-1] == "2024-06"
    assert period.coverage == "2024-01-01 to 2024-06-30 (interim, not a full year)"


@pytest.mark.parametrize("label", ["2024-Q5", "Q4-2024", "24", "2024-12", ""])
def test_another_period_is_refused(label):
    with pytest.raises(BadRequest, match="use a year"):
        parse_period(label)


SITES = [Site("A", "a", "DEU", "plant"), Site("B", "b", "DEU", "plant")]


def readings(site_id, months, mwh="1"):
    return [Reading(site_id, m, Decimal(mwh), Source.METER) for m in months]


@pytest.fixture
def points(data_folder):
    return read_data_points(data_folder / "esrs_e1_data_points.csv")


def test_a_required_data_point_with_gaps_names_site_and_months(points):
    period = parse_period("2024")
    have = readings("A", period.months) + readings("B", period.months[:-2])
    lacking = gaps(SITES, have, period)
    result = assess(points, ["ESRS-E1"], {"electricity": lacking})
    with pytest.raises(IncompleteData, match=r"E1-6 49\(a\).*site B: 2024-11, 2024-12"):
        require(result)


def test_a_gap_in_the_comparative_year_is_told_and_does_not_stop_the_report(points):
    inputs = {"electricity": {}, "electricity_comparative": {"B": ("2023-01",)}}
    result = assess(points, ["ESRS-E1"], inputs)
    require(result)
    missing = [a for a in result.assessments if a.status is Status.MISSING]
    assert [a.point.standard for a in missing] == ["ESRS-1"]
    assert missing[0].lacking == "site B: 2023-01"


def test_standards_without_data_points_are_not_assessed(points):
    result = assess(points, ["ESRS-E1", "ESRS-E2", "ESRS-S1"], {"electricity": {}})
    assert result.not_assessed == ("ESRS-E2", "ESRS-S1")


def test_standards_that_are_listed_say_what_they_answer(points):
    inputs = {"electricity": {}, "electricity_comparative": {}}
    result = assess(points, ["ESRS-E1"], inputs)
    counts = dump_completeness(result)["counts"]
    assert counts == {"complete": 1, "in part": 3, "missing": 0, "not covered": 26}


def test_data_points_of_a_standard_that_nobody_asked_for_are_left_out(points):
    result = assess(points, ["ESRS-E2"], {"electricity": {}})
    assert {a.point.standard for a in result.assessments} == {"ESRS-1"}


def test_only_data_points_made_of_collected_inputs_count_as_answered(points):
    result = assess(points, ["ESRS-E1"], {"electricity": {}})
    answered = {
        f"{a.point.disclosure} {a.point.paragraph}": a.status
        for a in result.assessments
        if a.status is not Status.NOT_COVERED
    }
    assert answered == {
        "E1-5 37": Status.PART,
        "E1-6 49(a)": Status.PART,
        "E1-6 AR 39(b)": Status.PART,
    }


def test_an_assessment_survives_json(points):
    result = assess(
        points, ["ESRS-E1", "ESRS-S1"], {"electricity": {"A": ("2024-01",)}}
    )
    assert (
        load_completeness(json.loads(json.dumps(dump_completeness(result)))) == result
    )


def test_a_reading_far_from_its_sites_median_is_flagged():
    months = parse_period("2024").months
    slip = readings("A", months[:-1], "100") + readings("A", months[-1:], "1000")
    assert doubtful(slip) == ("A 2024-12: 1000 MWh, the site's median is 100 MWh",)
    assert doubtful(readings("A", months, "100")) == ()
