"""Searches that laws are held against, and how they are run."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from orchestration.core.swarm.functions import STANDARD, shifted
from orchestration.core.swarm.motion import Advanced, Fitness, advance, begin
from orchestration.core.swarm.neighbourhood import Topology
from orchestration.core.swarm.search import Algorithm, Search, motion_of
from orchestration.core.swarm.space import Boundary
from orchestration.core.swarm.state import SwarmState
from orchestration.core.swarm.stopping import Stopping

__all__ = ["drawn_searches", "moved_optimum", "run", "search_of"]


def search_of(name: str, dims: int, **settings: Any) -> Search:
    bound = STANDARD[name].bound
    return Search(lower=[-bound] * dims, upper=[bound] * dims, **settings)


@st.composite
def drawn_searches(draw: st.DrawFn, **settings: Any) -> Search:
    """Draw a search of rastrigin's bounds with whatever settings are not given."""
    agents = draw(st.integers(2, 12))
    drawn: dict[str, Any] = {
        "agents": agents,
        "algorithm": draw(st.sampled_from(Algorithm)),
        "topology": draw(st.sampled_from(Topology)),
        "boundary": draw(st.sampled_from(Boundary)),
        "informed": draw(st.integers(1, min(3, agents))),
        "scouts": draw(st.integers(0, agents - 1)),
        "limit": draw(st.integers(1, 5)),
        "patience": draw(st.integers(0, 5)),
    }
    return search_of("rastrigin", draw(st.integers(1, 3)), **drawn | settings)


def run(
    search: Search,
    fitness: Fitness,
    *,
    seed: int = 1,
    iterations: int = 60,
    at_once: int = 60,
    until: Stopping | None = None,
) -> tuple[SwarmState, list[Advanced]]:
    """Run a search, so many iterations in one go, through bytes between goes."""
    motion = motion_of(search)
    state = begin(motion, seed, fitness, until=until)
    previous, goes, done = state.digest(), [], 0
    while done < iterations:
        state = SwarmState.from_bytes(state.to_bytes())
        gone = advance(
            motion_of(search),
            state,
            seed=seed,
            iterations=min(at_once, iterations - done),
            previous=previous,
            fitness=fitness,
            until=until,
        )
        goes.append(gone)
        if gone.stopped:
            break
        state, previous = gone.state, gone.hashes[-1]
        done += len(gone.hashes)
    return state, goes


def moved_optimum(name: str, dims: int, seed: int) -> Fitness:
    """Return a standard function with its optimum somewhere else."""
    bound = STANDARD[name].bound
    shift = np.random.default_rng(seed).uniform(-0.4 * bound, 0.4 * bound, dims)
    return shifted(STANDARD[name], shift)
