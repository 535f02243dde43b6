"""Which months a reporting period covers.

ESRS statements are annual. ``2024`` is the calendar year, and ``2024-Q4`` is the
same year *to date* at the close of its fourth quarter, hence the whole year.
``2024-Q2`` is January to June: an interim figure, and every output says so.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from dataclasses import dataclass, replace

from examples.csrd.errors import BadRequest

__all__ = ["Period", "parse_period"]

_PERIOD = re.compile(r"(?P<year>20\d\d)(?:-Q(?P<quarter>[1-4]))?")
_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Period:
    """The months January to ``last_month`` of one calendar year.

    Attributes:
        label: As it was asked for, such as ``2024-Q4``.
        year: The reporting year.
        last_month: 3, 6, 9 or 12.
    """

    label: str
    year: int
    last_month: int

    @property
    def start(self) -> dt.date:
        """First day."""
        return dt.date(self.year, 1, 1)

    @property
    def end(self) -> dt.date:
        """Last day."""
        last_day = calendar.monthrange(self.year, self.last_month)[1]
        return dt.date(self.year, self.last_month, last_day)

    @property
    def is_full_year(self) -> bool:
        """Whether the period can stand in an annual statement."""
        return self.last_month == _MONTHS

    @property
    def months(self) -> tuple[str, ...]:
        """The months as ``YYYY-MM``, in order."""
        return tuple(f"{self.year}-{m:02d}" for m in range(1, self.last_month + 1))

    @property
    def comparative(self) -> Period:
        """The same months one year earlier (ESRS 1, paragraph 83)."""
        return replace(self, year=self.year - 1)

    @property
    def coverage(self) -> str:
        """A sentence for people: the days covered, and whether that is a year."""
        kind = "the full year" if self.is_full_year else "interim, not a full year"
        return f"{self.start.isoformat()} to {self.end.isoformat()} ({kind})"


def parse_period(text: str) -> Period:
    """Return the period that ``text`` names.

    Args:
        text: ``YYYY``, or ``YYYY-Qn`` for the year to date after quarter n.

    Raises:
        BadRequest: It is neither.
    """
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise BadRequest(
            f"reporting_period {text!r}: use a year (2024) or the year to the end "
            "of a quarter (2024-Q4)"
        )
    quarter = int(match["quarter"] or 4)
    return Period(text, int(match["year"]), quarter * 3)
