"""One agent of a swarm, as whoever reads the state sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.neighbours import apart
from orchestration.core.swarm.state import SwarmState

__all__ = ["SwarmAgent", "agents_of"]


@dataclass(frozen=True, slots=True)
class SwarmAgent:
    """A view of one row of a state; it shows what the state holds when it is read.

    Attributes:
        state: Of the swarm.
        row: Which of its agents.
        side: Of the cube that space repeats; None: space is open.
    """

    state: SwarmState
    row: int
    side: float | None = None

    @property
    def agent_id(self) -> int:
        """Its number, which no other agent of the swarm ever has."""
        return int(self.state.record["agent"][self.row])

    @property
    def position(self) -> tuple[float, ...]:
        """Where it is."""
        return tuple(self.state.record["position"][self.row].tolist())

    @property
    def velocity(self) -> tuple[float, ...]:
        """What it moves by in an iteration."""
        return tuple(self.state.record["velocity"][self.row].tolist())

    @property
    def role(self) -> AgentRole:
        """What it is there for."""
        return ROLES[int(self.state.record["role"][self.row])]

    @property
    def energy(self) -> int:
        """What it has left."""
        return int(self.state.record["energy"][self.row])

    @property
    def fitness(self) -> float:
        """The value of where it is; the smaller, the better."""
        return float(self.state.record["value"][self.row])

    @property
    def generation(self) -> int:
        """How many ancestors it has."""
        return int(self.state.record["generation"][self.row])

    def neighbors(self, radius: float) -> tuple[SwarmAgent, ...]:
        """Return who is at most so far away, the nearest first."""
        position = self.state.record["position"]
        squared = np.zeros(self.state.size)
        for along in position.T:
            squared += np.square(apart(along, along[self.row], self.side))
        near = np.flatnonzero(squared <= radius * radius)
        near = near[np.argsort(squared[near], kind="stable")]
        return tuple(
            SwarmAgent(self.state, int(row), self.side)
            for row in near
            if row != self.row
        )


def agents_of(state: SwarmState, side: float | None = None) -> tuple[SwarmAgent, ...]:
    """Return a view of each agent."""
    return tuple(SwarmAgent(state, row, side) for row in range(state.size))
