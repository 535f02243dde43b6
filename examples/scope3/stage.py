"""What a frame of the film looks like: the map of partitions, and how far it all is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from examples.scope3.charts import LOCK, shown
from examples.scope3.film import Film

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Stage"]

Pixels = NDArray[np.uint8]

_SIZE: Final = (9.6, 5.4)
_TAIL: Final = 3
_DPI: Final = 100
_FLASH_FRAMES: Final = 3
_ABOUT_THE_SAME: Final = 1.05
_NIGHT, _WAITING, _LIGHT, _DIM = "#0c1519", "#1b2a31", "#eef3f1", "#93a59e"
_AGENT, _GOAL = "#7fe0d0", "#f2b84b"
_MAP: Final = (0.025, 0.085, 0.635, 0.80)
_SIDE_LEFT, _SIDE_WIDTH = 0.73, 0.225
_STYLE: Any = {
    "font.size": 10,
    "text.color": _LIGHT,
    "axes.labelcolor": _DIM,
    "axes.edgecolor": _DIM,
    "xtick.color": _DIM,
    "ytick.color": _DIM,
    "axes.facecolor": _NIGHT,
    "figure.facecolor": _NIGHT,
    "savefig.facecolor": _NIGHT,
}


class Stage:
    """One figure that each frame of a film is drawn into.

    What does not change is drawn once and kept as a picture.

    Args:
        film: Whose frames.
    """

    def __init__(self, film: Film) -> None:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._film = film
        self._colours = _Colours(film.tonnes)
        with LOCK, mpl.rc_context(_STYLE):
            self._figure = Figure(figsize=_SIZE, dpi=_DPI)
            canvas: Any = FigureCanvasAgg(self._figure)  # whose methods have no types
            self._canvas = canvas
            self._tiles, self._gaps, self._tails, self._dots = self._map()
            self._line, self._head = self._curve()
            self._said = self._words()
            self._legend()
            self._moving = (
                *(self._tiles, self._gaps, self._tails, self._dots),
                *(self._line, self._head, *self._said),
            )
            for artist in self._moving:
                artist.set_animated(True)
            self._canvas.draw()
            self._still = self._canvas.copy_from_bbox(self._figure.bbox)

    def frames(self) -> Iterator[Pixels]:
        """Yield every frame, as ``pixels`` does."""
        for frame in range(len(self._film.moments)):
            yield self.pixels(frame)

    def pixels(self, frame: int) -> Pixels:
        """Return a frame, shape ``(height, width, 3)``."""
        self._show(frame)
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            self._figure.draw_artist(artist)
        return np.array(self._canvas.buffer_rgba())[:, :, :3].copy()

    def _show(self, frame: int) -> None:
        film, now = self._film, self._film.moments[frame]
        step = film.moments[1] - film.moments[0]
        since = (now - film.done_at) / step
        is_done = film.done_at <= now
        rgb = self._colours.of(np.where(is_done, film.tonnes, np.nan))
        flash = np.where(is_done, np.clip(1 - since / _FLASH_FRAMES, 0, 1), 0)
        rgb += (1 - rgb) * 0.75 * flash[:, None]
        canvas = np.full((film.rows * film.columns, 3), _rgb(_NIGHT))
        canvas[: len(rgb)] = rgb
        self._tiles.set_data(canvas.reshape(film.rows, film.columns, 3))
        recent = film.paths[max(0, frame - _TAIL) : frame + 1]
        self._tails.set_segments(list(recent.swapaxes(0, 1)))
        self._dots.set_offsets(film.paths[frame])
        self._tell(now, is_done)

    def _tell(self, now: float, is_done: Any) -> None:  # noqa: ANN401 - an array of bool
        course = self._film.course
        ended = np.sort(self._film.done_at[is_done])
        share = 100 * len(ended) / course.partitions
        self._line.set_data(
            [0, *ended, now],
            [0, *(100 * np.arange(1, len(ended) + 1) / course.partitions), share],
        )
        self._head.set_data([now], [share])
        tonnes = float(np.nansum(np.where(is_done, self._film.tonnes, 0)))
        for text, words in zip(
            self._said,
            (
                f"{shown(tonnes)} t",
                f"{shown(len(ended))} of {shown(course.partitions)} partitions",
                f"after {now:.1f} s",
            ),
            strict=True,
        ):
            text.set_text(words)

    def _map(self) -> tuple[Any, Any, Any, Any]:
        from matplotlib.collections import LineCollection

        film = self._film
        axes = self._figure.add_axes(_MAP)
        axes.set_axis_off()
        tiles = axes.imshow(
            np.zeros((film.rows, film.columns, 3)),
            interpolation="nearest",
            aspect="auto",
        )
        wide, high = film.columns - 0.5, film.rows - 0.5
        gaps = axes.add_collection(
            LineCollection(
                [((x - 0.5, -0.5), (x - 0.5, high)) for x in range(1, film.columns)]
                + [((-0.5, y - 0.5), (wide, y - 0.5)) for y in range(1, film.rows)],
                colors=_NIGHT,
                linewidths=1.2,
            )
        )
        tails = axes.add_collection(
            LineCollection([], colors=_AGENT, linewidths=0.9, alpha=0.4)
        )
        dots = axes.scatter(
            [], [], s=17, color=_AGENT, edgecolors=_NIGHT, linewidths=0.7, zorder=3
        )
        return tiles, gaps, tails, dots

    def _curve(self) -> tuple[Any, Any]:
        course = self._film.course
        axes = self._side(0.335, 0.21)
        wanted = 100 * course.threshold
        axes.axhline(wanted, color=_GOAL, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.text(
            0.02 * course.duration_s,
            wanted - 4,
            f"asked for: {wanted:.0f} %",
            va="top",
            fontsize=8,
            color=_GOAL,
        )
        axes.set_xlim(0, course.duration_s * 1.03)
        axes.set_ylim(0, 106)
        axes.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"])
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.set_xlabel("seconds after the swarm began", fontsize=8)
        axes.set_title("convergence", loc="left", fontsize=9, color=_LIGHT)
        (line,) = axes.plot([], [], color=_AGENT, linewidth=1.8)
        (head,) = axes.plot([], [], "o", color=_AGENT, markersize=4.5)
        return line, head

    def _words(self) -> Sequence[Any]:
        course, figure = self._film.course, self._figure
        figure.text(
            _MAP[0],
            0.94,
            "Scope 3 emissions, shared out by a swarm",
            fontsize=14,
            fontweight="bold",
            va="center",
        )
        figure.text(
            _MAP[0],
            0.04,
            f"a tile is a partition, a dot one of {course.agents} agents on its way to "
            f"its next partition   ·   {_speed(self._film.slowed)}",
            fontsize=8.5,
            color=_DIM,
            va="center",
        )
        left = _SIDE_LEFT
        figure.text(left, 0.855, "CO₂e of the suppliers so far", fontsize=9, color=_DIM)
        right = left + _SIDE_WIDTH
        return (
            figure.text(left, 0.775, "", fontsize=22, fontweight="bold"),
            figure.text(left, 0.715, "", fontsize=10),
            figure.text(right, 0.94, "", ha="right", va="center", color=_DIM),
        )

    def _legend(self) -> None:
        axes = self._side(0.125, 0.03)
        ramp = self._colours.ramp()
        axes.imshow(ramp[None], aspect="auto", extent=(0, 1, 0, 1))
        low, high = self._colours.low, self._colours.high
        ends = [f"{shown(low)}", f"{shown((low * high) ** 0.5)}", f"{shown(high)}"]
        axes.set_xticks([0, 0.5, 1], ends)
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.tick_params(labelsize=8, length=2)
        axes.set_title(
            "t CO₂e of a partition (logarithmic)", loc="left", fontsize=9, color=_LIGHT
        )

    def _side(self, bottom: float, height: float) -> Axes:
        axes: Axes = self._figure.add_axes((_SIDE_LEFT, bottom, _SIDE_WIDTH, height))
        return axes


class _Colours:
    """The colour of so many tonnes, on a logarithmic scale."""

    def __init__(self, tonnes: Any) -> None:  # noqa: ANN401 - an array
        import matplotlib as mpl

        known = tonnes[~np.isnan(tonnes) & (tonnes > 0)]
        ends: list[float] = [1.0, 10.0]
        if len(known):
            ends = np.quantile(known, (0.01, 0.99)).tolist()
        self.low, self.high = ends
        self._map = mpl.colormaps["inferno"]

    def of(self, tonnes: Any) -> Any:  # noqa: ANN401 - arrays
        """Return colours, shape ``(n, 3)``; what is no number is waiting."""
        span = np.log(self.high / self.low) or 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.clip(np.log(tonnes / self.low) / span, 0, 1)
        colours = self._map(0.25 + 0.72 * np.nan_to_num(share))[:, :3]
        return np.where(np.isnan(tonnes)[:, None], _rgb(_WAITING), colours)

    def ramp(self) -> Any:  # noqa: ANN401 - an array
        """Return the colours from low to high."""
        return self._map(np.linspace(0.25, 0.97, 128))[:, :3]


def _speed(slowed: float) -> str:
    """Say how fast the film is, beside the run."""
    times = max(slowed, 1 / slowed)
    if times < _ABOUT_THE_SAME:
        return "as fast as it was"
    return f"{times:.1f} times {'slower' if slowed > 1 else 'faster'} than it was"


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    return red, green, blue
