"""What a behaviour has to say, and how a swarm goes on by it, iteration by iteration.

A swarm that begins is at iteration 0: ``begin``, then its values are judged. Each
iteration after that moves, has its positions valued where the behaviour searches, and
judges. Nothing but the state and the iteration's own random numbers goes in, so it does
not matter how many iterations are done in one go, where, or how often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np

from orchestration.core.swarm.islands import (
    LINKED_WHOLE_UP_TO,
    island_digest,
    islands_of,
    linked,
)
from orchestration.core.swarm.randomness import Dice, draws
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.stopping import Stopped, Stopping

__all__ = [
    "Advanced",
    "Fitness",
    "Motion",
    "advance",
    "begin",
    "judged",
    "link",
    "moved",
]

Fitness = Callable[[Floats], Floats]
"""Values of positions: shapes ``(n, d)`` and ``(n,)``; the smaller, the better."""


class Motion(Protocol):
    """One behaviour. It holds settings only; all that changes is in the state."""

    @property
    def searches(self) -> bool:
        """Whether positions are valued by a fitness."""

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return a swarm at iteration 0."""

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Move every agent once; the state is changed, or another one is returned."""

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in the values of where the agents are, shape ``(n,)``."""

    def convergence(self, state: SwarmState) -> float:
        """Return how far the swarm is where it is to come to, 0.0 to 1.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """A swarm after some iterations.

    Attributes:
        state: As it stands now.
        hashes: One link of the chain for each iteration, hex; none without a chain.
        best: The best value after each.
        convergence: After the last.
        stopped: Why the swarm does not go on; None if it does.
        agents: How many there were in each; none if that was not written down.
    """

    state: SwarmState
    hashes: Sequence[str]
    best: Sequence[float]
    convergence: float
    stopped: Stopped | None = None
    agents: Sequence[int] = ()


def begin(
    motion: Motion,
    seed: int,
    fitness: Fitness | None = None,
    *,
    until: Stopping | None = None,
) -> SwarmState:
    """Return a swarm at iteration 0, its positions valued."""
    state = motion.begin(draws(seed, 0))
    judged(motion, state, _values(motion, state, fitness), until=until)
    return state


def advance(
    motion: Motion,
    state: SwarmState,
    *,
    seed: int,
    iterations: int,
    previous: str | None,
    fitness: Fitness | None = None,
    until: Stopping | None = None,
) -> Advanced:
    """Do some iterations; ``state`` is changed.

    Args:
        motion: How.
        state: From where.
        seed: Of the swarm.
        iterations: How many; fewer are done if the swarm is to stop before.
        previous: The last link of the chain, or the digest of iteration 0; None if no
            chain is kept.
        fitness: Values positions; of a motion that searches.
        until: When to stop. It is asked after each iteration, so that the swarm stops
            at the same one however many are done in one go.

    Raises:
        ValueError: The fitness did not return one number for each agent.
    """
    hashes: list[str] = []
    best: list[float] = []
    agents: list[int] = []
    stopped: Stopped | None = None
    dice = Dice(seed)
    for _ in range(iterations):
        state = _moved(motion, state, dice)
        judged(motion, state, _values(motion, state, fitness), until=until)
        if previous is not None:
            previous = link(previous, state)
            hashes.append(previous)
        best.append(float(state.record["best"]))
        agents.append(state.size)
        if until and (stopped := until.reason(state, motion.convergence)):
            break
    return Advanced(
        state=state,
        hashes=hashes,
        best=best,
        convergence=motion.convergence(state),
        stopped=stopped,
        agents=agents,
    )


def moved(motion: Motion, state: SwarmState, seed: int) -> SwarmState:
    """Do the first half of the next iteration: every agent is where it is valued.

    For values that are computed elsewhere; ``judged`` is the second half.
    """
    return _moved(motion, state, Dice(seed))


def judged(
    motion: Motion,
    state: SwarmState,
    values: Floats | None,
    *,
    until: Stopping | None = None,
) -> None:
    """Do the second half: take in the values, if the motion searches.

    Raises:
        ValueError: There is not one value for each agent.
    """
    if values is not None:
        if values.shape != (state.size,):
            raise ValueError(
                f"the fitness returned shape {values.shape} for {state.size} agents: "
                f"return one value each, shape ({state.size},)"
            )
        motion.judge(state, values)
    if until is not None:
        until.note(state)


def link(previous: str, state: SwarmState) -> str:
    """Return the next link: the SHA-256 of the one before and of what is new, in hex.

    What is new is the whole record; of one of more than 32 KiB it is the iteration, the
    best value, where that is, all values, and the pheromone. Of a federation it is the
    iteration, and what is new of each island.
    """
    if state.islands:
        digests = [island_digest(one) for one in islands_of(state)]
        return linked(previous, state.iteration, digests)
    digest = sha256(bytes.fromhex(previous))
    record = state.record
    if record.nbytes <= LINKED_WHOLE_UP_TO:
        digest.update(record.tobytes())
    else:
        for name in ("iteration", "best", "best_position", "value", "pheromone"):
            digest.update(record[name].tobytes())
    return digest.hexdigest()


def _moved(motion: Motion, state: SwarmState, dice: Dice) -> SwarmState:
    nth = state.iteration + 1
    state = motion.move(state, dice.at(nth))
    state.record["iteration"] = nth
    return state


def _values(
    motion: Motion, state: SwarmState, fitness: Fitness | None
) -> Floats | None:
    if not motion.searches:
        return None
    if fitness is None:
        raise ValueError("a swarm that searches needs a fitness")
    return np.asarray(fitness(state.record["position"]), np.float64)
