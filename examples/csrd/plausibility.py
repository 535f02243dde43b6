"""Which readings a person should look at before the report is signed.

A reading far from its own site's median is flagged, not changed and not refused:
a shutdown is as real as a slipped decimal point.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from statistics import median

from examples.csrd.sites import Reading

__all__ = ["FACTOR", "doubtful"]

FACTOR = 5
"""How many times above or below the median is far."""


def doubtful(readings: Sequence[Reading]) -> tuple[str, ...]:
    """Return one sentence for each reading that is far from its site's median."""
    by_site: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        by_site[reading.site_id].append(reading)
    found: list[str] = []
    for own in by_site.values():
        middle: Decimal = median(reading.mwh for reading in own)
        found.extend(
            f"{r.site_id} {r.month}: {r.mwh} MWh, the site's median is {middle} MWh"
            for r in own
            if r.mwh > middle * FACTOR or r.mwh * FACTOR < middle
        )
    return tuple(found)
