"""The report for people: one HTML page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from string import Template

from examples.csrd.completeness import Completeness, Status
from examples.csrd.decimals import canonical, shown
from examples.csrd.factors import MAX_GAP_YEARS
from examples.csrd.period import Period
from examples.csrd.scope2 import CountryFigure, YearFigures
from examples.csrd.sites import Company, Source

__all__ = ["METHODOLOGY", "Statement", "report_html", "scope_sentence"]

METHODOLOGY = (
    "Location-based method of the GHG Protocol Scope 2 Guidance: metered, invoiced or "
    "estimated consumption of purchased electricity in MWh, times the average "
    "life-cycle carbon intensity of the country's electricity in g CO2e/kWh, divided "
    "by 1000, gives t CO2e. The factor is that of the reporting year; where there is "
    f"none, the latest earlier one, at most {MAX_GAP_YEARS} years old. Computed in "
    "exact decimals and rounded for display only."
)
_LIMITS = (
    "Life-cycle factors include upstream emissions that the GHG Protocol counts in "
    "Scope 3 category 3, so these figures lie above those made with factors of direct "
    "combustion. Consumption is multiplied by a yearly average, whatever the hour or "
    "month. Market-based Scope 2, heat, steam, cooling, Scope 1 and Scope 3 are not "
    "part of this report."
)
_SOURCE = (
    "Electricity factors: Our World in Data / Ember, yearly electricity data, as "
    "packaged by codecarbon 3.3.2 (MIT licence)."
)
_TEMPLATE = Path(__file__).parent / "templates" / "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a report says.

    Attributes:
        report_id: Its name in the outbox.
        company: Who reports.
        period: What was asked for.
        years: The reporting year first, then its comparative where there is one.
        comparative_omitted: Why there is no comparative; empty if there is one.
        completeness: Which data points it answers.
        doubtful: Readings that a person should look at.
    """

    report_id: str
    company: Company
    period: Period
    years: tuple[YearFigures, ...]
    comparative_omitted: str
    completeness: Completeness
    doubtful: tuple[str, ...]


def scope_sentence(completeness: Completeness, period: Period) -> str:
    """Return what the statement is, and what it is not."""
    listed = len(completeness.assessments)
    answered = [s for s in (Status.COMPLETE, Status.PART) if completeness.count(s)]
    told = ", ".join(f"{completeness.count(status)} {status}" for status in answered)
    text = (
        f"This is not a complete ESRS E1 disclosure. Of {listed} data points listed "
        f"it answers: {told}."
    )
    if completeness.not_assessed:
        text += f" Not assessed: {', '.join(completeness.not_assessed)}."
    if not period.is_full_year:
        text += " The period is interim: an ESRS statement covers a full year."
    return text


def report_html(statement: Statement, chart_svg: bytes) -> bytes:
    """Return the page; the same statement and chart give the same bytes."""
    company, now = statement.company, statement.years[0]
    scope = scope_sentence(statement.completeness, statement.period)
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{company.name}: Scope 2, {statement.period.label}"),
        company=escape(company.name),
        coverage=escape(f"{statement.period.label}: {statement.period.coverage}"),
        lei=escape(company.lei),
        boundary=escape(company.consolidation),
        report_id=escape(statement.report_id),
        cards="\n".join(_cards(statement)),
        scope=escape(scope),
        chart=_inline(chart_svg),
        chart_label=escape(_chart_label(now)),
        country_table=_country_table(statement.years),
        year_note=_year_note(statement),
        quarter_table=_quarter_table(statement.years),
        site_caption=escape(_site_caption(now)),
        site_table=_site_table(now),
        doubtful=_doubtful(statement.doubtful),
        counts=escape(_counts(statement.completeness)),
        data_points=_data_points(statement.completeness),
        methodology=escape(METHODOLOGY),
        limits=escape(_LIMITS),
        footer=escape(f"{_SOURCE} Report {statement.report_id}."),
    )
    return page.encode()


def _cards(statement: Statement) -> Iterable[str]:
    now = statement.years[0]
    tco2e_before, mwh_before = Decimal(0), Decimal(0)
    for before in statement.years[1:]:
        tco2e_before, mwh_before = before.tco2e, before.mwh
    yield _card(
        shown(now.tco2e),
        "t CO₂e",
        f"Scope 2 in {now.period.year}{_change(now.tco2e, tco2e_before)}",
    )
    yield _card(
        shown(now.mwh),
        "MWh",
        f"electricity in {now.period.year}{_change(now.mwh, mwh_before)}",
    )
    if now.mwh:
        yield _card(
            shown(now.tco2e / now.mwh * 1000),
            "g CO₂e/kWh",
            "average of the electricity used",
        )
        yield _card(
            shown(now.mwh_by_source[Source.METER] / now.mwh * 100),
            "%",
            "of the MWh metered; estimated: "
            f"{shown(now.mwh_by_source[Source.ESTIMATED] / now.mwh * 100)} %",
        )


def _card(figure: str, unit: str, text: str) -> str:
    return (
        f'<div class="card"><b>{escape(figure)} <small>{escape(unit)}</small></b>'
        f"<span>{escape(text)}</span></div>"
    )


def _change(now: Decimal, before: Decimal) -> str:
    if not before:
        return ""
    percent = (now - before) / before * 100
    return f", {percent:+.1f}\N{NO-BREAK SPACE}% on the year before"


