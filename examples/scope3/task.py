"""What the swarm is asked to do: the task of the usage example."""

from __future__ import annotations

from examples.scope3.agents import SUPPLIERS
from orchestration.swarm import SwarmBehavior, SwarmTask

__all__ = ["scope3_task"]


def scope3_task(
    *, suppliers: int = 100_000, partitions: int = 1_000, agents: int = 100
) -> SwarmTask:
    """Return the task of so many suppliers, partitions and agents.

    How many suppliers there are is for the workers' environment to say, see
    ``agents.py``; here it is only told.
    """
    return SwarmTask(
        objective=f"Calculate Scope 3 emissions for {suppliers:,} suppliers",
        data_partitions=partitions,
        agents_required=agents,
        behavior=SwarmBehavior.FORAGING,
        convergence_threshold=0.95,
        timeout_ms=300_000,
        metadata={
            "data_source": SUPPLIERS,
            "emission_factors": "ghg_protocol_2024",
        },
    )
