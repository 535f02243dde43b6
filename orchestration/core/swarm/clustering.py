"""How agents gather where they are many: blurring mean shift.

All agents go to the mean of all, weighted by nearness, again and again (Fukunaga and
Hostetler 1975, Comaniciu and Meer 2002): it always contracts, and what comes together
is a cluster. An agent may stand for a point of data; then the clusters are the data's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestration.core.jsonable import shown
from orchestration.core.swarm.checked import number, place, points
from orchestration.core.swarm.neighbours import Indices, brute_pairs
from orchestration.core.swarm.roaming import Roaming, started
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.steering import groups

__all__ = ["Clustering", "ClusteringSettings", "explained"]

_CHUNK: Final = 1_000_000  # distances that are held at once
_STILL: Final = 1e-3  # of a bandwidth: who moves less in an iteration has come to rest


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusteringSettings(Roaming):
    """Agents in open space.

    Attributes:
        points: Where they begin, one point for each agent; none: anywhere in a cube.
        side: Of that cube.
        bandwidth: How far nearness goes: the standard deviation of the weights. Some
            0.8 of the deviation within a cluster is a good one.
    """

    points: tuple[tuple[float, ...], ...] = ()
    side: float = 10.0
    bandwidth: float = 1.6

    def __post_init__(self) -> None:
        Roaming.__post_init__(self)
        object.__setattr__(self, "points", points(self.points))

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from Roaming.each_fault(self)
        yield from number("side", self.side, above=True)
        yield from number("bandwidth", self.bandwidth, above=True)
        given: object = self.points
        if not isinstance(given, tuple):
            yield f"points is {shown(given)}: give it a list of points, or none"
        elif given:
            if len(given) != self.agents:
                yield (
                    f"points are {len(given)} for {shown(self.agents)} agents: "
                    f"give one for each"
                )
            for at, each in enumerate(given):
                yield from place(f"points[{at}]", each, self.dims)


class Clustering:
    """A swarm that gathers. Its agents' ``value`` is how far they went last.

    Attributes:
        settings: What it was told.
    """

    searches: Final = False

    def __init__(self, settings: ClusteringSettings) -> None:
        self.settings = settings

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return agents at their points; each remembers its own in ``own_best``."""
        told = self.settings
        shape = (told.agents, told.dims)
        at = np.array(told.points) if told.points else draw.uniform(0, told.side, shape)
        state = started(told, at, np.zeros(shape))
        state.record["value"] = np.inf
        return state

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Let each go to the mean of those around; the state is changed."""
        del draw
        record = state.record
        position = record["position"]
        way = _means(position, self.settings.bandwidth) - position
        record["velocity"] = way
        record["position"] += way
        record["value"] = np.sqrt(np.einsum("ij,ij->i", way, way))
        return state

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in nothing: it does not search."""

    def convergence(self, state: SwarmState) -> float:
        """Return how much of the variance of where they began the clusters explain."""
        return explained(state.record["own_best"], self.clusters(state))

    def clusters(self, state: SwarmState) -> Indices:
        """Return for each agent the lowest row of its cluster, shape ``(n,)``."""
        return _gathered(state.record["position"], 0.5 * self.settings.bandwidth)

    def at_rest(self, state: SwarmState) -> bool:
        """Tell whether nobody moves any more, but for a thousandth of a bandwidth."""
        return bool(state.record["value"].max() < _STILL * self.settings.bandwidth)


def explained(data: Floats, cluster: Indices) -> float:
    """Return 1 - W/T: the part of the variance that is between clusters, 0.0 to 1.0.

    Args:
        data: Shape ``(n, d)``.
        cluster: What each belongs to, shape ``(n,)``.
    """
    apart = data - data.mean(axis=0)
    total = float(np.einsum("ij,ij->", apart, apart))
    if total == 0.0:
        return 1.0
    _, which, count = np.unique(cluster, return_inverse=True, return_counts=True)
    between = 0.0
    for along in apart.T:
        sums = np.bincount(which, along)
        between += float((sums * sums / count).sum())
    return float(np.clip(between / total, 0.0, 1.0))


def _means(position: Floats, bandwidth: float) -> Floats:
    """Return the weighted mean of all that each sees."""
    means = np.empty_like(position)
    columns = np.ascontiguousarray(position.T) / bandwidth
    step = max(1, _CHUNK // len(position))
    for begin in range(0, len(position), step):
        rows = slice(begin, begin + step)
        weight = np.zeros((len(means[rows]), len(position)))
        for column in columns:
            along = column - column[rows, np.newaxis]
            weight += np.square(along, out=along)
        weight *= -0.5
        np.exp(weight, out=weight)
        # No matrix product: its order of adding is not the same on every machine.
        means[rows] = np.einsum("ij,jk->ik", weight, position, optimize=False)
        means[rows] /= weight.sum(axis=1)[:, np.newaxis]
    return means


def _gathered(position: Floats, radius: float) -> Indices:
    """Return for each agent the lowest row of those at its place, within a radius."""
    cell = np.floor(position / radius)
    _, first, which = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    count = np.bincount(which)
    centre = np.stack([np.bincount(which, along) / count for along in position.T], 1)
    near = brute_pairs(centre, radius)
    lead = groups(near.first, near.second, len(centre))
    lowest = np.full(len(centre), len(position))
    np.minimum.at(lowest, lead, first)
    return lowest[lead][which]
