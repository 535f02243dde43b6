"""What every particle swarm has in common: how it begins, judges and converges."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.space import Space
from orchestration.core.swarm.state import Floats, SwarmState

__all__ = ["Swarm"]

_QUEEN: Final = ROLES.index(AgentRole.QUEEN)
_WORKER: Final = ROLES.index(AgentRole.WORKER)
_SCOUT: Final = ROLES.index(AgentRole.SCOUT)
_CREEPING: Final = 1e-8
_LONGEST: Final = np.iinfo(np.uint16).max


class Swarm:
    """A swarm whose agents remember where each found its own best.

    One agent is the queen, the last ones are scouts, all others are workers. A scout
    that found nothing better in ``limit`` iterations begins anew at random (Karaboga
    2005); what it had found is lost to it, but not to the swarm. If nobody found
    anything better than the leader in ``patience`` iterations, all begin anew, and
    only the best is kept: the rest of a run is not spent where it stands still.

    Attributes:
        size: How many agents it begins with.
        space: In which they are.
        scouts: How many of them are scouts.
        limit: For how many iterations a scout stays where it finds nothing better.
        patience: For how many iterations all do; 0: for ever.
    """

    searches: Final = True

    def __init__(
        self, *, size: int, space: Space, scouts: int, limit: int, patience: int
    ) -> None:
        self.size = size
        self.space = space
        self.scouts = scouts
        self.limit = limit
        self.patience = patience

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return agents at random places, on their way to others."""
        state = SwarmState.blank(self.size, len(self.space.lower))
        record = state.record
        record["role"] = _WORKER
        record["role"][0] = _QUEEN
        record["role"][self.size - self.scouts :] = _SCOUT
        self._scatter(record, draw)
        record["best_position"] = record["lead_position"]
        record["breadth"] = self._breadth(record["position"])
        return state

    def is_stuck(self, state: SwarmState) -> bool:
        """Tell whether nobody has found anything better for too long."""
        stood = state.iteration - int(state.record["lead_at"])
        return bool(self.patience) and stood >= self.patience

    def begin_anew(self, state: SwarmState, draw: np.random.Generator) -> bool:
        """Let all begin anew if there was nothing better for long; tell whether."""
        if not self.is_stuck(state):
            return False
        record = state.record
        self._scatter(record, draw)
        record["own_best_value"] = np.inf
        record["stagnant"] = 0
        record["lives"] += 1
        record["lead"] = np.inf
        record["lead_at"] = state.iteration + 1
        return True

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in the values; what is no finite number is nobody's best."""
        record = state.record
        record["value"] = values
        own, stagnant = record["own_best_value"], record["stagnant"]
        better = ((values < own) & (values > -np.inf)).nonzero()[0]
        np.minimum(stagnant, _LONGEST - 1, out=stagnant)  # as high as it can count
        stagnant += 1
        if not better.size:
            return
        own[better] = values[better]
        record["own_best"][better] = record["position"][better]
        stagnant[better] = 0
        self.hear(state, better[own[better].argmin()])

    def hear(self, state: SwarmState, agent: int) -> None:
        """Let all know what an agent has found, if that is better than what they do."""
        record = state.record
        found = record["own_best_value"][agent]
        if found < record["lead"]:
            # Smaller steps only tell more exactly where the optimum is that was found.
            if not record["lead"] - found < _CREEPING * abs(record["lead"]):
                record["lead_at"] = record["iteration"]
            record["lead"] = found
            record["lead_position"] = record["own_best"][agent]
            if found < record["best"]:
                record["best"] = found
                record["best_position"] = record["own_best"][agent]

    def convergence(self, state: SwarmState) -> float:
        """Return by which part the agents are closer to each other than at first.

        That is 1 - D(t)/D(0), where D is their mean distance from their centre
        (Olorunda and Engelbrecht 2008), in widths of the space. Scouts do not count.
        """
        at_first = float(state.record["breadth"])
        if at_first == 0.0:
            return 1.0
        now = self._breadth(state.record["position"])
        return float(np.clip(1.0 - now / at_first, 0.0, 1.0))

    def send_scouts(self, state: SwarmState, draw: np.random.Generator) -> None:
        """Let the scouts begin anew that have found nothing better for long."""
        if not self.scouts:
            return
        record, first = state.record, state.size - self.scouts
        tired = first + np.flatnonzero(record["stagnant"][first:] >= self.limit)
        if tired.size:
            anew = self.space.sample(tired.size, draw)
            record["position"][tired] = anew
            record["own_best"][tired] = anew
            record["velocity"][tired] = 0.0
            record["own_best_value"][tired] = np.inf
            record["stagnant"][tired] = 0

    def _scatter(self, record: NDArray[Any], draw: np.random.Generator) -> None:
        """Put all agents at random places, half the way from others (SPSO-2011)."""
        count = len(record["position"])
        position = self.space.sample(count, draw)
        record["position"] = position
        record["own_best"] = position
        record["lead_position"] = position[0]
        record["velocity"] = (self.space.sample(count, draw) - position) / 2.0

    def _breadth(self, position: Floats) -> float:
        kept = position[: max(1, len(position) - self.scouts)]
        apart = (kept - kept.mean(axis=0)) / self.space.width
        return float(np.sqrt(np.einsum("ij,ij->i", apart, apart)).mean())
