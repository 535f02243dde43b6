"""How evenly agents cover a space: how far its points are from the nearest agent."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from orchestration.core.swarm.neighbours import Indices, apart, near_probes
from orchestration.core.swarm.state import Floats

__all__ = ["coverage", "lattice_points", "nearest", "second_moment"]

_BEST: Final = {
    2: 5.0 / (36.0 * math.sqrt(3.0)),
    3: 19.0 / (192.0 * 2.0 ** (1.0 / 3.0)),
}
"""The least second moments: of the hexagonal and the body-centred cubic lattice."""

_RANDOM: Final = {
    2: 1.0 / (2.0 * math.pi),
    3: math.gamma(5.0 / 3.0) / (3.0 * (4.0 * math.pi / 3.0) ** (2.0 / 3.0)),
}
"""Those of agents that are anywhere, independently of each other."""

_PROBES: Final = 4_096
_CHUNK: Final = 2_000_000  # distances that are held at once


def coverage(position: Floats, side: float) -> float:
    """Return how evenly agents cover a cube that space repeats, 0.0 to 1.0.

    1.0 is the most even way there is (Conway and Sloane 1982), 0.0 is what chance
    does, or worse.

    Args:
        position: Shape ``(n, d)``, with 2 or 3 dimensions.
        side: Of the cube.
    """
    dims = position.shape[1]
    efficiency = _BEST[dims] / second_moment(position, side)
    chance = _BEST[dims] / _RANDOM[dims]
    return float(np.clip((efficiency - chance) / (1.0 - chance), 0.0, 1.0))


def second_moment(position: Floats, side: float) -> float:
    """Return the mean square distance to the nearest agent, by dimension and density.

    It is taken over points that are spread evenly, the same in each call.
    """
    count, dims = position.shape
    probes = side * lattice_points(_PROBES, dims)
    squared = nearest(probes, position, side)[1]
    density = count / side**dims
    return float(squared.mean() / dims * density ** (2.0 / dims))


def lattice_points(count: int, dims: int) -> Floats:
    """Return points spread evenly over the unit cube (Roberts 2018): no dice needed."""
    ratio = 2.0
    for _ in range(64):  # the root of x^(d+1) = x + 1
        ratio = (1.0 + ratio) ** (1.0 / (dims + 1))
    steps = ratio ** -np.arange(1.0, dims + 1.0)
    return np.asarray((0.5 + np.arange(1.0, count + 1.0)[:, np.newaxis] * steps) % 1.0)


def nearest(probes: Floats, position: Floats, side: float) -> tuple[Indices, Floats]:
    """Return for each probe the nearest agent, and the square of the way there.

    Args:
        probes: Shape ``(m, d)``.
        position: Of agents, shape ``(n, d)``, at least one.
        side: Of the cube that space repeats.

    Returns:
        Rows and squares, shape ``(m,)`` each; of equally near ones the first row.
    """
    which = np.full(len(probes), len(position))
    squared = np.full(len(probes), np.inf)
    # A ball of this radius holds some eight agents, were they spread evenly.
    radius = 1.26 * side * len(position) ** (-1.0 / position.shape[1])
    if found := near_probes(probes, position, radius, side):
        probe, agent, square = found
        np.minimum.at(squared, probe, square)
        best = np.flatnonzero(square == squared[probe])
        np.minimum.at(which, probe[best], agent[best])
    left = np.flatnonzero(which == len(position))
    step = max(1, _CHUNK // len(position))
    for begin in range(0, len(left), step):
        rows = left[begin : begin + step]
        square = np.zeros((len(rows), len(position)))
        for axis in range(position.shape[1]):
            along = apart(
                position[np.newaxis, :, axis], probes[rows, np.newaxis, axis], side
            )
            square += np.square(along, out=along)
        which[rows] = square.argmin(axis=1)
        squared[rows] = square[np.arange(len(rows)), which[rows]]
    return which, squared
