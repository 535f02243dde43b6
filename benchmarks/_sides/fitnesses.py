"""A fitness that takes long, as a simulation would, and no processor."""

from __future__ import annotations

import time
from typing import Final

from orchestration.agents import fitness
from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.state import Floats

__all__ = ["EACH_S", "slow"]

EACH_S: Final = 0.0005
"""How long a position takes, seconds."""


@fitness("slow")
def slow(positions: Floats) -> Floats:
    """Value positions one after the other."""
    time.sleep(EACH_S * len(positions))
    return STANDARD["rastrigin"].values(positions)
