"""What swarms are told and made of: behaviours and roles."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["ROLES", "AgentRole", "SwarmBehavior"]


class SwarmBehavior(StrEnum):
    """How the agents of a swarm move, and what they converge to."""

    FORAGING = "FORAGING"
    FLOCKING = "FLOCKING"
    SWARMING = "SWARMING"
    DISPERSING = "DISPERSING"
    CLUSTERING = "CLUSTERING"
    MIGRATING = "MIGRATING"


class AgentRole(StrEnum):
    """What an agent of a swarm is there for."""

    QUEEN = "QUEEN"
    WORKER = "WORKER"
    SCOUT = "SCOUT"
    SOLDIER = "SOLDIER"
    NURSE = "NURSE"
    FORAGER = "FORAGER"


ROLES: Final = tuple(AgentRole)
"""The roles by their codes in the state of a swarm."""
