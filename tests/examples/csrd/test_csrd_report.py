"""What is published: XBRL by Arelle, the page, the chart, the outbox."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from examples.csrd.errors import AlreadyPublished, ChangedFile
from examples.csrd.outbox import publish
from examples.csrd.transaction import report_request

CSRDX = "{https://example.org/csrd-example/2024}"


@pytest.fixture
def report(run) -> Path:
    run.whole()
    return Path(run.data["published"]["path"])


def arelle(instance: Path) -> list[str]:
    """Validate offline; return each error and warning."""
    command = [sys.executable, "-m", "arelle.CntlrCmdLine", "--file", instance]
    command += ["--validate", "--utr", "--internetConnectivity", "offline"]
    command += ["--disablePersistentConfig", "--calc", "xbrl21"]
    command += ["--logFormat", "%(levelname)s [%(messageCode)s] %(message)s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert any("validated in" in line for line in lines), lines
    return [line for line in lines if not line.startswith("INFO")]


def test_arelle_finds_the_instance_valid(report):
    assert arelle(report / "instance.xbrl") == []


def test_arelle_finds_an_interim_instance_without_comparative_valid(new_run, own_data):
    path = own_data / "companies" / "LEI-1234567890" / "electricity.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if ",2023-" not in line))
    run = new_run(data=report_request(reporting_period="2024-Q2")).whole()
    assert arelle(Path(run.data["published"]["path"]) / "instance.xbrl") == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        # A factor without its country.
        (
            'contextRef="c2024-DEU" unitRef="g_per_kWh"',
            'contextRef="c2024" unitRef="g_per_kWh"',
            "xbrldie:PrimaryItemDimensionallyInvalidError",
        ),
        # Energy in tonnes of CO2e.
        ('unitRef="MWh"', 'unitRef="tCO2e"', "utre:error-NumericFactUtrInvalid"),
        ("CountryCode>DEU", "CountryCode>Germany", "xmlSchema:valueError"),
        ("csrdx:SitesIncluded", "csrdx:Sites", "xmlSchema:"),
        ("2024-12-31", "2023-12-31", "xbrl.4.7.2:periodStartBeforeEnd"),
    ],
)
def test_arelle_finds_a_broken_instance_invalid(report, tmp_path, old, new, code):
    broken = tmp_path / "broken"
    shutil.copytree(report, broken)
    instance = broken / "instance.xbrl"
    text = instance.read_text()
    assert old in text
    instance.write_text(text.replace(old, new))
    assert any(code in line for line in arelle(instance))


def facts(instance: Path, name: str) -> dict[str, str]:
    root = ET.parse(instance).getroot()
    return {
        str(fact.get("contextRef")): str(fact.text)
        for fact in root.iter(f"{CSRDX}{name}")
    }


def test_facts_are_the_figures_and_countries_add_up_to_the_total(report):
    figures = json.loads((report / "figures.json").read_text())
    for name, key in (
        ("PurchasedElectricityConsumption", "electricity_mwh"),
        ("LocationBasedScope2FromElectricity", "scope2_location_based_tco2e"),
    ):
        told = facts(report / "instance.xbrl", name)
        for year in figures["years"]:
            total = f"c{year['period']['year']}"
            assert told[total] == year[key]
            own = [Fraction(v) for k, v in told.items() if k.startswith(f"{total}-")]
            assert sum(own) == Fraction(year[key])


def test_each_country_tells_factor_year_and_sites(report):
    instance = report / "instance.xbrl"
    assert facts(instance, "GridEmissionFactor")["c2024-POL"] == "661.926"
    assert facts(instance, "GridEmissionFactorYear")["c2024-UKR"] == "2022"
    assert facts(instance, "SitesIncluded")["c2024-POL"] == "PL-WRO PL-LOD"


def test_the_instance_says_what_it_does_not_cover(report):
    told = facts(report / "instance.xbrl", "ScopeOfStatement")["c2024"]
    assert "not a complete ESRS E1 disclosure" in told
    assert "Not assessed: ESRS-E2, ESRS-S1" in told


class Links(HTMLParser):
    """Collects what a browser would load, and checks that tags are closed."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in {"src", "href", "xlink:href"} and not value.startswith("#"):
                self.loads.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()


