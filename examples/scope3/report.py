"""The report for people: one HTML page, the film beside it, and the totals as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from examples.scope3 import charts
from examples.scope3.charts import shown
from examples.scope3.course import Course
from examples.scope3.emissions import Totals, tonnes
from examples.scope3.factors import Factors
from examples.scope3.film import FRAMES, Film

__all__ = ["Findings", "write_report"]

_TEMPLATE: Final = Path(__file__).parent / "templates" / "report.html"
_LIMITS: Final = (
    "The suppliers are invented, and so are the sectors&#8217; factors. Real are the "
    "grids&#8217; carbon intensities. The figures show how work is shared out and "
    "checked; they say nothing about any company."
)
_METHOD: Final = (
    "Purchased goods and services (Scope 3, category 1), by the hybrid method of the "
    "GHG Protocol&#8217;s Scope 3 guidance in its simplest form: a supplier&#8217;s "
    "electricity in kWh by the life-cycle intensity of its country&#8217;s grid, and "
    "what was spent with it by a factor of its sector for all other emissions. Where a "
    "supplier does not report its electricity, what is usual in its sector for that "
    "spend is assumed, in whole kWh; the swarm&#8217;s <i>fitness</i> is the share of "
    "suppliers that do report."
)
_EXACTNESS: Final = (
    "Money is counted in cents, electricity in kWh, emissions in milligrams; the "
    "factors are integers of mg/kWh and mg/cent. So all that is computed is integers, "
    "which add up to the same total in any order and grouping. No floating-point "
    "number is in it until it is drawn."
)
_SOURCES: Final = (
    "Grid intensities: Our World in Data / Ember, yearly electricity data, as packaged "
    "by codecarbon 3.3.2 (MIT licence); each country&#8217;s own year, mostly 2022 and "
    "2023. Sectors&#8217; factors and shares: this example&#8217;s own."
)
_RESULT: Final = (
    "status",
    "convergence",
    "fitness",
    "iterations",
    "duration_ms",
    "throughput",
    "efficiency",
    "efficiency_bound",
    "load_balance",
    "attempts",
    "slots",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a report says.

    Attributes:
        swarm_id: Whose findings these are.
        result: What ``deploy`` returned.
        totals: What all suppliers come to, by the swarm.
        plain: The emissions by plain NumPy, mg CO2e, and the spend, in cents.
        course: How the swarm came to it.
        factors: With which factors.
    """

    swarm_id: str
    result: Mapping[str, Any]
    totals: Totals
    plain: tuple[int, int]
    course: Course
    factors: Factors

    @property
    def agrees(self) -> bool:
        """Whether the swarm's totals are those of plain NumPy, to the last digit."""
        return (self.totals.all_mg, self.totals.spend_cents) == self.plain


def write_report(folder: Path, findings: Findings, *, frames: int = FRAMES) -> Path:
    """Write ``report.html``, ``swarm.gif`` and ``totals.json``; return the page.

    Args:
        folder: Where to; made if it is not there.
        findings: What is to be reported.
        frames: Of the film.
    """
    folder.mkdir(parents=True, exist_ok=True)
    film = Film(findings.course, frames=frames)
    film.save(folder / "swarm.gif")
    totals = json.dumps(_exact(findings), indent=2, ensure_ascii=False)
    (folder / "totals.json").write_text(totals + "\n", "utf-8")
    page = folder / "report.html"
    page.write_text(_page(findings, film), "utf-8")
    return page


def _exact(findings: Findings) -> dict[str, Any]:
    """Return the totals as JSON; integers that may be great are strings there."""
    totals = findings.totals
    named = {"electricity_mg", "other_mg", "spend_cents", "kwh"}
    found = {key: str(v) if key in named else v for key, v in totals.to_json().items()}
    for groups in ("by_country", "by_sector"):
        found[groups] = {
            key: {"electricity_mg": str(electricity), "other_mg": str(other)}
            for key, (electricity, other) in getattr(totals, groups).items()
        }
    return {
        "swarm_id": findings.swarm_id,
        "all_mg": str(totals.all_mg),
        "agrees_with_plain_numpy": findings.agrees,
        **found,
    }


