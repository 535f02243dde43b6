"""A swarm in a terminal: where its agents are, and how the best value fell. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

__all__ = ["Window", "bar", "plot", "spark"]

Floats = NDArray[np.float64]

_BRAILLE: Final = 0x2800
# Which bit is which dot of a cell, by row and column.
_DOTS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_HIGH, _WIDE = _DOTS.shape
_CROWD: Final = 4  # agents in one cell
_STEPS: Final = "▁▂▃▄▅▆▇█"
_PARTS: Final = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the plane that is shown: of the first two dimensions.

    Attributes:
        lower: The least of each.
        upper: The most of each.
    """

    lower: tuple[float, float]
    upper: tuple[float, float]

    @classmethod
    def of(cls, bounds: Sequence[Sequence[float]]) -> Self:
        """Return the window on a space with these bounds, a pair a dimension."""
        pairs = [(float(low), float(high)) for low, high in bounds[:2]]
        pairs += [(-1.0, 1.0)] * (2 - len(pairs))
        (low_x, high_x), (low_y, high_y) = pairs
        return cls((low_x, low_y), (high_x, high_y))

    @classmethod
    def around(cls, positions: Floats) -> Self:
        """Return a window on all of these, with a margin."""
        flat = _flat(positions)
        low, high = flat.min(axis=0), flat.max(axis=0)
        margin = np.where(high > low, 0.05 * (high - low), 1.0)
        (low_x, low_y), (high_x, high_y) = (
            (low - margin).tolist(),
            (high + margin).tolist(),
        )
        return cls((low_x, low_y), (high_x, high_y))

    def with_all(self, positions: Floats) -> Window:
        """Return the window itself, or one that has grown so that all are in it."""
        other = Window.around(positions)
        flat = _flat(positions)
        if (flat >= self.lower).all() and (flat <= self.upper).all():
            return self
        lower = tuple(map(min, self.lower, other.lower))
        upper = tuple(map(max, self.upper, other.upper))
        return Window((lower[0], lower[1]), (upper[0], upper[1]))


def plot(
    positions: Floats,
    window: Window,
    *,
    columns: int,
    rows: int,
    best: Sequence[float] | None = None,
) -> Text:
    """Return agents as dots, eight to a character; brighter where they crowd.

    Args:
        positions: Of the agents, shape ``(agents, dims)``.
        window: What is shown of space; what is beyond it is not.
        columns: How wide, in characters.
        rows: How high.
        best: A place that is marked.
    """
    dots = np.zeros((rows, columns), np.int64)
    crowd = np.zeros((rows, columns), np.int64)
    x, y = _cells(positions, window, columns * _WIDE, rows * _HIGH)
    places = (y // _HIGH, x // _WIDE)
    np.bitwise_or.at(dots, places, _DOTS[y % _HIGH, x % _WIDE])
    np.add.at(crowd, places, 1)
    marks = set()
    if best is not None:
        at = _cells(np.array([best], np.float64), window, columns, rows)
        marks = {(int(row), int(column)) for column, row in zip(*at, strict=True)}
    text = Text(no_wrap=True)
    for row in range(rows):
        for column in range(columns):
            if (row, column) in marks:
                text.append("✕", "warn")
            elif dots[row, column]:
                is_crowd = crowd[row, column] >= _CROWD
                sign = chr(_BRAILLE + int(dots[row, column]))
                text.append(sign, "bold cyan" if is_crowd else "live")
            else:
                text.append(" ")
        text.append("\n" if row < rows - 1 else "")
    return text


def spark(values: Sequence[float | None], columns: int) -> str:
    """Return how values went, as a line of bars; by logarithms if all are above 0.

    Args:
        values: Oldest first; None where there was none.
        columns: At most so wide; of more values some are left out.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return ""
    picked = [known[len(known) * nth // columns] for nth in range(columns)]
    picked = [*picked[:-1], known[-1]] if len(known) > columns else known
    if min(known) > 0:
        picked = [math.log(value) for value in picked]
    low, high = min(picked), max(picked)
    span = high - low or 1.0
    return "".join(
        _STEPS[round((value - low) / span * (len(_STEPS) - 1))] for value in picked
    )


def bar(share: float, columns: int) -> str:
    """Return a share, 0.0 to 1.0, as a bar in eighths of characters."""
    eighths = round(min(max(share, 0.0), 1.0) * columns * len(_PARTS))
    full, part = divmod(eighths, len(_PARTS))
    return ("█" * full + _PARTS[part]).strip().ljust(columns, "·")[:columns]


def _flat(positions: Floats) -> Any:  # noqa: ANN401 - an array
    """Return the first two dimensions; of a line, the line."""
    if positions.shape[1] > 1:
        return positions[:, :2]
    return np.column_stack([positions[:, 0], np.zeros(len(positions))])


def _cells(
    positions: Floats, window: Window, wide: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return column and row of each position that is in the window."""
    lower, upper = np.array(window.lower), np.array(window.upper)
    share = (_flat(positions) - lower) / np.where(upper > lower, upper - lower, 1.0)
    share = share[((share >= 0) & (share <= 1)).all(axis=1)]
    x = np.minimum((share[:, 0] * wide).astype(np.int64), wide - 1)
    y = np.minimum(((1 - share[:, 1]) * high).astype(np.int64), high - 1)
    return x, y
