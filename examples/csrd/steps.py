"""What each step of the saga makes: files in a folder, and a small output.

The functions here join the modules that know how; ``agents.py`` gives them to
the saga. Every file handed from step to step is checked by its SHA-256.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.csrd import completeness as complete
from examples.csrd.chart import scope2_chart
from examples.csrd.decimals import canonical
from examples.csrd.errors import BadRequest, MissingFactor
from examples.csrd.factors import choose_factors, read_factors
from examples.csrd.figures import dump_year, load_year, summary
from examples.csrd.period import Period, parse_period
from examples.csrd.plausibility import doubtful
from examples.csrd.report import METHODOLOGY, Statement, report_html, scope_sentence
from examples.csrd.scope2 import YearFigures, year_figures
from examples.csrd.sites import (
    Company,
    Reading,
    Site,
    load_company,
    read_company,
    read_readings,
    read_sites,
)
from examples.csrd.workspace import digest, dump_json, read_checked, write_file
from examples.csrd.xbrl import instance, taxonomy_files

__all__ = [
    "Collected",
    "calculate",
    "collect",
    "generate",
    "pause",
    "read_json",
    "validate",
]

Json = dict[str, Any]
Ref = Mapping[str, str]
_FRAMEWORK = "CSRD"


@dataclass(frozen=True, slots=True)
class Collected:
    """What the collecting step left for the others."""

    company: Company
    period: Period
    sites: tuple[Site, ...]
    readings: tuple[Reading, ...]

    @classmethod
    def load(cls, root: Path, ref: Ref) -> Collected:
        """Return it from the manifest that ``ref`` names, every file checked."""
        manifest = read_json(root, ref)
        folder = (root / ref["path"]).parent
        for name, sha256 in manifest["files"].items():
            read_checked(folder, {"path": name, "sha256": sha256})
        readings = [
            reading
            for name in manifest["files"]
            if name.startswith("electricity/")
            for reading in read_readings(folder / name)
        ]
        return cls(
            read_company(folder / "company.json"),
            parse_period(manifest["reporting_period"]),
            read_sites(folder / "sites.csv"),
            tuple(readings),
        )


def collect(
    folder: Path,
    data_root: Path,
    data: Mapping[str, Any],
    after_site: Callable[[], None],
) -> Json:
    """Copy the company's figures of the period and the year before into ``folder``.

    Args:
        folder: Where the files go.
        data_root: Where the companies' folders are.
        data: ``company_id``, ``reporting_period`` and ``frameworks``.
        after_site: Called after each site; may raise to stop.
    """
    if _FRAMEWORK not in data.get("frameworks", [_FRAMEWORK]):
        raise BadRequest(
            f"frameworks {data['frameworks']}: add {_FRAMEWORK}, "
            "the only one that this example reports on"
        )
    period = parse_period(str(data["reporting_period"]))
    company, sites, readings = load_company(data_root, str(data["company_id"]))
    source = data_root / company.company_id
    files: dict[str, str] = {}
    for name in ("company.json", "sites.csv"):
        content = (source / name).read_bytes()
        files[name] = write_file(folder / name, content)["sha256"]
    wanted = {*period.months, *period.comparative.months}
    kept = [reading for reading in readings if reading.month in wanted]
    for site in sites:
        name = f"electricity/{site.site_id}.csv"
        own = [reading for reading in kept if reading.site_id == site.site_id]
        files[name] = write_file(folder / name, _readings_csv(own))["sha256"]
        after_site()
    manifest = {
        "company_id": company.company_id,
        "reporting_period": period.label,
        "files": files,
        "source_sha256": digest((source / "electricity.csv").read_bytes()),
    }
    return {
        "collected": write_file(folder / "manifest.json", dump_json(manifest)),
        "company_name": company.name,
        "period_covered": period.coverage,
        "sites": len(sites),
        "countries": len({site.iso3 for site in sites}),
        "readings": len(kept),
    }


def validate(
    folder: Path, collected: Collected, data_points: Path, standards: Sequence[str]
) -> Json:
    """Check the collected data against the list of data points.

    Raises:
        IncompleteData: A data point that the report requires has gaps.
    """
    period = collected.period
    result = complete.assess(
        complete.read_data_points(data_points),
        standards,
        {
            complete.ELECTRICITY: complete.gaps(
                collected.sites, collected.readings, period
            ),
            complete.COMPARATIVE: complete.gaps(
                collected.sites, collected.readings, period.comparative
            ),
        },
    )
    complete.require(result)
    to_look_at = doubtful(collected.readings)
    content = {**complete.dump_completeness(result), "doubtful": list(to_look_at)}
    return {
        "completeness": write_file(folder / "completeness.json", dump_json(content)),
        "data_points": content["counts"],
        "standards_not_assessed": content["not_assessed"],
        "doubtful_readings": len(to_look_at),
    }


def calculate(folder: Path, collected: Collected, table: Path, inputs: Json) -> Json:
    """Calculate Scope 2 of the reporting year and of the year before.

    Args:
        folder: Where the figures go.
        collected: What the first step left.
        table: The electricity factors.
        inputs: Digests of what the figures rest on, kept beside them.

    Raises:
        IncompleteData: A site lacks a month of the reporting year.
        MissingFactor: A country has no usable factor for the reporting year.
    """
    sites, readings = collected.sites, collected.readings
    complete.require_readings(complete.gaps(sites, readings, collected.period))
    years = [_year(collected, table, collected.period)]
    omitted = ""
    if complete.gaps(collected.sites, collected.readings, collected.period.comparative):
        omitted = "the year before lacks readings (see the data points)."
    else:
        try:
            years.append(_year(collected, table, collected.period.comparative))
        except MissingFactor as exc:
            omitted = str(exc)
    content = {
        "company_id": collected.company.company_id,
        "years": [dump_year(year) for year in years],
        "comparative_omitted": omitted,
        "inputs": {**inputs, "factors_sha256": digest(table.read_bytes())},
    }
    return {
        "figures": write_file(folder / "figures.json", dump_json(content)),
        "scope2_location_based_tco2e": canonical(years[0].tco2e),
        "electricity_mwh": canonical(years[0].mwh),
        "scope2": {str(year.period.year): summary(year) for year in years},
    }


def generate(
    folder: Path,
    root: Path,
    collected: Collected,
    refs: Mapping[str, Ref],
    saga_id: str,
) -> Json:
    """Write the draft: page, chart, XBRL instance with its taxonomy, and figures.

    Args:
        folder: Where the draft goes.
        root: What the paths in ``refs`` start from.
        collected: What the first step left.
        refs: ``figures`` and ``completeness``, as the steps before wrote them.
        saga_id: Goes into the report's id and manifest, so that a published report
            leads back to the events of the saga that made it.
    """
    figures = read_json(root, refs["figures"])
    checked = read_json(root, refs["completeness"])
    assessed, omitted = (
        complete.load_completeness(checked),
        figures["comparative_omitted"],
    )
    if omitted:
        assessed = complete.without_comparative(assessed, omitted)
    label = collected.period.label
    statement = Statement(
        report_id=f"{collected.company.company_id}-{label}-{digest(saga_id.encode())[:10]}",
        company=collected.company,
        period=collected.period,
        years=tuple(load_year(year) for year in figures["years"]),
        comparative_omitted=omitted,
        completeness=assessed,
        doubtful=tuple(checked["doubtful"]),
    )
    chart = scope2_chart(statement.years)
    contents = {
        "report.html": report_html(statement, chart),
        "chart.svg": chart,
        "instance.xbrl": _instance(statement),
        "figures.json": read_checked(root, refs["figures"]),
        "completeness.json": dump_json(checked | complete.dump_completeness(assessed)),
        **{f"taxonomy/{file.name}": file.read_bytes() for file in taxonomy_files()},
    }
    files = {
        name: write_file(folder / name, content)["sha256"]
        for name, content in contents.items()
    }
    manifest = {"report_id": statement.report_id, "saga_id": saga_id, "files": files}
    return {
        "report_id": statement.report_id,
        "draft": write_file(folder / "manifest.json", dump_json(manifest)),
        "report_files": len(files) + 1,
    }


def read_json(root: Path, ref: Ref) -> Json:
    """Return the JSON file that an output refers to, checked by its digest."""
    content: Json = json.loads(read_checked(root, ref))
    return content


def pause(read_delay_ms: float) -> None:
    """Wait as long as a slow meter portal would; demonstrations only."""
    time.sleep(read_delay_ms / 1_000)


def _year(collected: Collected, table: Path, period: Period) -> YearFigures:
    factors = choose_factors(read_factors(table), collected.sites, period.year)
    return year_figures(collected.sites, collected.readings, factors, period)


def _instance(statement: Statement) -> bytes:
    return instance(
        statement.company,
        statement.years,
        scope=scope_sentence(statement.completeness, statement.period),
        methodology=METHODOLOGY,
    )


def _readings_csv(readings: Sequence[Reading]) -> bytes:
    lines = [f"{r.site_id},{r.month},{r.mwh},{r.source}" for r in readings]
    return "\n".join(["site_id,month,mwh,source", *lines, ""]).encode()