def _page(findings: Findings, film: Film) -> str:
    totals, course = findings.totals, findings.course
    return Template(_TEMPLATE.read_text("utf-8")).substitute(
        title=f"Scope 3 emissions of {shown(totals.suppliers)} suppliers",
        subtitle=f"Purchased goods and services, computed by {shown(course.agents)} "
        f"agents in {shown(course.partitions)} partitions",
        cards="\n".join(_cards(findings)),
        check=_check(findings),
        limits=_LIMITS,
        film="swarm.gif",
        film_caption="Each tile is a partition and lights up when it was committed; "
        "each dot is an agent. Who had which partition and when is as recorded, the "
        f"way between is drawn. One second of the run takes {film.slowed:.1f} s here.",
        result_table=_rows(_told(findings.result)),
        sector_chart=charts.by_sector(totals).decode(),
        sector_table=_sectors(totals, findings.factors),
        country_chart=charts.by_country(totals, findings.factors).decode(),
        work_chart=charts.work(course).decode(),
        work_caption=f"{shown(course.agents)} agents are as many names with roles and "
        f"an energy of their own; at one time as many of them work as there are worker "
        f"processes: {len(course.slots)} here.",
        progress_chart=charts.progress(course).decode(),
        method=_METHOD,
        exactness=_EXACTNESS,
        sources=_SOURCES,
        provenance=f"Swarm {escape(findings.swarm_id)}; state hash "
        f"{escape(str(findings.result.get('state_hash', '')))}; head of its chain "
        f"{escape(str(findings.result.get('chain_head', '')))}.",
    )


def _cards(findings: Findings) -> Iterable[str]:
    totals = findings.totals
    for figure, unit, what in (
        (shown(float(tonnes(totals.all_mg))), "t CO₂e", "of all suppliers"),
        (shown(totals.spend_cents / 10**8, 1), "M€", "spent with them"),
        (f"{100 * totals.quality:.1f}", "%", "report their electricity"),
        (shown(findings.result["throughput"]), "suppliers/s", "by the swarm"),
    ):
        yield (
            f'<div class="card"><b>{figure} <small>{unit}</small></b>'
            f"<span>{what}</span></div>"
        )


def _check(findings: Findings) -> str:
    mg, cents = findings.plain
    if not findings.agrees:
        totals = findings.totals
        return (
            f"<b>Plain NumPy comes to something else:</b> {mg} mg and {cents} cents "
            f"instead of {totals.all_mg} mg and {totals.spend_cents} cents."
        )
    return (
        f"Plain NumPy, over all suppliers at once, comes to the same: {shown(mg)} mg "
        f"CO₂e and {shown(cents)} cents, to the last digit."
    )


def _told(result: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key in _RESULT:
        value = result.get(key)
        if isinstance(value, float):
            yield key, shown(value, 4 if abs(value) < 10 else 0)  # noqa: PLR2004
        elif value is not None:
            yield key, shown(value) if isinstance(value, int) else str(value)


def _sectors(totals: Totals, factors: Factors) -> str:
    named = {one.sector: one for one in factors.sectors}
    head = (
        "<thead><tr><th>sector</th><th class=n>t CO₂e</th><th class=n>electricity</th>"
        "<th class=n>all else</th><th class=n>g/€ beside electricity</th>"
        "<th class=n>Wh/€ where not reported</th></tr></thead>"
    )
    ranked = sorted(totals.by_sector.items(), key=lambda one: -sum(one[1]))
    rows = [
        _line(
            escape(sector),
            *_tonnes(sum(parts), *parts),
            shown(named[sector].other_mg_per_cent / 10),
            shown(named[sector].wh_per_eur),
        )
        for sector, parts in ranked
    ]
    parts = (totals.all_mg, totals.electricity_mg, totals.other_mg)
    rows.append(_line("all", *_tonnes(*parts), "", "", css=' class="total"'))
    return head + "<tbody>" + "\n".join(rows) + "</tbody>"


def _tonnes(*mg: int) -> Sequence[str]:
    return [shown(float(tonnes(one))) for one in mg]


def _line(name: str, *figures: str, css: str = "") -> str:
    cells = "".join(f"<td class=n>{figure}</td>" for figure in figures)
    return f"<tr{css}><th>{name}</th>{cells}</tr>"


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(
        f"<tr><th>{escape(key)}</th><td class=n>{escape(value)}</td></tr>"
        for key, value in pairs
    )
