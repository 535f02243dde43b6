"""By whose best each agent of a searching swarm is led."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestration.core.swarm.randomness import draws
from orchestration.core.swarm.state import Floats, SwarmState

__all__ = ["Topology", "leaders"]

_Indices = NDArray[np.intp]


class Topology(StrEnum):
    """Who informs whom."""

    GLOBAL = "GLOBAL"
    """Everybody everybody: all are led by the best since the swarm began (anew)."""

    RING = "RING"
    """Each its two neighbours by number."""

    RANDOM = "RANDOM"
    """Each some others at random, who are drawn anew after an iteration in which the
    best did not improve: the adaptive topology of SPSO-2011."""


def leaders(
    topology: Topology, state: SwarmState, draw: np.random.Generator, *, informed: int
) -> Floats:
    """Return the best positions that agents know of.

    There is one for each, shape ``(n, d)``, or the same for all, shape ``(d,)``.

    Args:
        topology: Who informs whom.
        state: Of the swarm; a new random neighbourhood is noted there.
        draw: The random numbers of the iteration.
        informed: How many others each informs, in a random neighbourhood.
    """
    record = state.record
    match topology:
        case Topology.GLOBAL:
            best: Floats = record["lead_position"]
            return best
        case Topology.RING:
            who = _ring(record["own_best_value"])
        case Topology.RANDOM:
            if record["lead_at"] < record["iteration"] or not record["informants"]:
                record["informants"] = draw.integers(1, 2**64, dtype=np.uint64)
            who = _random(record["own_best_value"], int(record["informants"]), informed)
    led: Floats = record["own_best"][who]
    return led


def _ring(values: Floats) -> _Indices:
    own = np.arange(len(values))
    known = np.stack([own, own - 1, (own + 1) % len(values)])
    found: _Indices = known[values[known].argmin(axis=0), own]
    return found


def _random(values: Floats, drawn_from: int, informed: int) -> _Indices:
    """Return whom each is led by if everybody informs itself and some at random."""
    size = len(values)
    told: NDArray[Any] = np.empty((size, 1 + informed), np.intp)
    told[:, 0] = np.arange(size)
    told[:, 1:] = draws(drawn_from, 0).integers(0, size, (size, informed))
    # Who has the best to tell speaks last: of several values that are assigned to one
    # place the last one stays.
    worst_first = np.argsort(-values, kind="stable")
    led = np.empty(size, np.intp)
    led[told[worst_first]] = worst_first[:, np.newaxis]
    return led
