"""How agents come to go the best of some ways, by what they lay on them.

There is a nest, and there are sources. An agent at the nest chooses a source by the
pheromone on the way there, walks, walks back, and lays pheromone on that way: the
richer the source and the shorter the way, the more of it. Shorter ways are also done
more often. Pheromone evaporates, and the ways that are worse are given up. With two
sources, one twice as far, that is the double bridge (Goss et al. 1989) with the choice
of S-ACO and the bounds of MAX-MIN (Dorigo and Stuetzle 2004).

The queen stays in the nest. Scouts go to sources on whose ways there is nothing yet:
what is hidden, only they find.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.jsonable import is_number, is_whole, shown
from orchestration.core.swarm.checked import number, place, points
from orchestration.core.swarm.choosing import chosen, odds
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.pheromone import (
    PheromoneSettings,
    bounded,
    deposited,
    evaporated,
)
from orchestration.core.swarm.roaming import Roaming, started
from orchestration.core.swarm.roles import CODES
from orchestration.core.swarm.state import Floats, SwarmState

__all__ = ["Foraging", "ForagingSettings"]

_Mask = NDArray[np.bool_]

_HOMEWARD: Final = 0x80  # of the flags; the lower bits are the number of the source
_MOST_SOURCES: Final = 128
_ROUNDED: Final = 1.0 + 1e-9  # ten steps of 0.1 are a way of 1
_SETTLED: Final = 16  # rounds after which that share changes no more


@dataclass(frozen=True, slots=True, kw_only=True)
class ForagingSettings(Roaming):
    """Sources around a nest, which is at 0.

    Attributes:
        sources: Where they are; none: one at a distance of 1, and one at 2.
        richness: How much there is to get at each; none: 1.0 everywhere.
        hidden: Numbers of the sources on whose ways nothing is laid at first.
        speed: How far an agent walks in an iteration.
        alpha: How much it goes by the pheromone.
        deposit: What is laid on the way of a source of richness 1.0 at a distance of 1.
        by_length: Whether less is laid the longer a way is.
        initial: What is on the ways at first.
        evaporation: Which part of it is gone after an iteration.
        floor: The least there is on a way that is known; None: of the ceiling one part
            in twice as many as there are sources, enough for a better way that is found
            late to be taken up.
        ceiling: The most; None: what there would be if all agents went the best way.
    """

    sources: tuple[tuple[float, ...], ...] = ()
    richness: tuple[float, ...] = ()
    hidden: tuple[int, ...] = ()
    speed: float = 0.1
    alpha: float = 2.0
    deposit: float = 1.0
    by_length: bool = True
    initial: float = 1.0
    evaporation: float = 0.01
    floor: float | None = None
    ceiling: float | None = None

    def __post_init__(self) -> None:
        Roaming.__post_init__(self)
        for name in ("sources", "richness", "hidden"):
            object.__setattr__(self, name, points(getattr(self, name)))

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from Roaming.each_fault(self)
        for name in ("speed", "deposit", "initial"):
            yield from number(name, getattr(self, name), above=True)
        yield from number("alpha", self.alpha, 0.0, 100.0)
        yield from number("evaporation", self.evaporation, 0.0, 1.0, above=True)
        if self.floor is not None:
            yield from number("floor", self.floor)
        if self.ceiling is not None:
            low = self.floor if is_number(self.floor) else 0.0
            yield from number("ceiling", self.ceiling, low or 0.0, above=True)
        by_length: object = self.by_length
        if not isinstance(by_length, bool):
            yield f"by_length is {shown(by_length)}: give it true or false"
        yield from self._source_faults()

    def _source_faults(self) -> Iterator[str]:
        sources: object = self.sources
        richness: object = self.richness
        hidden: object = self.hidden
        count = 2
        if not isinstance(sources, tuple) or len(sources) > _MOST_SOURCES:
            yield f"sources is {shown(sources)}: give a list of up to 128 places"
        elif sources:
            count = len(sources)
            for at, each in enumerate(sources):
                wrong = [*place(f"sources[{at}]", each, self.dims)]
                if not wrong and not any(each):
                    wrong = [f"sources[{at}] is in the nest: put it elsewhere"]
                yield from wrong
        if not isinstance(richness, tuple) or len(richness) not in (0, count):
            yield f"richness is {shown(richness)}: give a list of {count} numbers"
        else:
            for at, each in enumerate(richness):
                yield from number(f"richness[{at}]", each, above=True)
        if not isinstance(hidden, tuple) or not all(
            is_whole(each) and 0 <= each < count for each in hidden
        ):
            yield (
                f"hidden is {shown(hidden)}: give a list of numbers of sources, "
                f"0 to {count - 1}"
            )


class Foraging:
    """A swarm that forages. Its agents' ``value`` is the way each goes, by its yield.

    That is the length of the way there and back by the richness of the source.

    Attributes:
        settings: What it was told.
        pheromone: What becomes of what is laid.
    """

    searches: Final = False

    def __init__(self, settings: ForagingSettings) -> None:
        self.settings = settings
        dims = settings.dims
        both = (np.eye(2, dims) * [[1.0], [2.0]]).tolist()
        self._source: Floats = np.array(settings.sources or both, np.float64)
        count = len(self._source)
        rich: Floats = np.array(settings.richness or [1.0] * count, np.float64)
        length = np.sqrt(np.einsum("ij,ij->i", self._source, self._source))
        self._value: Floats = 2.0 * length / rich
        self._amount: Floats = settings.deposit * rich
        if settings.by_length:
            self._amount = self._amount / length
        trip = 2.0 * np.ceil(length / (settings.speed * _ROUNDED))
        # What there is in the long run if all but the queen go one way.
        alone = max(1, settings.agents - 1) * self._amount / trip / settings.evaporation
        ceiling = settings.ceiling
        if ceiling is None:
            ceiling = float(alone.max())
        floor = settings.floor
        if floor is None:
            floor = ceiling / (2 * count)
        self.pheromone = PheromoneSettings(
            evaporation=settings.evaporation, floor=floor, ceiling=ceiling
        )
        self._most = _most_likely(alone, trip, self.pheromone, settings.alpha)

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return agents in the nest, each about to go somewhere."""
        told = self.settings
        shape = (told.agents, told.dims)
        state = started(told, np.zeros(shape), np.zeros(shape), len(self._source))
        level = np.full(len(self._source), told.initial)
        level[list(told.hidden)] = 0.0
        state.record["pheromone"] = bounded(level, self.pheromone)
        self._choose(state, np.arange(told.agents), draw)
        return state

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Let each walk on, lay what it may, and choose anew; the state is changed."""
        record = state.record
        source = (record["flags"] & ~np.uint8(_HOMEWARD)).astype(np.intp)
        homeward = record["flags"] >= _HOMEWARD
        walks = record["role"] != CODES[AgentRole.QUEEN]
        target = np.where(homeward[:, np.newaxis], 0.0, self._source[source])
        there = self._walk(state, target, walks)
        self._lay(state, source[there & homeward])
        record["flags"][there & ~homeward] |= _HOMEWARD
        self._choose(state, np.flatnonzero(there & homeward), draw)
        return state

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Take in nothing: what is found is on the ways."""

    def convergence(self, state: SwarmState) -> float:
        """Return how far one way is preferred: 0.0 not at all, 1.0 as far as can be.

        That is how likely the likeliest is, between one in as many as there are, and
        what it comes to if all go that way but for those whom the floor leads astray.
        """
        level = state.record["pheromone"]
        likeliest = float(odds(level, self.settings.alpha).max())
        preferred, can_be = likeliest * len(level) - 1.0, self._most * len(level) - 1.0
        return min(1.0, max(0.0, preferred / can_be)) if can_be > 0.0 else 1.0

    def _walk(self, state: SwarmState, target: Floats, walks: _Mask) -> _Mask:
        """Move those who walk; return who of them is where he wanted to be."""
        record, speed = state.record, self.settings.speed
        way = target - record["position"]
        length = np.sqrt(np.einsum("ij,ij->i", way, way))
        there = walks & (length <= speed * _ROUNDED)
        part = np.where(walks, speed / np.maximum(length, speed), 0.0)
        way *= part[:, np.newaxis]
        record["velocity"] = way
        record["position"] += way
        record["position"][there] = target[there]
        return np.asarray(there)

    def _lay(self, state: SwarmState, source: Indices) -> None:
        record, told = state.record, self.settings
        level = evaporated(record["pheromone"], told.evaporation)
        level = deposited(level, source, self._amount[source])
        record["pheromone"] = bounded(level, self.pheromone)

    def _choose(
        self, state: SwarmState, rows: Indices, draw: np.random.Generator
    ) -> None:
        record = state.record
        choice = chosen(
            record["pheromone"], record["role"][rows], draw, alpha=self.settings.alpha
        )
        record["flags"][rows] = choice
        record["value"][rows] = self._value[choice]


def _most_likely(
    alone: Floats, trip: Floats, pheromone: PheromoneSettings, alpha: float
) -> float:
    """Return how likely the best way is in the long run, the others at the floor.

    Those whom the floor leads astray are away for longer where the way is longer; what
    they do not lay makes the best way less likely, and so on until it is settled.

    Args:
        alone: What is on each way if all go it, shape ``(k,)``.
        trip: How long each takes, shape ``(k,)``.
        pheromone: Its floor and ceiling.
        alpha: See ``odds``.
    """
    best = int(alone.argmax())
    others = np.delete(trip, best)
    if not others.size:
        return 1.0
    likely = 1.0
    for _ in range(_SETTLED):
        on_it, astray = likely * trip[best], (1.0 - likely) * float(others.mean())
        level = np.full(len(trip), pheromone.floor)
        level[best] = max(pheromone.floor, alone[best] * on_it / (on_it + astray))
        likely = float(odds(bounded(level, pheromone), alpha)[best])
    return likely
