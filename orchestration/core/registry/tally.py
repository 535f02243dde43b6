"""How many agents a replica holds, and how they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestration.core.registry.checksum import STATUSES
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.model import AgentStatus

__all__ = ["Tally", "tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Figures over all agents, in whichever status.

    Attributes:
        total_agents: How many there are.
        average_health_score: Their mean; 0.0 if there are none.
        unique_capabilities: How many capabilities there are, versions apart.
        by_status: How many stand how; every status is named.
    """

    total_agents: int
    average_health_score: float
    unique_capabilities: int
    by_status: Mapping[AgentStatus, int]


def tally(columns: Columns) -> Tally:
    """Count what a replica holds."""
    with columns.lock:
        taken = columns.status >= 0
        counts = np.bincount(columns.status[taken], minlength=len(STATUSES)).tolist()
        health = columns.health[taken]
        return Tally(
            total_agents=len(columns),
            average_health_score=float(health.mean()) if len(health) else 0.0,
            unique_capabilities=len(columns.index.capabilities),
            by_status=dict(zip(STATUSES, counts, strict=True)),
        )
