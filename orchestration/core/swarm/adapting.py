"""Particle swarms whose size follows how the search goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.particles import Constricted, Particles, Spherical
from orchestration.core.swarm.population import with_rows
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.stopping import values_asked

__all__ = [
    "Adapting",
    "AdaptingConstricted",
    "AdaptingSpherical",
    "Limits",
    "Sizing",
]

_GROWTH: Final = 2
_LEAVES_EVERY: Final = 8
_LAST: Final = 150
_MOST_DOUBLINGS: Final = 24
_WORKER: Final = ROLES.index(AgentRole.WORKER)


class Sizing(StrEnum):
    """Whether a swarm's size changes."""

    FIXED = "FIXED"
    """All agents stay to the end, and nobody joins them."""

    ADAPTIVE = "ADAPTIVE"
    """Fewer while the best gets better, twice as many when all begin anew."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Between what the size of a swarm changes.

    Attributes:
        min_agents: There never are fewer.
        max_agents: There never are more.
        evaluations: Of how many values, at most, the search is; None: of any number.
    """

    min_agents: int
    max_agents: int
    evaluations: int | None = None


class Adapting(Particles):
    """Goes on with fewer agents where it gets on, and begins anew with more.

    - While the leader finds something better, the worst agent leaves, in every eighth
      iteration: few agents have more iterations, and come farther along a valley.
    - Each time that all begin anew there are twice as many as the time before: where
      few have stood still there are many optima, of which more agents find better ones
      (as Auger and Hansen 2005 have found of evolution strategies).
    - What is left of the evaluations is enough for 150 iterations of as many agents as
      there are: when it is not, the worst leave.

    The queen stays, the scouts too, and at no time are there fewer than the least.
    Nothing but the state decides: lives, size, iteration, and what was paid for.

    Agents keep the books of the values that they have asked for in their ``energy``;
    who leaves hands its own over to the queen.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        **told: Any,  # noqa: ANN401 - what all particles are told
    ) -> None:
        super().__init__(**told)
        self.limits = limits

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Let agents leave or come, then move every one of them once."""
        return super().move(self._resized(state), draw)

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in the values, and write down who has asked for them."""
        super().judge(state, values)
        state.record["energy"] += 1

    def wanted(self, state: SwarmState) -> int:
        """Return how many agents the next iteration is to have."""
        wanted: int
        record, limits, now = state.record, self.limits, state.size
        if self.is_stuck(state):
            lives = min(int(record["lives"]) + 1, _MOST_DOUBLINGS)
            wanted = self.size * _GROWTH**lives
        else:
            gets_on = int(record["lead_at"]) == state.iteration
            wanted = now - int(gets_on and state.iteration % _LEAVES_EVERY == 0)
        wanted = min(wanted, limits.max_agents)
        if limits.evaluations is not None:
            left = limits.evaluations - values_asked(state)
            wanted = min(wanted, left // _LAST)
        return max(wanted, limits.min_agents)

    def _resized(self, state: SwarmState) -> SwarmState:
        wanted, now = self.wanted(state), state.size
        first_scout = now - self.scouts
        workers, scouts = np.arange(1, first_scout), np.arange(first_scout, now)
        if wanted < now:
            own = state.record["own_best_value"][workers]
            best = np.argsort(own, kind="stable")[: wanted - 1 - self.scouts]
            return _with(state, np.concatenate(([0], 1 + np.sort(best), scouts)))
        if wanted > now:
            born = np.zeros(wanted - now, np.intp)
            state = _with(state, np.concatenate(([0], workers, born, scouts)))
            _name(state, slice(first_scout, first_scout + len(born)))
        return state


class AdaptingConstricted(Adapting, Constricted):
    """As ``Constricted``, of a size that changes."""


class AdaptingSpherical(Adapting, Spherical):
    """As ``Spherical``, of a size that changes."""


def _with(state: SwarmState, rows: Indices) -> SwarmState:
    """Return a swarm of these rows; what others have asked for is the queen's now."""
    asked = int(state.record["energy"].sum())
    state = with_rows(state, rows)
    energy = state.record["energy"]
    energy[0] += asked - int(energy.sum())
    return state


def _name(state: SwarmState, born: slice) -> None:
    """Make agents of their own of copies of the queen, who all begin anew with her."""
    record, count = state.record, born.stop - born.start
    record["energy"][0] += int(record["energy"][born].sum())
    record["energy"][born] = 0
    record["agent"][born] = int(record["next_id"]) + np.arange(count)
    record["next_id"] += count
    record["generation"][born] = 0
    record["role"][born] = _WORKER
