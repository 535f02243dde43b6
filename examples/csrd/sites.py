"""What a company's data files say: its profile, sites and electricity readings.

Three files per company: ``company.json``, ``sites.csv`` and ``electricity.csv``.
They are checked while they are read: what gets past here can be calculated with.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path

from examples.csrd.errors import BadData, UnknownCompany

__all__ = [
    "Company",
    "Reading",
    "Site",
    "Source",
    "load_company",
    "read_company",
    "read_readings",
    "read_sites",
]

_COMPANY_ID = re.compile(r"[\w-]{1,64}")
_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")
_SITE_ID = re.compile(r"[A-Z0-9-]{1,32}")
_ISO3 = re.compile(r"[A-Z]{3}")


class Source(StrEnum):
    """Where a reading comes from, best first."""

    METER = "meter"
    INVOICE = "invoice"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Who reports.

    Attributes:
        company_id: The id used by the saga; names the data folder.
        name: For people.
        lei: Legal entity identifier (ISO 17442), check digits verified.
        country: ISO 3166-1 alpha-3 code of the seat.
        consolidation: Which sites are inside the boundary.
    """

    company_id: str
    name: str
    lei: str
    country: str
    consolidation: str


@dataclass(frozen=True, slots=True)
class Site:
    """A place that uses electricity; ``iso3`` is its country."""

    site_id: str
    name: str
    iso3: str
    kind: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Electricity that a site bought in one month (``YYYY-MM``)."""

    site_id: str
    month: str
    mwh: Decimal
    source: Source


def load_company(
    root: Path, company_id: str
) -> tuple[Company, tuple[Site, ...], tuple[Reading, ...]]:
    """Read and check the three files of ``company_id`` below ``root``.

    Raises:
        UnknownCompany: There is no such folder.
        BadData: A file is malformed, or readings name a site that is not listed.
    """
    folder = root / company_id
    if not _COMPANY_ID.fullmatch(company_id) or not folder.is_dir():
        known = sorted(path.name for path in root.glob("*/") if path.is_dir())
        raise UnknownCompany(
            f"company {company_id!r} has no folder in {root}; there are: "
            f"{', '.join(known) or 'none'}"
        )
    company = read_company(folder / "company.json")
    sites = read_sites(folder / "sites.csv")
    readings = read_readings(folder / "electricity.csv")
    listed = {site.site_id for site in sites}
    if strangers := sorted({r.site_id for r in readings} - listed):
        raise BadData(
            f"electricity.csv of {company_id} has readings of {', '.join(strangers)}: "
            "list the site in sites.csv, or remove them"
        )
    return company, sites, readings


def read_company(path: Path) -> Company:
    """Return the profile; raises BadData if a field or the LEI is wrong."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        company = Company(
            company_id=raw["company_id"],
            name=raw["name"],
            lei=raw["lei"],
            country=raw["country"],
            consolidation=raw["consolidation"],
        )
    except FileNotFoundError as exc:
        raise BadData(f"{path} is missing: write the company's profile") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise BadData(f"{path.name}: {exc!r}; see examples/csrd/README.md") from exc
    if not _lei_is_valid(company.lei):
        raise BadData(
            f"{path.name}: lei {company.lei!r} fails the ISO 17442 check digits: "
            "copy all 20 characters"
        )
    return company


def read_sites(path: Path) -> tuple[Site, ...]:
    """Return the sites in file order; raises BadData naming the line."""
    sites: list[Site] = []
    for line, row in _rows(path, ("site_id", "name", "iso3", "kind")):
        site = Site(*row)
        if not _SITE_ID.fullmatch(site.site_id) or not _ISO3.fullmatch(site.iso3):
            raise BadData(
                f"{path.name} line {line}: site_id {site.site_id!r} is capitals, "
                f"digits and '-', iso3 {site.iso3!r} three capitals (DEU)"
            )
        if site.site_id in {known.site_id for known in sites}:
            raise BadData(
                f"{path.name} line {line}: site {site.site_id} is listed twice"
            )
        sites.append(site)
    if not sites:
        raise BadData(f"{path.name} lists no site: add at least one")
    return tuple(sites)


def read_readings(path: Path) -> tuple[Reading, ...]:
    """Return the readings in file order; raises BadData naming the line."""
    readings: dict[tuple[str, str], Reading] = {}
    for line, row in _rows(path, ("site_id", "month", "mwh", "source")):
        reading = _reading(f"{path.name} line {line}", row)
        key = (reading.site_id, reading.month)
        if key in readings:
            raise BadData(
                f"{path.name} line {line}: {reading.site_id} has two readings of "
                f"{reading.month}: keep one"
            )
        readings[key] = reading
    return tuple(readings.values())


def _reading(where: str, row: Sequence[str]) -> Reading:
    site_id, month, mwh_text, source = row
    try:
        mwh = Decimal(mwh_text)
    except InvalidOperation:
        raise BadData(f"{where}: mwh {mwh_text!r} is no number") from None
    if not mwh.is_finite() or mwh < 0:
        raise BadData(f"{where}: mwh {mwh_text} must be zero or more")
    if not _MONTH.fullmatch(month):
        raise BadData(f"{where}: month {month!r} must look like 2024-07")
    if source not in set(Source):
        names = ", ".join(Source)
        raise BadData(f"{where}: source {source!r} must be one of {names}")
    return Reading(site_id, month, mwh, Source(source))


def _rows(
    path: Path, columns: tuple[str, ...]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line number, fields) of a CSV file with exactly these columns."""
    try:
        file = path.open(encoding="utf-8", newline="")
    except FileNotFoundError as exc:
        raise BadData(f"{path} is missing: write it with {columns}") from exc
    with file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        if header != columns:
            raise BadData(f"{path.name} has columns {header}, not {columns}")
        for row in reader:
            if len(row) != len(columns):
                raise BadData(f"{path.name} line {reader.line_num}: {row} is no row")
            yield reader.line_num, tuple(row)


def _lei_is_valid(lei: str) -> bool:
    """ISO 17442: letters count as 10 to 35, and the number is 1 modulo 97."""
    if not _LEI.fullmatch(lei):
        return False
    return int("".join(str(int(char, 36)) for char in lei)) % 97 == 1
