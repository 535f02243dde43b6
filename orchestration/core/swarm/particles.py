"""How the agents of a particle swarm fly: constricted, and by SPSO-2011."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from orchestration.core.swarm.neighbourhood import Topology, leaders
from orchestration.core.swarm.searching import Swarm
from orchestration.core.swarm.space import Space
from orchestration.core.swarm.state import Floats, SwarmState

__all__ = ["Coefficients", "Constricted", "Particles", "Spherical"]


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What a particle goes by.

    Attributes:
        inertia: What it keeps of its velocity.
        cognitive: How strongly it is drawn to its own best.
        social: How strongly it is drawn to the best that it knows of.
    """

    inertia: float
    cognitive: float
    social: float


class Particles(Swarm, ABC):
    """What all kinds share; ``fly`` is what they do not."""

    def __init__(
        self,
        *,
        size: int,
        space: Space,
        coefficients: Coefficients,
        topology: Topology,
        informed: int = 3,
        scouts: int = 0,
        limit: int = 100,
        patience: int = 50,
    ) -> None:
        super().__init__(
            size=size, space=space, scouts=scouts, limit=limit, patience=patience
        )
        self.coefficients = coefficients
        self.topology = topology
        self.informed = informed

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Move every particle once; the state is changed."""
        if self.begin_anew(state, draw):
            return state
        record = state.record
        led = leaders(self.topology, state, draw, informed=self.informed)
        self.fly(state, led, draw)
        self.space.keep_in(record["position"], record["velocity"], int(record["lives"]))
        self.send_scouts(state, draw)
        return state

    @abstractmethod
    def fly(self, state: SwarmState, led: Floats, draw: np.random.Generator) -> None:
        """Change velocities and positions, without regard to the bounds."""


class Constricted(Particles):
    """Drawn to both bests in each dimension by itself (Clerc and Kennedy 2002)."""

    def fly(self, state: SwarmState, led: Floats, draw: np.random.Generator) -> None:
        """Add to each velocity a random part of the way to either best."""
        record, by = state.record, self.coefficients
        position, velocity = record["position"], record["velocity"]
        ways = np.empty((2, *position.shape))
        to_own, to_led = ways
        np.subtract(record["own_best"], position, out=to_own)
        np.subtract(led, position, out=to_led)
        ways *= draw.random(ways.shape)
        if by.cognitive == by.social:
            to_own += to_led
            to_own *= by.cognitive
        else:
            to_own *= by.cognitive
            to_led *= by.social
            to_own += to_led
        velocity *= by.inertia
        velocity += to_own
        position += velocity


class Spherical(Particles):
    """Drawn to a random point of a ball around what is known (SPSO-2011).

    The same in whatever direction the axes point (Clerc 2011; Zambrano-Bigiarini,
    Clerc and Rojas 2013).
    """

    def fly(self, state: SwarmState, led: Floats, draw: np.random.Generator) -> None:
        """Go on with a part of the velocity from a random point of the ball."""
        record, by = state.record, self.coefficients
        position, velocity = record["position"], record["velocity"]
        own = record["own_best"]
        # The centre is the mean of: here, a bit beyond the own best, and a bit beyond
        # the leader's; who leads itself has two of them. All is told from here.
        centre = by.cognitive * (own - position)
        second = by.social * (led - position)
        leads_itself = (led == own).all(axis=1)
        second[leads_itself] = 0.0
        centre += second
        centre /= np.where(leads_itself, 2.0, 3.0)[:, np.newaxis]
        way = draw.standard_normal(position.shape)
        reach = _lengths(centre) * draw.random(len(way)) / _lengths(way)
        way *= reach[:, np.newaxis]
        velocity *= by.inertia
        velocity += centre
        velocity += way
        position += velocity


def _lengths(vectors: Floats) -> Floats:
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return lengths
