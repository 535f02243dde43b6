"""How a federation moves: each island by itself, and some of its agents to the next.

Before the iteration after every ``every``-th, the best agents of each island are
copied to the next one, and of the last to the first, where they take the places of the
worst. Between two migrations no island knows of another: all that goes into its
iterations is its own state, and the random numbers that it has for itself. So it does
not matter whether islands move together or each somewhere else, and the bits that a
federation comes to are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from orchestration.core.swarm.islands import (
    bounds_of,
    copied,
    island_digest,
    islands_of,
    linked,
    packed,
    unpack,
)
from orchestration.core.swarm.motion import Advanced, Fitness, judged
from orchestration.core.swarm.particles import Particles
from orchestration.core.swarm.randomness import Dice, lane, lanes
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.stopping import Stopping

__all__ = ["Federated", "Stretch"]

# What an agent takes along. Its id, its role, and its energy belong to its place.
_TAKEN: Final = ("position", "velocity", "own_best", "value", "own_best_value")
_COUNT: Final = np.dtype("<u4")
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What some iterations of one island came to.

    Attributes:
        digests: What was new after each.
        best: The best value before them and after each, shape ``(1 + iterations,)``.
        convergence: After each, shape ``(iterations,)``.
        island: All of it after the last.
    """

    digests: Sequence[bytes]
    best: Floats
    convergence: Floats
    island: bytes

    def to_bytes(self) -> bytes:
        """Return what ``from_bytes`` reads."""
        count = np.array(len(self.digests), _COUNT).tobytes()
        figures = self.best.tobytes(), self.convergence.tobytes()
        return b"".join((count, *self.digests, *figures, self.island))

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """Return the stretch that ``to_bytes`` wrote."""
        count = int(np.frombuffer(blob, _COUNT, 1)[0])
        at = _COUNT.itemsize + count * _DIGEST_BYTES
        digests = blob[_COUNT.itemsize : at]
        figures = np.frombuffer(blob, "<f8", 2 * count + 1, at)
        return cls(
            digests=[
                digests[nth : nth + _DIGEST_BYTES]
                for nth in range(0, len(digests), _DIGEST_BYTES)
            ],
            best=figures[: count + 1],
            convergence=figures[count + 1 :],
            island=blob[at + figures.nbytes :],
        )


