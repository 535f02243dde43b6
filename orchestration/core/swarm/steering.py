"""Directions, and how agents are drawn by those around them."""

from __future__ import annotations

import numpy as np

from orchestration.core.swarm.neighbours import Indices, Pairs
from orchestration.core.swarm.state import Floats

__all__ = [
    "degrees",
    "drawn",
    "groups",
    "order",
    "strewn",
    "summed",
    "swayed",
    "turned",
    "unit",
]


def unit(vector: Floats) -> Floats:
    """Return vectors of length 1 in these directions, shape ``(n, d)``; 0 stays 0."""
    length = np.sqrt(np.einsum("ij,ij->i", vector, vector))
    length[length == 0.0] = 1.0
    return np.asarray(vector / length[:, np.newaxis])


def strewn(count: int, dims: int, draw: np.random.Generator) -> Floats:
    """Return directions at random, all equally likely, shape ``(count, dims)``."""
    if dims == 2:  # noqa: PLR2004  a plane
        angle = draw.uniform(-np.pi, np.pi, count)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return unit(draw.standard_normal((count, dims)))


def swayed(heading: Floats, angle: Floats, draw: np.random.Generator) -> Floats:
    """Return directions that are off by an angle each, to whichever side.

    Args:
        heading: Of length 1, shape ``(n, d)``.
        angle: In radians, shape ``(n,)``; below 0 it is the other side.
        draw: Says which side, where there are more than two.
    """
    return _rotated(heading, _across(heading, draw), angle)


def turned(heading: Floats, wanted: Floats, most: float) -> Floats:
    """Return the directions that are wanted, as far as one can turn to them at once.

    Args:
        heading: Of length 1, shape ``(n, d)``.
        wanted: Of length 1, or 0: then the heading stays, shape ``(n, d)``.
        most: How far one can turn, in radians.
    """
    along = np.clip(np.einsum("ij,ij->i", heading, wanted), -1.0, 1.0)
    angle = np.minimum(np.arccos(along), most)
    side = unit(wanted - along[:, np.newaxis] * heading)
    new = _rotated(heading, side, angle)
    stays = (wanted == 0.0).all(axis=1)
    new[stays] = heading[stays]
    return unit(new)


def degrees(pairs: Pairs, count: int) -> Indices:
    """Return how many are near each, shape ``(count,)``."""
    near = np.bincount(pairs.first, minlength=count)
    near += np.bincount(pairs.second, minlength=count)
    return near


def drawn(pairs: Pairs, weight: Floats | None, count: int) -> Floats:
    """Return the sum of the ways to all that are near, shape ``(count, d)``.

    Args:
        pairs: Who is near whom.
        weight: What each way is multiplied by, shape ``(p,)``; None: 1.
        count: Of agents.
    """
    total = np.empty((count, len(pairs.offset)))
    for axis, way in enumerate(pairs.offset):
        pull = way if weight is None else way * weight
        total[:, axis] = np.bincount(pairs.first, pull, count)
        total[:, axis] -= np.bincount(pairs.second, pull, count)
    return total


def summed(pairs: Pairs, vector: Floats) -> Floats:
    """Return the sum of the vectors of all that are near, shape ``(n, d)``."""
    total = np.empty_like(vector)
    for axis, each in enumerate(np.ascontiguousarray(vector.T)):
        total[:, axis] = np.bincount(pairs.first, each[pairs.second], len(vector))
        total[:, axis] += np.bincount(pairs.second, each[pairs.first], len(vector))
    return total


def order(heading: Floats) -> float:
    """Return how far all go the same way: the length of the mean direction."""
    mean = heading.mean(axis=0)
    return float(np.clip(np.sqrt(mean @ mean), 0.0, 1.0))


def groups(first: Indices, second: Indices, count: int) -> Indices:
    """Return for each the lowest row that it is connected with, shape ``(count,)``."""
    lowest = np.arange(count)
    while True:
        before = lowest.copy()
        least = np.minimum(lowest[first], lowest[second])
        np.minimum.at(lowest, first, least)
        np.minimum.at(lowest, second, least)
        lowest = lowest[lowest]
        if np.array_equal(before, lowest):
            return lowest


def _across(heading: Floats, draw: np.random.Generator) -> Floats:
    """Return directions square to these."""
    if heading.shape[1] == 2:  # noqa: PLR2004  a plane: the sign of the angle is the side
        return np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    any_way = draw.standard_normal(heading.shape)
    along = np.einsum("ij,ij->i", any_way, heading)
    return unit(any_way - along[:, np.newaxis] * heading)


def _rotated(heading: Floats, side: Floats, angle: Floats) -> Floats:
    rotated = np.cos(angle)[:, np.newaxis] * heading
    rotated += np.sin(angle)[:, np.newaxis] * side
    return np.asarray(rotated)
