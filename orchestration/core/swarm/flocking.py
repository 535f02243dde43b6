"""How agents come to fly as one flock: Reynolds' three rules, and Vicsek's one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from orchestration.core.swarm.checked import number
from orchestration.core.swarm.neighbours import pairs
from orchestration.core.swarm.roaming import Roaming, started
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.steering import (
    drawn,
    order,
    strewn,
    summed,
    swayed,
    unit,
)
from orchestration.core.words import member

__all__ = ["FlockRule", "Flocking", "FlockingSettings"]


class FlockRule(StrEnum):
    """What an agent of a flock goes by."""

    REYNOLDS = "REYNOLDS"
    """Away from who is too close, the way the others go, towards them (1987)."""

    VICSEK = "VICSEK"
    """The mean way of all around, oneself included (1995)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlockingSettings(Roaming):
    """A flock in a cube that space repeats.

    Attributes:
        side: Of the cube.
        rule: What an agent goes by; a plain name is accepted.
        radius: How far it sees.
        speed: How far it flies in an iteration.
        noise: How unsteady it is: it is off by up to half of this to either side,
            radians, 0 to 2 pi.
        separation: How much keeping apart weighs beside its own way, which weighs 1.
        separation_radius: Whom it keeps apart from.
        alignment: How much the way of the others weighs.
        cohesion: How much staying together weighs.
    """

    side: float = 5.0
    rule: FlockRule | str = FlockRule.REYNOLDS
    radius: float = 1.0
    speed: float = 0.03
    noise: float = 0.1
    separation: float = 1.5
    separation_radius: float = 1.0 / 3.0
    alignment: float = 1.0
    cohesion: float = 1.0

    def __post_init__(self) -> None:
        Roaming.__post_init__(self)
        if str(self.rule).upper() in FlockRule.__members__:
            object.__setattr__(self, "rule", member(FlockRule, self.rule))

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from Roaming.each_fault(self)
        for name in ("side", "radius", "separation_radius", "speed"):
            yield from number(name, getattr(self, name), above=True)
        for name in ("separation", "alignment", "cohesion"):
            yield from number(name, getattr(self, name))
        yield from number("noise", self.noise, 0.0, 2.0 * np.pi)
        if not isinstance(self.rule, FlockRule):
            yield f"rule is {self.rule!r}: use {', '.join(FlockRule)}"


class Flocking:
    """A flock. Its agents' ``value`` is how far their way is off the common one.

    That is 1 minus the cosine between the two: 0.0 to 2.0.

    Attributes:
        settings: What it was told.
    """

    searches: Final = False

    def __init__(self, settings: FlockingSettings) -> None:
        self.settings = settings

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return agents all over the cube, on whatever way."""
        told = self.settings
        position = draw.uniform(0.0, told.side, (told.agents, told.dims))
        heading = strewn(told.agents, told.dims, draw)
        return started(told, position, told.speed * heading)

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Let each look around, turn, and fly on; the state is changed."""
        told, record = self.settings, state.record
        heading = self._wanted(record["position"], unit(record["velocity"]))
        off = draw.uniform(-0.5 * told.noise, 0.5 * told.noise, state.size)
        heading = unit(swayed(heading, off, draw))
        record["velocity"] = told.speed * heading
        record["position"] += record["velocity"]
        record["position"] %= told.side
        common = unit(heading.mean(axis=0)[np.newaxis])[0]
        record["value"] = 1.0 - np.einsum("ij,j->i", heading, common)
        return state

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in nothing: a flock does not search."""

    def convergence(self, state: SwarmState) -> float:
        """Return the order parameter: how long the mean of all directions is."""
        return order(unit(state.record["velocity"]))

    def _wanted(self, position: Floats, heading: Floats) -> Floats:
        """Return the way each wants to go, of length 1."""
        told, count = self.settings, len(position)
        near = pairs(position, told.radius, told.side)
        others = summed(near, heading)
        if told.rule is FlockRule.VICSEK:
            wanted = heading + others
        else:
            wanted = heading + told.alignment * unit(others)
            wanted += told.cohesion * unit(drawn(near, None, count))
            close = near.within(told.separation_radius)
            weight = 1.0 / np.maximum(close.squared, np.finfo(np.float64).tiny)
            wanted -= told.separation * unit(drawn(close, weight, count))
        wanted = unit(wanted)
        lost = (wanted == 0.0).all(axis=1)  # all cancels out: it flies on
        wanted[lost] = heading[lost]
        return wanted