class Federated:
    """Several swarms that search the same space, in a ring.

    Attributes:
        islands: How each of them moves; their spaces have the same bounds.
        every: So many iterations lie between two migrations.
        migrants: How many agents of each island are copied to the next one.
        bounds: Where the agents of each island begin and end.
    """

    searches: Final = True

    def __init__(
        self, islands: Sequence[Particles], *, every: int, migrants: int
    ) -> None:
        self.islands = tuple(islands)
        self.every = every
        self.migrants = migrants
        self.bounds = bounds_of([one.size for one in self.islands])

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return islands, each at its begin."""
        count, (_, size) = len(self.islands), self.bounds[-1]
        dims = len(self.islands[0].space.lower)
        state = SwarmState.blank(size, dims, islands=count)
        state.record["islands"]["agents"] = [one.size for one in self.islands]
        ways = zip(self.islands, islands_of(state), lanes(draw, count), strict=True)
        for motion, island, own in ways:
            copied(island, motion.begin(own))
        self._tell_best(state)
        return state

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Let agents migrate if it is time, then move every island once."""
        self.migrate(state)
        own = lanes(draw, len(self.islands))
        ways = zip(self.islands, islands_of(state), own, strict=True)
        for motion, island, numbers in ways:
            motion.move(island, numbers)
        return state

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Have every island take in the values of its own agents."""
        ways = zip(self.islands, islands_of(state), self.bounds, strict=True)
        for motion, island, (first, end) in ways:
            motion.judge(island, values[first:end])
        self._tell_best(state)

    def convergence(self, state: SwarmState) -> float:
        """Return that of the island that has converged least."""
        both = zip(self.islands, islands_of(state), strict=True)
        return min(motion.convergence(island) for motion, island in both)

    def migrate(self, state: SwarmState) -> None:
        """Let agents migrate if it is time; once, before the next iteration.

        All set out before any arrives. They are the best of an island, by their own
        bests and then by number. The best of them takes the place of the worst of the
        next island, and so on; of equals that of the last by number. Who would be no
        better than the one in whose place it comes does not.
        """
        if not state.iteration or state.iteration % self.every:
            return
        islands = islands_of(state)
        leaving = [self._emigrants(island) for island in islands]
        for nth, (motion, island) in enumerate(zip(self.islands, islands, strict=True)):
            self._take_in(motion, island, leaving[nth - 1])
        self._tell_best(state)

    def until_migration(self, iteration: int) -> int:
        """Return the iteration after which agents migrate next."""
        return (iteration // self.every + 1) * self.every

    def stretch(
        self,
        state: SwarmState,
        nth: int,
        *,
        seed: int,
        iterations: int,
        fitness: Fitness,
    ) -> Stretch:
        """Do some iterations of one island; the state is changed.

        Args:
            state: Of the federation, migrated; at iteration 0 nothing is valued yet.
            nth: Which island.
            seed: Of the federation.
            iterations: How many; no migration may lie between them.
            fitness: Values positions.

        Raises:
            ValueError: The fitness did not return one number for each agent.
        """
        motion, island = self.islands[nth], islands_of(state)[nth]
        dice, record = Dice(seed), island.record

        def judge() -> float:
            values = np.asarray(fitness(record["position"]), np.float64)
            judged(motion, island, values)
            return float(record["best"])

        best = [judge() if state.iteration == 0 else float(record["best"])]
        digests, convergence = [], []
        for at in range(state.iteration + 1, state.iteration + 1 + iterations):
            motion.move(island, lane(dice.at(at), nth))
            record["iteration"] = at
            best.append(judge())
            digests.append(island_digest(island))
            convergence.append(motion.convergence(island))
        return Stretch(
            digests=digests,
            best=np.array(best, "<f8"),
            convergence=np.array(convergence, "<f8"),
            island=packed(island),
        )

    def joined(
        self,
        state: SwarmState,
        stretches: Sequence[Stretch],
        *,
        previous: str,
        until: Stopping,
    ) -> Advanced | int:
        """Return what the iterations of all islands come to together.

        Args:
            state: Of the federation as the stretches began; it is changed.
            stretches: One of each island, all as long.
            previous: The last link of the chain.
            until: When to stop.

        Returns:
            As ``advance`` would. If the federation is to stop before the last of the
            iterations, which only shows now, after how many of them.
        """
        record, first = state.record, state.iteration
        hashes, best = [], []
        best_of = np.min([one.best for one in stretches], axis=0).tolist()
        least = np.min([one.convergence for one in stretches], axis=0).tolist()
        record["best"] = best_of[0]
        if first == 0:
            until.note(state)
        stopped = None
        all_digests = zip(*(one.digests for one in stretches), strict=True)
        for nth, digests in enumerate(all_digests):
            record["iteration"] = first + nth + 1
            record["best"] = best_of[nth + 1]
            until.note(state)
            previous = linked(previous, state.iteration, digests)
            hashes.append(previous)
            best.append(best_of[nth + 1])
            stopped = until.reason(state, partial(_told, least[nth]))
            if stopped and nth + 1 < len(least):
                return nth + 1
        for island, stretch in zip(islands_of(state), stretches, strict=True):
            unpack(island, stretch.island)
        self._tell_best(state)
        return Advanced(
            state=state,
            hashes=hashes,
            best=best,
            convergence=least[-1],
            stopped=stopped,
        )

    def _emigrants(self, island: SwarmState) -> Mapping[str, NDArray[Any]]:
        record = island.record
        best = np.argsort(record["own_best_value"], kind="stable")[: self.migrants]
        return {name: record[name][best] for name in _TAKEN}

    @staticmethod
    def _take_in(
        motion: Particles, island: SwarmState, coming: Mapping[str, NDArray[Any]]
    ) -> None:
        record, found = island.record, coming["own_best_value"]
        worst = np.argsort(record["own_best_value"], kind="stable")[::-1][: len(found)]
        better = found < record["own_best_value"][worst]
        places = worst[better]
        for name in _TAKEN:
            record[name][places] = coming[name][better]
        record["stagnant"][places] = 0
        if places.size:
            motion.hear(island, int(places[0]))

    @staticmethod
    def _tell_best(state: SwarmState) -> None:
        """Note the best of all islands as the federation's; of equals the first's."""
        record = state.record
        first = record["islands"]["best"].argmin()
        for name in ("best", "best_position"):
            record[name] = record["islands"][name][first]


def _told(convergence: float, state: SwarmState) -> float:
    """Return a convergence that is known, of a state that is not at hand."""
    del state
    return convergence
