"""Who is near whom: all pairs of agents within a radius, each pair once.

Few agents are compared with each other. Many are sorted into cells, so that each is
compared with those of the cells around its own only (a cell list, as of molecular
dynamics). Both ways compute a distance by the same operations in the same order, and
so find the same pairs to the bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.swarm.state import Floats

__all__ = [
    "CROSSOVER",
    "Indices",
    "Pairs",
    "apart",
    "brute_pairs",
    "cell_pairs",
    "near_probes",
    "pairs",
]

Indices = NDArray[np.intp]

CROSSOVER: Final = 250
"""Agents from which on cells are the faster way (benchmarks/swarm_motion.py)."""

_ROOM: Final = (
    1.0 + 1e-9
)  # a cell is wider than it must be: rounding moves no agent out
_FINE: Final = 6  # cells of a radius along the last axis, whose cells lie in a row
_COARSE: Final = 2  # along the others
_CHUNK: Final = 500_000  # distances that are held at once
_MOST_DIMS: Final = 3  # beyond, there are too many cells around
_TABLE: Final = 16  # cells for each agent; where there are more, most are empty


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of agents that are near each other, each pair once.

    Attributes:
        first: Rows, shape ``(p,)``.
        second: Rows, shape ``(p,)``; never that of ``first``.
        offset: How to come from the first to the second, shape ``(d, p)``.
        squared: The square of their distance, shape ``(p,)``.
    """

    first: Indices
    second: Indices
    offset: Floats
    squared: Floats

    def within(self, radius: float) -> Pairs:
        """Return those that are within a smaller radius."""
        near = np.flatnonzero(self.squared <= radius * radius)
        return Pairs(
            self.first[near],
            self.second[near],
            self.offset[:, near],
            self.squared[near],
        )


def pairs(position: Floats, radius: float, side: float | None = None) -> Pairs:
    """Return all pairs at most ``radius`` apart, by whichever way is the faster.

    Args:
        position: Shape ``(n, d)``.
        radius: Above 0.
        side: Of the cube that space repeats, so that who leaves it on one side comes
            in on the other; the nearest image counts. None: space is open.
    """
    if len(position) < CROSSOVER:
        return brute_pairs(position, radius, side)
    return cell_pairs(position, radius, side)


