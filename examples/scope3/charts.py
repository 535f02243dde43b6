"""The charts of the report, as SVG; the same figures give the same bytes.

Only this module and ``film`` need matplotlib; it is imported when something is drawn.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from examples.scope3.course import Course
from examples.scope3.emissions import Totals
from examples.scope3.factors import Factors, GridFactor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LOCK", "by_country", "by_sector", "progress", "shown", "work"]

ELECTRICITY: Final = "#d98e04"
OTHER: Final = "#0b6e4f"
INK: Final = "#1d2a26"
SOFT: Final = "#5d6b66"
SLOTS: Final = ("#0b6e4f", "#d98e04", "#3b6fb6", "#a8447c", "#6b7f2a", "#8a5a3c")

LOCK = threading.Lock()  # matplotlib's settings belong to the whole process
_STYLE: Any = {
    "svg.hashsalt": "scope3",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": INK,
}
_COUNTRIES: Final = 15
_MG_PER_KT: Final = 10**12


def by_country(totals: Totals, factors: Factors) -> bytes:
    """Return emissions by the suppliers' country, in the colour of its grid."""
    named = {one.iso3: one for one in factors.grid}
    ranked = sorted(totals.by_country.items(), key=lambda one: -sum(one[1]))
    first, rest = ranked[:_COUNTRIES], ranked[_COUNTRIES:]
    kt = [sum(parts) / _MG_PER_KT for _, parts in first]
    with _figure(8, 0.31 * (len(first) + 1) + 1.2) as (figure, axes):
        import matplotlib as mpl

        scale = mpl.colors.Normalize(0, 800)
        colours = mpl.colormaps["YlOrBr"]
        shades: list[Any] = [
            colours(0.15 + 0.85 * scale(_grams(named[k]))) for k, _ in first
        ]
        labels = [named[key].country for key, _ in first]
        if rest:
            kt.append(sum(sum(parts) for _, parts in rest) / _MG_PER_KT)
            labels.append(f"{len(rest)} others")
            shades.append("#c9d1cd")
        bars = axes.barh(labels, kt, color=shades, height=0.74)
        said = [f"{value:,.1f}" for value in kt]
        axes.bar_label(bars, said, padding=3, fontsize=8.5, color=SOFT)
        axes.invert_yaxis()
        axes.margins(x=0.09, y=0.01)
        _plain(axes, "kt CO₂e in the year, by country of the supplier")
        shade = mpl.colors.ListedColormap(colours(np.linspace(0.15, 1.0, 256)))
        legend = mpl.cm.ScalarMappable(scale, shade)
        bar = figure.colorbar(legend, ax=axes, shrink=0.55, aspect=22, pad=0.02)
        bar.set_label("life-cycle intensity of the grid, g CO₂e/kWh", fontsize=9)
        bar.outline.set_visible(False)
        return _svg(figure)


def by_sector(totals: Totals) -> bytes:
    """Return emissions by sector, electricity's apart from all others."""
    ranked = sorted(totals.by_sector.items(), key=lambda one: -sum(one[1]))
    labels = [sector for sector, _ in ranked]
    columns = np.array([parts for _, parts in ranked]) / _MG_PER_KT
    with _figure(8, 0.34 * len(ranked) + 1.2) as (figure, axes):
        electricity, other = columns.T
        axes.barh(
            labels,
            electricity,
            color=ELECTRICITY,
            height=0.72,
            label="electricity: kWh, by its country's grid",
        )
        bars = axes.barh(
            labels,
            other,
            left=electricity,
            color=OTHER,
            height=0.72,
            label="all else: spend, by its sector",
        )
        said = [f"{value:,.1f}" for value in columns.sum(axis=1)]
        axes.bar_label(bars, said, padding=3, fontsize=8.5, color=SOFT)
        axes.invert_yaxis()
        axes.margins(x=0.09, y=0.01)
        _plain(axes, "kt CO₂e in the year, by sector of the supplier")
        axes.legend(frameon=False, loc="lower right", fontsize=9)
        return _svg(figure)


def work(course: Course) -> bytes:
    """Return every partition as a line: when, by which agent, in which process."""
    with _figure(8, 4.6) as (figure, axes):
        for place, slot in enumerate(course.slots):
            mine = [piece for piece in course.pieces if piece.slot == place]
            axes.hlines(
                [piece.agent for piece in mine],
                [piece.began_s for piece in mine],
                [piece.ended_s for piece in mine],
                color=SLOTS[place % len(SLOTS)],
                linewidth=3.4,
                label=f"{slot}: {len(mine):,}",
            )
        axes.set_xlim(0, course.duration_s * 1.01)
        axes.set_ylim(-1, course.agents)
        axes.set_ylabel("agent")
        _plain(axes, "seconds after the swarm began", left=True)
        figure.legend(
            *axes.get_legend_handles_labels(),
            title="partitions by worker process",
            title_fontsize=9,
            fontsize=9,
            loc="outside upper left",
            ncols=min(4, len(course.slots)),
            frameon=False,
        )
        return _svg(figure)


def progress(course: Course) -> bytes:
    """Return convergence and quality as they grew, and the busy processes."""
    ended = np.array([piece.ended_s for piece in course.pieces])
    done = np.arange(1, len(ended) + 1)
    quality = np.cumsum([piece.quality for piece in course.pieces]) / done
    with _figure(8, 3.6) as (figure, axes):
        axes.step(
            [0, *ended],
            [0, *(100 * done / course.partitions)],
            where="post",
            color=OTHER,
            linewidth=2,
            label="convergence: share of the work that is committed",
        )
        axes.plot(
            ended,
            100 * quality,
            color=ELECTRICITY,
            linewidth=2,
            label="fitness: suppliers that report their electricity",
        )
        wanted = 100 * course.threshold
        axes.axhline(wanted, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"asked for: {wanted:.0f} %",
            (0, wanted),
            (4, -3),
            textcoords="offset points",
            va="top",
            fontsize=9,
            color=SOFT,
        )
        axes.set_xlim(0, course.duration_s * 1.01)
        axes.set_ylim(0, 104)
        axes.set_ylabel("%")
        _plain(axes, "seconds after the swarm began", left=True)
        figure.legend(loc="outside upper left", ncols=2, fontsize=9, frameon=False)
        return _svg(figure)


def shown(value: float, places: int = 0) -> str:
    """Return a number for people, thousands set apart."""
    return f"{value:,.{places}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of so many inches, in the style of all charts here."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with LOCK, mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def _plain(axes: Axes, x_label: str, *, left: bool = False) -> None:
    axes.set_xlabel(x_label)
    hidden = ["top", "right"] if left else ["top", "right", "left"]
    axes.spines[hidden].set_visible(False)
    if not left:
        axes.tick_params(left=False)
    axes.xaxis.set_major_formatter(lambda value, _: shown(value, _places(axes)))


def _places(axes: Axes) -> int:
    """Return how many decimals the ticks need."""
    low, high = axes.get_xlim()
    return 0 if high - low >= 4 else 1  # noqa: PLR2004 - then ticks are whole numbers


def _svg(figure: Figure) -> bytes:
    out = io.BytesIO()
    metadata = {"Date": None, "Creator": None}  # else the bytes vary
    figure.savefig(out, format="svg", metadata=metadata)
    return out.getvalue()


def _grams(factor: GridFactor) -> float:
    return float(factor.mg_per_kwh) / 1_000
