"""How the figures become an XBRL 2.1 instance of the example's own taxonomy.

Totals stand in contexts without a dimension, a country's figures in contexts with
the typed dimension ``csrdx:CountryAxis``. Values are exact (``decimals="INF"``).
The same figures give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as ET

from examples.csrd.decimals import canonical
from examples.csrd.period import Period
from examples.csrd.scope2 import CountryFigure, YearFigures
from examples.csrd.sites import Company

__all__ = ["NAMESPACE", "instance", "taxonomy_files"]

NAMESPACE = "https://example.org/csrd-example/2024"
_SCHEMA = "taxonomy/csrd-example.xsd"
_TAXONOMY = Path(__file__).parent / "taxonomy"
_XBRLI = "http://www.xbrl.org/2003/instance"
_LINK = "http://www.xbrl.org/2003/linkbase"
_XLINK = "http://www.w3.org/1999/xlink"
_XBRLDI = "http://xbrl.org/2006/xbrldi"
_UTR = "http://www.xbrl.org/2009/utr"
_LEI_SCHEME = "http://standards.iso.org/iso/17442"
_UNITS: dict[str, tuple[str, ...]] = {
    "MWh": ("utr:MWh",),
    "tCO2e": ("utr:tCO2e",),
    "g_per_kWh": ("utr:g", "utr:kWh"),
}

_Root: TypeAlias = "ET.Element[str]"


def taxonomy_files() -> tuple[Path, ...]:
    """Return the files of the taxonomy, to be laid into ``taxonomy/``."""
    return tuple(sorted(_TAXONOMY.iterdir()))


def instance(
    company: Company,
    years: Sequence[YearFigures],
    *,
    scope: str,
    methodology: str,
) -> bytes:
    """Return the instance document.

    Args:
        company: Who reports; its LEI is the entity of every context.
        years: The reporting year first, then its comparative where there is one.
        scope: Which data points the statement answers, for ``ScopeOfStatement``.
        methodology: For ``MethodologyExplanation``.
    """
    root = _root()
    for year in years:
        _context(root, company.lei, year.period)
        for country in year.countries:
            _context(root, company.lei, year.period, country.factor.iso3)
    for unit_id, measures in _UNITS.items():
        _unit(root, unit_id, measures)
    for year in years:
        context = _context_id(year.period)
        _fact(root, "ReportingEntityName", context, company.name)
        _fact(root, "PeriodCoverage", context, year.period.coverage)
        _fact(root, "ScopeOfStatement", context, scope)
        _fact(root, "MethodologyExplanation", context, methodology)
        _number(root, "PurchasedElectricityConsumption", context, year.mwh, "MWh")
        _number(
            root, "LocationBasedScope2FromElectricity", context, year.tco2e, "tCO2e"
        )
        for country in year.countries:
            _country_facts(root, year.period, country)
    ET.indent(root)
    xml: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return xml + b"\n"


def _root() -> _Root:
    for prefix, uri in (
        ("xbrli", _XBRLI),
        ("link", _LINK),
        ("xlink", _XLINK),
        ("xbrldi", _XBRLDI),
        ("csrdx", NAMESPACE),
    ):
        ET.register_namespace(prefix, uri)
    # Used inside text only (utr:MWh), where ElementTree does not look for prefixes.
    root = ET.Element(f"{{{_XBRLI}}}xbrl", {"xmlns:utr": _UTR})
    ET.SubElement(
        root,
        f"{{{_LINK}}}schemaRef",
        {f"{{{_XLINK}}}type": "simple", f"{{{_XLINK}}}href": _SCHEMA},
    )
    return root


def _context_id(period: Period, iso3: str = "") -> str:
    return f"c{period.year}-{iso3}" if iso3 else f"c{period.year}"


def _context(root: _Root, lei: str, period: Period, iso3: str = "") -> None:
    context = ET.SubElement(
        root, f"{{{_XBRLI}}}context", {"id": _context_id(period, iso3)}
    )
    entity = ET.SubElement(context, f"{{{_XBRLI}}}entity")
    identifier = ET.SubElement(
        entity, f"{{{_XBRLI}}}identifier", {"scheme": _LEI_SCHEME}
    )
    identifier.text = lei
    span = ET.SubElement(context, f"{{{_XBRLI}}}period")
    ET.SubElement(span, f"{{{_XBRLI}}}startDate").text = period.start.isoformat()
    ET.SubElement(span, f"{{{_XBRLI}}}endDate").text = period.end.isoformat()
    if iso3:
        scenario = ET.SubElement(context, f"{{{_XBRLI}}}scenario")
        member = ET.SubElement(
            scenario, f"{{{_XBRLDI}}}typedMember", {"dimension": "csrdx:CountryAxis"}
        )
        ET.SubElement(member, f"{{{NAMESPACE}}}CountryCode").text = iso3


def _unit(root: _Root, unit_id: str, measures: tuple[str, ...]) -> None:
    unit = ET.SubElement(root, f"{{{_XBRLI}}}unit", {"id": unit_id})
    if len(measures) == 1:
        ET.SubElement(unit, f"{{{_XBRLI}}}measure").text = measures[0]
        return
    divide = ET.SubElement(unit, f"{{{_XBRLI}}}divide")
    for part, measure in zip(("Numerator", "Denominator"), measures, strict=True):
        side = ET.SubElement(divide, f"{{{_XBRLI}}}unit{part}")
        ET.SubElement(side, f"{{{_XBRLI}}}measure").text = measure


def _country_facts(root: _Root, period: Period, country: CountryFigure) -> None:
    context = _context_id(period, country.factor.iso3)
    sites = " ".join(figure.site.site_id for figure in country.sites)
    _number(root, "PurchasedElectricityConsumption", context, country.mwh, "MWh")
    _number(root, "LocationBasedScope2FromElectricity", context, country.tco2e, "tCO2e")
    _number(root, "GridEmissionFactor", context, country.factor.g_per_kwh, "g_per_kWh")
    _fact(root, "GridEmissionFactorYear", context, str(country.factor.year))
    _fact(root, "SitesIncluded", context, sites)


def _fact(root: _Root, name: str, context: str, value: str) -> None:
    ET.SubElement(root, f"{{{NAMESPACE}}}{name}", {"contextRef": context}).text = value


def _number(root: _Root, name: str, context: str, value: Decimal, unit: str) -> None:
    attributes = {"contextRef": context, "unitRef": unit, "decimals": "INF"}
    fact = ET.SubElement(root, f"{{{NAMESPACE}}}{name}", attributes)
    fact.text = canonical(value)
