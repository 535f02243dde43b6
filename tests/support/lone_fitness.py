"""A fitness in a pool of its own, which a worker of one process can have for itself."""

from __future__ import annotations

import numpy as np

from orchestration.agents import fitness
from orchestration.core.swarm.state import Floats


@fitness("lone", pool="lone")
def lone(positions: Floats) -> Floats:
    return np.einsum("ij,ij->i", positions, positions)
