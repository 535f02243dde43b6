"""Which ESRS data points the collected data can answer, and which it cannot.

The list of data points is a file. A data point is one of: complete, answered in
part (the note says which part), missing (the data has gaps) or not covered by
this example. Standards without data points in the list are *not assessed*.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from examples.csrd.errors import IncompleteData
from examples.csrd.period import Period
from examples.csrd.sites import Reading, Site

__all__ = [
    "COMPARATIVE",
    "ELECTRICITY",
    "Assessment",
    "Completeness",
    "DataPoint",
    "Status",
    "assess",
    "dump_completeness",
    "gaps",
    "load_completeness",
    "read_data_points",
    "require",
    "require_readings",
    "without_comparative",
]

ELECTRICITY = "electricity"
COMPARATIVE = "electricity_comparative"
_LISTED_MONTHS = 4
_FIX = "Add them to electricity.csv (an estimate is a reading with source 'estimated')"


class Status(StrEnum):
    """How far a data point is answered."""

    COMPLETE = "complete"
    PART = "in part"
    MISSING = "missing"
    NOT_COVERED = "not covered"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPoint:
    """One line of the list of data points.

    Attributes:
        standard: Such as ``ESRS-E1``.
        disclosure: Disclosure requirement, such as ``E1-6``.
        paragraph: Paragraph of the standard in Regulation (EU) 2023/2772.
        required_here: Whether a report of this example fails without it.
        needs: Which input it is made of; empty: none that is collected here.
        extent: ``full``, ``part`` or ``none``: how much of it that input answers.
    """

    standard: str
    disclosure: str
    paragraph: str
    name: str
    unit: str
    required_here: bool
    needs: str
    extent: str
    note: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """A data point with its status and, where it has gaps, what is lacking."""

    point: DataPoint
    status: Status
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class Completeness:
    """The assessments, and the standards that nobody assessed."""

    assessments: tuple[Assessment, ...]
    not_assessed: tuple[str, ...]

    def count(self, status: Status) -> int:
        """Return how many data points have that status."""
        return Counter(a.status for a in self.assessments)[status]


def read_data_points(path: Path) -> tuple[DataPoint, ...]:
    """Return the list of data points at ``path``."""
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            DataPoint(
                standard=row["standard"],
                disclosure=row["disclosure"],
                paragraph=row["paragraph"],
                name=row["name"],
                unit=row["unit"],
                required_here=row["required_here"] == "yes",
                needs=row["needs"],
                extent=row["extent"],
                note=row["note"],
            )
            for row in csv.DictReader(file)
        )


def gaps(
    sites: Sequence[Site], readings: Sequence[Reading], period: Period
) -> Mapping[str, tuple[str, ...]]:
    """Return the months without a reading, for each site that has such months."""
    have = {(reading.site_id, reading.month) for reading in readings}
    lacking = {
        site.site_id: tuple(m for m in period.months if (site.site_id, m) not in have)
        for site in sites
    }
    return {site_id: months for site_id, months in lacking.items() if months}


def assess(
    points: Sequence[DataPoint],
    standards: Sequence[str],
    inputs: Mapping[str, Mapping[str, tuple[str, ...]]],
) -> Completeness:
    """Return what the inputs can answer.

    Args:
        points: The list of data points.
        standards: The standards asked for. One without data points in the list
            is returned as not assessed.
        inputs: Gaps (as :func:`gaps` returns them) of each input by its name.
    """
    listed = {point.standard for point in points}
    # General requirements (ESRS 1) go with every topical standard.
    wanted = {*standards, "ESRS-1"}
    return Completeness(
        tuple(_assess(point, inputs) for point in points if point.standard in wanted),
        tuple(name for name in standards if name not in listed),
    )


def _assess(
    point: DataPoint, inputs: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> Assessment:
    if point.needs not in inputs:
        return Assessment(point, Status.NOT_COVERED)
    if lacking := inputs[point.needs]:
        return Assessment(point, Status.MISSING, _sentence(lacking))
    return Assessment(point, Status.PART if point.extent == "part" else Status.COMPLETE)


def require(completeness: Completeness) -> None:
    """Refuse to go on when a data point that this report requires has gaps.

    Raises:
        IncompleteData: Naming the data points, the sites and the months.
    """
    missing = [
        a
        for a in completeness.assessments
        if a.status is Status.MISSING and a.point.required_here
    ]
    if missing:
        names = ", ".join(f"{a.point.disclosure} {a.point.paragraph}" for a in missing)
        raise IncompleteData(
            f"required data points {names} lack readings: {missing[0].lacking}. {_FIX}"
        )


def require_readings(lacking: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse to add up readings that have gaps, whatever standards are asked for.

    Raises:
        IncompleteData: Naming the sites and the months.
    """
    if lacking:
        raise IncompleteData(f"readings are lacking: {_sentence(lacking)}. {_FIX}")


def without_comparative(completeness: Completeness, reason: str) -> Completeness:
    """Return it with the comparative missing for ``reason``.

    Its readings may be whole and a factor lacking, which shows only later.
    """
    return replace(
        completeness,
        assessments=tuple(
            Assessment(a.point, Status.MISSING, a.lacking or reason)
            if a.point.needs == COMPARATIVE
            else a
            for a in completeness.assessments
        ),
    )


def dump_completeness(completeness: Completeness) -> dict[str, Any]:
    """Return it as JSON, with the number of data points of each status."""
    return {
        "counts": {str(status): completeness.count(status) for status in Status},
        "not_assessed": list(completeness.not_assessed),
        "data_points": [
            {
                **asdict(a.point),
                "status": str(a.status),
                "lacking": a.lacking,
            }
            for a in completeness.assessments
        ],
    }


def load_completeness(raw: Mapping[str, Any]) -> Completeness:
    """Return what :func:`dump_completeness` wrote."""
    assessments = []
    for row in raw["data_points"]:
        fields = dict(row)
        status, lacking = Status(fields.pop("status")), fields.pop("lacking")
        assessments.append(Assessment(DataPoint(**fields), status, lacking))
    return Completeness(tuple(assessments), tuple(raw["not_assessed"]))


def _sentence(lacking: Mapping[str, tuple[str, ...]]) -> str:
    parts = []
    for site_id, months in lacking.items():
        more = len(months) - _LISTED_MONTHS
        tail = f" and {more} more" if more > 0 else ""
        parts.append(f"site {site_id}: {', '.join(months[:_LISTED_MONTHS])}{tail}")
    return "; ".join(parts)
