"""The chart of a report: location-based Scope 2 by country and reporting year.

Only this module needs matplotlib; it is imported when a chart is drawn.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from decimal import Decimal

from examples.csrd.decimals import shown
from examples.csrd.scope2 import YearFigures

__all__ = ["scope2_chart"]

_LOCK = threading.Lock()  # matplotlib's settings belong to the whole process
_COLOURS = ("#0b6e4f", "#b7c9bf")  # the reporting year stands out
_BAR = 0.38


def scope2_chart(years: Sequence[YearFigures]) -> bytes:
    """Return the chart as SVG; the same figures give the same bytes.

    Args:
        years: The reporting year first, then its comparative where there is one.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    countries = [figure.factor.country for figure in years[0].countries]
    with _LOCK, mpl.rc_context({"svg.hashsalt": "csrd", "font.size": 10}):
        figure = Figure(figsize=(8, 0.62 * len(countries) + 1.1), layout="constrained")
        axes = figure.add_subplot()
        for index, (year, colour) in enumerate(zip(years, _COLOURS, strict=False)):
            tonnes = {c.factor.country: c.tco2e for c in year.countries}
            places = [row + index * _BAR for row in range(len(countries))]
            bars = axes.barh(
                places,
                [float(tonnes[country]) for country in countries],
                height=_BAR,
                color=colour,
                label=str(year.period.year),
            )
            labels = [shown(tonnes[country], 0) for country in countries]
            axes.bar_label(bars, labels, padding=3, fontsize=8, color="#444444")
        middle = _BAR * (len(years) - 1) / 2
        axes.set_yticks([row + middle for row in range(len(countries))], countries)
        axes.invert_yaxis()
        axes.set_xlabel("t CO₂e, location-based Scope 2 from purchased electricity")
        axes.xaxis.set_major_formatter(lambda value, _: shown(Decimal(value), 0))
        axes.margins(x=0.09, y=0.02)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        axes.legend(frameon=False, loc="lower right")
        out = io.BytesIO()
        metadata = {"Date": None, "Creator": None}  # else the bytes vary
        figure.savefig(out, format="svg", metadata=metadata)
    return out.getvalue()
