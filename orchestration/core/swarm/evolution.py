"""Who of a swarm has offspring: tournaments among the fit, and small changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from orchestration.core.swarm.checked import MAX_AGENTS, Checked, number, whole
from orchestration.core.swarm.energy import EnergySettings, Ledger, fertile
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.population import with_rows
from orchestration.core.swarm.roles import CODES
from orchestration.core.swarm.state import Floats, SwarmState

__all__ = ["EvolutionSettings", "mutated", "reproduced", "tournament"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionSettings(Checked):
    """How a swarm evolves.

    Attributes:
        max_agents: More are not born.
        tournament: Of how many the best wins.
        mutation: The standard deviation of what a child's place differs by.
    """

    max_agents: int = 1_000
    tournament: int = 2
    mutation: float = 0.1

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from whole("max_agents", self.max_agents, 1, MAX_AGENTS)
        yield from whole("tournament", self.tournament, 1, 1_000)
        yield from number("mutation", self.mutation)


def tournament(
    values: Floats, draw: np.random.Generator, *, count: int, size: int = 2
) -> Indices:
    """Return the winners of tournaments, each the best of a few drawn at random.

    Args:
        values: The smaller, the better, shape ``(..., n)``.
        draw: Says who is in which; one may be in a tournament twice.
        count: How many tournaments.
        size: How many are in each.

    Returns:
        Shape ``(..., count)``.
    """
    shape = (*values.shape[:-1], count, size)
    drawn = draw.integers(values.shape[-1], size=shape)
    flat = drawn.reshape(*values.shape[:-1], count * size)
    theirs = np.take_along_axis(values, flat, axis=-1).reshape(shape)
    winner = theirs.argmin(axis=-1)[..., np.newaxis]
    return np.asarray(np.take_along_axis(drawn, winner, axis=-1)[..., 0])


def mutated(position: Floats, scale: float, draw: np.random.Generator) -> Floats:
    """Return places near these, off by a Gaussian in each dimension."""
    return np.asarray(position + scale * draw.standard_normal(position.shape))


def reproduced(
    state: SwarmState,
    ledger: Ledger,
    energy: EnergySettings,
    settings: EvolutionSettings,
    draw: np.random.Generator,
) -> tuple[SwarmState, Ledger]:
    """Return a swarm with the children of those who have energy for two, one each.

    Where there is not room for all, tournaments say whose; the others go on, and are
    counted as ``evolution_overflow``. Parent and child share the energy, an odd one is
    the parent's. A child is near its parent, of its role, and nobody's queen.
    """
    fit = fertile(state, energy)
    room = max(0, settings.max_agents - state.size)
    parents = fit
    if len(fit) > room:
        parents = _winners(state, fit, room, settings.tournament, draw)
    born, before = len(parents), state.size
    ledger = replace(
        ledger,
        births=ledger.births + born,
        evolution_overflow=ledger.evolution_overflow + len(fit) - born,
    )
    if not born:
        return state, ledger
    state = with_rows(state, np.concatenate((np.arange(before), parents)))
    record, child = state.record, slice(before, before + born)
    record["energy"][child] //= 2
    record["energy"][parents] -= record["energy"][child]
    record["position"][child] = mutated(
        record["position"][child], settings.mutation, draw
    )
    record["generation"][child] += 1
    record["stagnant"][child] = 0
    record["agent"][child] = int(record["next_id"]) + np.arange(born)
    record["next_id"] += born
    role = record["role"][child]
    role[role == CODES[AgentRole.QUEEN]] = CODES[AgentRole.WORKER]
    return state, ledger


def _winners(
    state: SwarmState, fit: Indices, count: int, size: int, draw: np.random.Generator
) -> Indices:
    """Return the winners of tournaments among those who have not won yet."""
    values, waiting, won = state.record["value"], fit, []
    for _ in range(count):
        drawn = draw.permutation(len(waiting))[:size]
        best = drawn[values[waiting[drawn]].argmin()]
        won.append(int(waiting[best]))
        waiting = np.delete(waiting, best)
    return np.array(won, np.intp)