def brute_pairs(position: Floats, radius: float, side: float | None = None) -> Pairs:
    """Compare every agent with every other: time goes by the square of their number."""
    columns = np.ascontiguousarray(position.T)
    count = len(position)
    rows = max(1, _CHUNK // max(1, count))
    parts = [
        _compared(columns, slice(begin, begin + rows), radius, side)
        for begin in range(0, max(1, count), rows)
    ]
    first, second, squared = (np.concatenate(each) for each in zip(*parts, strict=True))
    offset = np.stack([apart(each[second], each[first], side) for each in columns])
    return Pairs(first, second, offset, squared)


def cell_pairs(position: Floats, radius: float, side: float | None = None) -> Pairs:
    """Compare every agent with those of the cells around; fast where few are near."""
    cells = _sorted(position, radius, side)
    if cells is None:
        return brute_pairs(position, radius, side)
    first, second = cells.candidates()
    columns = position.T[:, cells.agent]
    squared = np.zeros(len(first))
    offset = np.empty((len(columns), len(first)))
    for column, along in zip(columns, offset, strict=True):
        along[:] = apart(column[second], column[first], side)
        squared += along * along
    near = np.flatnonzero(squared <= radius * radius)
    return Pairs(
        cells.agent[first[near]],
        cells.agent[second[near]],
        offset[:, near],
        squared[near],
    )


def near_probes(
    probes: Floats, position: Floats, radius: float, side: float
) -> tuple[Indices, Indices, Floats] | None:
    """Return which probes have which agents within a radius; None if cells are no use.

    Args:
        probes: Shape ``(m, d)``.
        position: Of agents, shape ``(n, d)``.
        radius: Above 0.
        side: Of the cube that space repeats.

    Returns:
        Rows of probes, rows of agents, the squares of their distances.
    """
    cells = _sorted(position, radius, side)
    if cells is None:
        return None
    inner = _repeating(position.shape[1], radius, side)
    key = _keys(_cell_of(probes, inner, side), np.array(cells.shape))
    probe, place = cells.around(key)
    agent = cells.agent[place]
    squared = np.zeros(len(probe))
    for here, there in zip(probes.T, position.T, strict=True):
        along = apart(there[agent], here[probe], side)
        squared += np.square(along, out=along)
    near = np.flatnonzero(squared <= radius * radius)
    return probe[near], agent[near], squared[near]


def apart(there: Floats, here: Floats, side: float | None) -> Floats:
    """Return the way from here to there along one axis, by the nearest image."""
    way = there - here
    if side is not None:
        images = way / side
        np.rint(images, out=images)
        images *= side
        way -= images
    return way


def _compared(
    columns: Floats, rows: slice, radius: float, side: float | None
) -> tuple[Indices, Indices, Floats]:
    """Return who of these rows is near whom of those after it, and how near."""
    here, there = columns[:, rows], columns[:, rows.start :]
    squared = np.zeros((here.shape[1], there.shape[1]))
    for own, other in zip(here, there, strict=True):
        along = apart(other[np.newaxis, :], own[:, np.newaxis], side)
        squared += np.square(along, out=along)
    near = np.flatnonzero(squared <= radius * radius)
    first, second = np.divmod(near, max(1, there.shape[1]))
    once = first < second
    begin = rows.start
    return first[once] + begin, second[once] + begin, squared.ravel()[near[once]]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Agents in the order of their cells; where space repeats, edges are there again.

    Attributes:
        agent: Rows in that order, shape ``(m,)``.
        real: Which of them are no repetition, shape ``(n,)``.
        keys: The cell of each, ascending, shape ``(m,)``.
        shape: How many cells there are along each axis.
    """

    agent: Indices
    real: Indices
    keys: Indices
    shape: Sequence[int]

    def candidates(self) -> tuple[Indices, Indices]:
        """Return all pairs that are to be compared, as places in the order."""
        key, first_of = self.keys[self.real], self._first_of()
        low, high = [], []
        for row, reach in self._rows():
            if row < 0:  # the same pairs are found from their other ends
                continue
            low.append(first_of(key + (row - reach)) if row else self.real + 1)
            high.append(first_of(key + (row + reach + 1)))
        return _spread(self.real, low, high)

    def around(self, key: Indices) -> tuple[Indices, Indices]:
        """Return which of these cells, and places in the order of those around it."""
        first_of = self._first_of()
        low = [first_of(key + (row - reach)) for row, reach in self._rows()]
        high = [first_of(key + (row + reach + 1)) for row, reach in self._rows()]
        return _spread(np.arange(len(key)), low, high)

    def _rows(self) -> Iterator[tuple[int, int]]:
        """Return how far off in the table each row around is, and the reach in it."""
        around = range(-_COARSE, _COARSE + 1)
        for steps in itertools.product(around, repeat=len(self.shape) - 1):
            gap = sum((max(abs(step) - 1, 0) / _COARSE) ** 2 for step in steps)
            if gap < 1.0:
                row = 0
                for step, cells in zip((*steps, 0), self.shape, strict=True):
                    row = row * cells + step
                yield row, math.ceil(_FINE * math.sqrt(1.0 - gap))

    def _first_of(self) -> Callable[[Indices], Indices]:
        """Return what says where the agents of a cell, or of those after it, begin."""
        cells = math.prod(self.shape)
        if cells > _TABLE * len(self.agent):
            return lambda keys: np.searchsorted(self.keys, keys)
        ends = np.cumsum(np.bincount(self.keys, minlength=cells))
        starts = np.concatenate(([0], ends))
        return lambda keys: starts[keys]


def _spread(
    asking: Indices, low: Sequence[Indices], high: Sequence[Indices]
) -> tuple[Indices, Indices]:
    """Return everyone who asks beside each place of their ranges."""
    begin = np.concatenate(low)
    count = np.concatenate(high) - begin
    first = np.repeat(np.tile(asking, len(low)), count)
    second = np.arange(len(first))
    second += np.repeat(begin - (np.cumsum(count) - count), count)
    return first, second


def _sorted(position: Floats, radius: float, side: float | None) -> _Cells | None:
    """Sort agents into cells; None where that is no use."""
    count, dims = position.shape
    if not count or not 0 < dims <= _MOST_DIMS:
        return None
    reach = _reach(dims)
    agent = np.arange(count)
    if side is None:
        cell = np.floor((position - position.min(axis=0)) * (reach / (radius * _ROOM)))
        cell = np.stack([_closer(*each) for each in zip(cell.T, reach, strict=True)], 1)
        shape = cell.max(axis=0) + reach + 1
    else:
        inner = _repeating(dims, radius, side)
        if (inner < 2 * reach + 1).any():
            return None
        cell = _cell_of(position, inner, side)
        agent, cell = _repeated(agent, cell, inner, reach)
        shape = inner + 2 * reach
    keys = _keys(cell, shape)
    order = np.argsort(keys, kind="stable")
    return _Cells(
        agent[order], np.flatnonzero(order < count), keys[order], shape.tolist()
    )


def _reach(dims: int) -> Indices:
    return np.array([*[_COARSE] * (dims - 1), _FINE])


def _repeating(dims: int, radius: float, side: float) -> Indices:
    """Return how many cells a cube has along each axis."""
    cells = np.floor(_reach(dims) * (side / (radius * _ROOM)))
    return np.asarray(cells, np.intp)


def _cell_of(position: Floats, inner: Indices, side: float) -> Indices:
    """Return the cells of positions in space that repeats, repetitions before them."""
    cell = np.floor(position * (inner / side)).astype(np.intp)
    return np.asarray(cell % inner + _reach(len(inner)))


def _keys(cell: Indices, shape: Indices) -> Indices:
    keys = np.zeros(len(cell), np.intp)
    for along, cells in zip(cell.T, shape.tolist(), strict=True):
        keys = keys * cells + along
    return keys


def _closer(cell: Floats, reach: int) -> Indices:
    """Leave out empty cells between those that are too far apart to matter."""
    if cell.max() <= _TABLE * len(cell):
        return cell.astype(np.intp)
    there, which = np.unique(cell, return_inverse=True)
    gaps = np.minimum(np.diff(there, prepend=there[0]), reach + 1)
    return np.cumsum(gaps).astype(np.intp)[which]


def _repeated(
    agent: Indices, cell: Indices, inner: Indices, reach: Indices
) -> tuple[Indices, Indices]:
    """Add what is near an edge beyond the opposite one, axis by axis."""
    for axis, (cells, beyond) in enumerate(zip(inner, reach, strict=True)):
        along = cell[:, axis]
        for near, by in (
            (np.flatnonzero(along < 2 * beyond), cells),
            (np.flatnonzero(along >= cells), -cells),
        ):
            image = cell[near]
            image[:, axis] += by
            agent = np.concatenate((agent, agent[near]))
            cell = np.concatenate((cell, image))
    return agent, cell
