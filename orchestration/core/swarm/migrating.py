"""How a few who know where to go lead all others there (Couzin et al. 2005).

Each agent keeps a distance from those who are too close; where nobody is, it goes
towards the others and the way they go. Queen and scouts know the goal, and weigh its
direction against that; nobody can tell them from the rest. Here those who know the goal
heed it also while they keep their distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestration.core.swarm.checked import number, place, points
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.neighbours import Indices, pairs
from orchestration.core.swarm.roaming import Roaming, started
from orchestration.core.swarm.roles import having
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.steering import (
    degrees,
    drawn,
    groups,
    strewn,
    summed,
    swayed,
    turned,
    unit,
)

__all__ = ["Migrating", "MigratingSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MigratingSettings(Roaming):
    """A group in open space.

    Attributes:
        goal: The direction in which it is to go; none: along the first axis.
        personal: Whom an agent keeps apart from.
        radius: How far it sees.
        speed: How far it goes in a unit of time.
        step: Units of time of an iteration.
        turn: How far it can turn in a unit of time, radians.
        noise: The standard deviation of its way, radians.
        assertiveness: How much the goal weighs beside the others, for those who know.
        crowding: Agents for each cube of the size ``personal`` at the beginning.
    """

    goal: tuple[float, ...] = ()
    personal: float = 1.0
    radius: float = 6.0
    speed: float = 1.0
    step: float = 0.2
    turn: float = 2.0
    noise: float = 0.01
    assertiveness: float = 0.5
    crowding: float = 0.25

    def __post_init__(self) -> None:
        Roaming.__post_init__(self)
        object.__setattr__(self, "goal", points(self.goal))

    @property
    def towards(self) -> Floats:
        """The direction of the goal, of length 1, shape ``(d,)``."""
        goal = np.array(self.goal or (1.0, *[0.0] * (self.dims - 1)), np.float64)
        return np.asarray(goal / np.sqrt(goal @ goal))

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from Roaming.each_fault(self)
        for name in ("personal", "radius", "speed", "step", "turn", "crowding"):
            yield from number(name, getattr(self, name), above=True)
        yield from number("noise", self.noise, 0.0, np.pi)
        yield from number("assertiveness", self.assertiveness)
        if self.goal != ():
            wrong = [*place("goal", self.goal, self.dims)]
            if not wrong and not any(self.goal):
                wrong = ["goal is nowhere: give it a direction"]
            yield from wrong


class Migrating:
    """A group on its way. Its agents' ``value`` is how far off the goal they head.

    That is 1 minus the cosine between the two: 0.0 to 2.0.

    Attributes:
        settings: What it was told.
    """

    searches: Final = False

    def __init__(self, settings: MigratingSettings) -> None:
        self.settings = settings
        self._goal = settings.towards

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return agents together, on whatever way."""
        told = self.settings
        side = told.personal * (told.agents / told.crowding) ** (1.0 / told.dims)
        position = draw.uniform(0.0, side, (told.agents, told.dims))
        heading = strewn(told.agents, told.dims, draw)
        return started(told, position, told.speed * told.step * heading)

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Let each look around, turn, and go on; the state is changed."""
        told, record = self.settings, state.record
        knowing = having(state, AgentRole.QUEEN, AgentRole.SCOUT)
        heading = unit(record["velocity"])
        wanted = self._wanted(record["position"], heading, knowing)
        wanted = swayed(wanted, draw.normal(0.0, told.noise, state.size), draw)
        heading = turned(heading, wanted, told.turn * told.step)
        record["velocity"] = told.speed * told.step * heading
        record["position"] += record["velocity"]
        record["value"] = 1.0 - np.einsum("ij,j->i", heading, self._goal)
        return state

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in nothing: it does not search."""

    def convergence(self, state: SwarmState) -> float:
        """Return how far the group is whole, and heads for the goal.

        That is the part of the agents that is in the largest group, times the cosine
        between its mean way and the goal; 0.0 if it goes anywhere else.
        """
        group = self.together(state)
        heading = unit(state.record["velocity"][group]).mean(axis=0)[np.newaxis]
        along = float((unit(heading)[0] * self._goal).sum())
        return float(np.clip(len(group) / state.size * along, 0.0, 1.0))

    def together(self, state: SwarmState) -> Indices:
        """Return the rows of the largest group in which all are linked by sight."""
        near = pairs(state.record["position"], self.settings.radius)
        group = groups(near.first, near.second, state.size)
        return np.flatnonzero(group == np.bincount(group).argmax())

    def _wanted(self, position: Floats, heading: Floats, knowing: Indices) -> Floats:
        """Return the way each wants to go, of length 1."""
        told, count = self.settings, len(position)
        near = pairs(position, told.radius)
        distance = np.sqrt(near.squared)
        distance[distance == 0.0] = np.inf
        wanted = drawn(near, 1.0 / distance, count)
        wanted += summed(near, heading)
        close = near.within(told.personal)
        crowded = np.flatnonzero(degrees(close, count))
        distance = np.sqrt(close.squared)
        distance[distance == 0.0] = np.inf
        wanted[crowded] = -drawn(close, 1.0 / distance, count)[crowded]
        wanted = unit(wanted)
        wanted[knowing] += told.assertiveness * self._goal
        wanted = unit(wanted)
        alone = (wanted == 0.0).all(axis=1)
        wanted[alone] = heading[alone]
        return wanted
