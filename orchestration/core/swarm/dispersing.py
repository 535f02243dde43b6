"""How agents come to cover a space evenly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from orchestration.core.swarm.checked import number, whole
from orchestration.core.swarm.coverage import coverage, nearest
from orchestration.core.swarm.neighbours import apart, pairs
from orchestration.core.swarm.roaming import Roaming, started
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.steering import drawn
from orchestration.core.words import member

__all__ = ["DisperseRule", "Dispersing", "DispersingSettings"]


class DisperseRule(StrEnum):
    """What drives agents apart."""

    REPULSION = "REPULSION"
    """Each yields to those who are near, the more the nearer they are (Howard 2002)."""

    LLOYD = "LLOYD"
    """Each goes to the centre of what is nearest to it (Lloyd 1982, Cortes 2004)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispersingSettings(Roaming):
    """Agents in a cube that space repeats.

    Attributes:
        side: Of the cube.
        rule: What drives them apart; a plain name is accepted.
        spacing: How far an agent yields, in distances that neighbours have in the
            densest packing. REPULSION's.
        gain: How much of an overlap it yields in an iteration. REPULSION's.
        probes: From how many points for each agent it is told what is nearest to it.
            LLOYD's.
    """

    side: float = 1.0
    rule: DisperseRule | str = DisperseRule.REPULSION
    spacing: float = 1.15
    gain: float = 0.15
    probes: int = 32

    def __post_init__(self) -> None:
        Roaming.__post_init__(self)
        if str(self.rule).upper() in DisperseRule.__members__:
            object.__setattr__(self, "rule", member(DisperseRule, self.rule))

    def reach(self, agents: int) -> float:
        """Return how far they yield: ``spacing * 2^(1/6) * density^(-1/d)``."""
        spacing = self.side * float(agents) ** (-1.0 / self.dims)
        return float(self.spacing * 2.0 ** (1.0 / 6.0) * spacing)

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from Roaming.each_fault(self)
        yield from number("side", self.side, above=True)
        yield from number("spacing", self.spacing, 0.0, 10.0, above=True)
        yield from number("gain", self.gain, 0.0, 1.0, above=True)
        yield from whole("probes", self.probes, 1, 10_000)
        if not isinstance(self.rule, DisperseRule):
            yield f"rule is {self.rule!r}: use {', '.join(DisperseRule)}"


class Dispersing:
    """A swarm that spreads. Its agents' ``value`` is how far they went last.

    Attributes:
        settings: What it was told.
    """

    searches: Final = False

    def __init__(self, settings: DispersingSettings) -> None:
        self.settings = settings

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return agents anywhere in the cube, at rest."""
        told = self.settings
        shape = (told.agents, told.dims)
        return started(told, draw.uniform(0.0, told.side, shape), np.zeros(shape))

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Let each go from where it is crowded; the state is changed."""
        told, record = self.settings, state.record
        if told.rule is DisperseRule.LLOYD:
            way = self._to_centre(record["position"], draw)
        else:
            way = self._from_others(record["position"])
        record["velocity"] = way
        record["position"] += way
        record["position"] %= told.side
        record["value"] = np.sqrt(np.einsum("ij,ij->i", way, way))
        return state

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in nothing: it does not search."""

    def convergence(self, state: SwarmState) -> float:
        """Return how evenly the cube is covered: 0.0 by chance, 1.0 at best."""
        return coverage(state.record["position"], self.settings.side)

    def _from_others(self, position: Floats) -> Floats:
        """Yield to everyone within reach, by a part of what is missing to the reach."""
        told, count = self.settings, len(position)
        reach = told.reach(count)
        near = pairs(position, reach, told.side)
        distance = np.sqrt(near.squared)
        distance[distance == 0.0] = np.inf  # there is no way apart from the same place
        return -told.gain * drawn(near, reach / distance - 1.0, count)

    def _to_centre(self, position: Floats, draw: np.random.Generator) -> Floats:
        """Go to the centre of those random points to which no other is nearer."""
        told, count = self.settings, len(position)
        probes = draw.uniform(0.0, told.side, (told.probes * count, told.dims))
        mine, _ = nearest(probes, position, told.side)
        number_of = np.maximum(np.bincount(mine, minlength=count), 1)
        way = np.empty_like(position)
        for axis in range(told.dims):
            along = apart(probes[:, axis], position[mine, axis], told.side)
            way[:, axis] = np.bincount(mine, along, count) / number_of
        return way