def _country_table(years: Sequence[YearFigures]) -> str:
    head = "".join(
        f'<th class="n">MWh<br>{year.period.year}</th><th class="n">g/kWh</th>'
        f"<th>factor of</th><th class='n'>t CO₂e<br>{year.period.year}</th>"
        for year in years
    )
    rows = [f"<thead><tr><th>Country</th>{head}</tr></thead><tbody>"]
    for figure in years[0].countries:
        iso3 = figure.factor.iso3
        cells = "".join(
            _country_cells(country)
            for year in years
            for country in year.countries
            if country.factor.iso3 == iso3
        )
        rows.append(f"<tr><td>{escape(figure.factor.country)}</td>{cells}</tr>")
    sums = "".join(
        f'<td class="n">{shown(year.mwh)}</td><td></td><td></td>'
        f'<td class="n">{shown(year.tco2e)}</td>'
        for year in years
    )
    rows.append(f'<tr class="total"><th>Total</th>{sums}</tr></tbody>')
    return "\n".join(rows)


def _country_cells(country: CountryFigure) -> str:
    gap = f"(\N{MINUS SIGN}{country.gap_years})" if country.gap_years else ""
    return (
        f'<td class="n">{shown(country.mwh)}</td>'
        f'<td class="n">{canonical(country.factor.g_per_kwh)}</td>'
        f'<td>{country.factor.year} <span class="gap">{gap}</span></td>'
        f'<td class="n">{shown(country.tco2e)}</td>'
    )


def _year_note(statement: Statement) -> str:
    if statement.comparative_omitted:
        return f"<p>No comparative figures: {escape(statement.comparative_omitted)}</p>"
    now, before = statement.years
    used = {(c.factor.iso3, c.factor.year) for c in before.countries}
    same = [
        c.factor.country
        for c in now.countries
        if (c.factor.iso3, c.factor.year) in used
    ]
    if not same:
        return ""
    where = "all countries" if len(same) == len(now.countries) else ", ".join(same)
    return (
        "<p><b>Read the change with care.</b> Both years use the same factor in "
        f"{escape(where)}: there the change shows what the sites consumed, not what "
        "happened to the grid.</p>"
    )


def _quarter_table(years: Sequence[YearFigures]) -> str:
    head = "".join(
        f'<th class="n">MWh {year.period.year}</th>'
        f'<th class="n">t CO₂e {year.period.year}</th>'
        for year in years
    )
    rows = [f"<thead><tr><th>Quarter</th>{head}</tr></thead><tbody>"]
    for index, quarter in enumerate(years[0].quarters):
        cells = "".join(
            f'<td class="n">{shown(year.quarters[index].mwh)}</td>'
            f'<td class="n">{shown(year.quarters[index].tco2e)}</td>'
            for year in years
        )
        rows.append(f"<tr><td>Q{quarter.quarter}</td>{cells}</tr>")
    return "\n".join([*rows, "</tbody>"])


def _site_caption(year: YearFigures) -> str:
    count = sum(len(country.sites) for country in year.countries)
    return (
        f"{count} sites in {len(year.countries)} countries, {year.period.year}. "
        "Each country's figure above is the sum of its sites."
    )


def _site_table(year: YearFigures) -> str:
    head = (
        "<thead><tr><th>Site</th><th>Name</th><th>Country</th>"
        '<th class="n">MWh</th><th class="n">t CO₂e</th><th>Readings</th></tr></thead>'
    )
    rows = [head, "<tbody>"]
    for country in year.countries:
        rows.extend(
            f"<tr><td>{escape(figure.site.site_id)}</td>"
            f"<td>{escape(figure.site.name)}</td>"
            f"<td>{escape(country.factor.country)}</td>"
            f'<td class="n">{shown(figure.mwh)}</td>'
            f'<td class="n">{shown(figure.tco2e)}</td>'
            f"<td>{', '.join(s for s, mwh in figure.mwh_by_source.items() if mwh)}</td>"
            "</tr>"
            for figure in country.sites
        )
    return "\n".join([*rows, "</tbody>"])


def _doubtful(sentences: Sequence[str]) -> str:
    if not sentences:
        return "<p>No reading is far from its site's median.</p>"
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<div class="notice">Readings to look at:<ul>{items}</ul></div>'


def _counts(completeness: Completeness) -> str:
    told = ", ".join(
        f"{completeness.count(status)} {status}"
        for status in Status
        if completeness.count(status)
    )
    text = f"{len(completeness.assessments)} data points listed: {told}."
    if completeness.not_assessed:
        names = ", ".join(completeness.not_assessed)
        text += f" Asked for but not assessed (no data points listed): {names}."
    return text


def _data_points(completeness: Completeness) -> str:
    head = (
        "<thead><tr><th>Requirement</th><th>Paragraph</th><th>Data point</th>"
        "<th>Unit</th><th>Status</th></tr></thead>"
    )
    rows = [head, "<tbody>"]
    order = list(Status)  # answered ones first
    for a in sorted(completeness.assessments, key=lambda a: order.index(a.status)):
        point = a.point
        note = escape(" ".join(part for part in (point.note, a.lacking) if part))
        rows.append(
            f"<tr><td>{escape(f'{point.standard} {point.disclosure}')}</td>"
            f"<td>{escape(point.paragraph)}</td>"
            f'<td>{escape(point.name)}<br><span class="soft">{note}</span></td>'
            f"<td>{escape(point.unit)}</td>"
            f'<td class="status s-{a.status.replace(" ", "-")}">{a.status}</td></tr>'
        )
    return "\n".join([*rows, "</tbody>"])


def _chart_label(year: YearFigures) -> str:
    parts = [f"{c.factor.country} {shown(c.tco2e, 0)} t" for c in year.countries]
    return f"Scope 2 in {year.period.year} by country: {', '.join(parts)}"


def _inline(svg: bytes) -> str:
    """Return the chart without XML prolog and doctype, which HTML does not take."""
    text = svg.decode()
    return text[text.index("<svg") :]