def test_the_page_is_well_formed_and_loads_nothing(report):
    page = (report / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert links.open == []
    assert links.loads == []
    assert re.findall(r"url\((?!#)", page) == []


def test_the_page_shows_every_site_figure_and_factor_year(report):
    page = (report / "report.html").read_text()
    space = "\N{NARROW NO-BREAK SPACE}"
    assert f"27{space}787.6" in page
    for site in ("DE-STR", "UA-LWO", "NL-RTM"):
        assert site in page
    assert '2022 <span class="gap">(\N{MINUS SIGN}2)</span>' in page
    assert "not a complete ESRS E1 disclosure" in page
    assert "MIT licence" in page
    assert "Both years use the same factor in all countries" in page


def test_names_from_the_data_are_escaped(run, own_data):
    folder = own_data / "companies" / "LEI-1234567890"
    for name, old in (("company.json", "(invented)"), ("sites.csv", "Stuttgart")):
        path = folder / name
        path.write_text(path.read_text().replace(old, "<script>&"))
    run.whole()
    report = Path(run.data["published"]["path"])
    assert "<script" not in (report / "report.html").read_text()
    assert arelle(report / "instance.xbrl") == []


def test_the_chart_is_an_svg_file_and_stands_in_the_page(report):
    chart = (report / "chart.svg").read_text()
    assert ET.fromstring(chart).tag == "{http://www.w3.org/2000/svg}svg"
    assert chart[chart.index("<svg") :] in (report / "report.html").read_text()


def test_two_sagas_differ_in_the_reports_id_only(new_run):
    pages = []
    for saga_id in ("one", "two"):
        run = new_run(saga_id).whole()
        text = Path(run.data["published"]["path"], "report.html").read_text()
        pages.append(text.replace(run.data["report_id"], "ID"))
    assert pages[0] == pages[1]


def test_the_manifest_names_the_saga_and_every_file_with_its_digest(report):
    manifest = json.loads((report / "manifest.json").read_text())
    assert manifest["saga_id"] == "saga-1"
    found = {
        path.relative_to(report).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in report.rglob("*")
        if path.is_file() and path.name not in {"manifest.json", "receipt.json"}
    }
    assert found == manifest["files"]


def test_publishing_again_changes_nothing(run, report, home, snapshot):
    before = snapshot(home)
    stamp = report.stat().st_mtime_ns
    again = run.do("publish_report", attempt=2)
    assert again["published"]["path"] == str(report)
    assert snapshot(home) == before
    assert report.stat().st_mtime_ns == stamp


def test_another_report_under_the_same_id_is_refused_and_the_first_kept(
    run, report, home, snapshot
):
    before = snapshot(home / "outbox")
    receipt = {"report_id": report.name, "manifest_sha256": "another"}
    with pytest.raises(AlreadyPublished, match=report.name):
        publish(home, report, {}, receipt)
    assert snapshot(home / "outbox") == before


def test_a_changed_draft_is_not_published_and_nothing_half_is_left(run, home, snapshot):
    run.up_to("publish_report")
    page = (home / run.data["draft"]["path"]).with_name("report.html")
    page.write_text(page.read_text().replace("27", "17"))
    with pytest.raises(ChangedFile, match=r"report\.html"):
        run.do("publish_report")
    assert list((home / "outbox").iterdir()) == []


def test_what_a_killed_publisher_left_is_cleared_away(run, home):
    run.up_to("publish_report")
    leftover = home / "outbox" / f".{run.data['report_id']}.abc"
    leftover.mkdir(parents=True)
    (leftover / "report.html").write_text("half")
    run.do("publish_report")
    assert [path.name for path in (home / "outbox").iterdir()] == [
        run.data["report_id"]
    ]
