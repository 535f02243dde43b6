"""Settings of a search, found by evolution: a swarm whose agents are settings.

A generation is an iteration: tournaments say whose children are tried, which differ
from their parents by Gaussians, and the best of both are the parents of the next. The
value of settings is the mean of the middle half of what some searches with them find,
each with as many evaluations and with random numbers of its own, which are the same for
all settings.

So tuning is a swarm like any other: each generation is on record with its hash, who is
killed in the middle changes no bit, and each search can be a task of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestration.core.swarm.checked import Checked, number, points, whole
from orchestration.core.swarm.evolution import mutated, tournament
from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.motion import Fitness, advance, begin
from orchestration.core.swarm.neighbourhood import Topology
from orchestration.core.swarm.particles import Coefficients
from orchestration.core.swarm.randomness import draws
from orchestration.core.swarm.search import Search, motion_of, unstable
from orchestration.core.swarm.space import bound_faults
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.stopping import MAX_ITERATIONS, Stopping

__all__ = ["GENES", "Tuning", "TuningSettings", "genes_of", "settings_of"]

_TOPOLOGIES: Final = tuple(Topology)
_PURPOSE: Final = 1  # of the random numbers that say with which seeds is searched
_SEED_BITS: Final = 53
_TRIES: Final = 100


@dataclass(frozen=True, slots=True)
class _Gene:
    """One of the settings that are looked for, and between what."""

    name: str
    least: float
    most: float
    is_whole: bool = False


GENES: Final = (
    _Gene("inertia", 0.3, 0.95),
    _Gene("cognitive", 0.2, 2.5),
    _Gene("social", 0.2, 2.5),
    _Gene("topology", 0, len(_TOPOLOGIES) - 1, is_whole=True),
    _Gene("informed", 1, 6, is_whole=True),
    _Gene("agents", 10, 200, is_whole=True),
    _Gene("patience", 20, 400, is_whole=True),
)
"""In the order in which a position holds them; between what they are looked for."""

_LEAST: Final = np.array([gene.least for gene in GENES])
_MOST: Final = np.array([gene.most for gene in GENES])
_WHOLE: Final = np.array([gene.is_whole for gene in GENES])


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings(Checked):
    """What is tuned, and how.

    Attributes:
        lower: The least of each dimension of the space that is searched.
        upper: The most of each.
        candidates: How many settings are tried in a generation.
        searches: How often each is, every time with other random numbers.
        evaluations: With how many values each time.
        max_agents: More agents no settings have.
        tournament: Of how many the best has a child.
        mutation: The standard deviation of what a child differs by, as a part of
            between what a setting is looked for.
    """

    lower: Sequence[float]
    upper: Sequence[float]
    candidates: int = 12
    searches: int = 9
    evaluations: int = 20_000
    max_agents: int = 200
    tournament: int = 2
    mutation: float = 0.15

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", points(self.lower))
        object.__setattr__(self, "upper", points(self.upper))

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from bound_faults(self.lower, self.upper)
        yield from whole("candidates", self.candidates, 10, 1_000)
        yield from whole("searches", self.searches, 1, 1_000)
        yield from whole("evaluations", self.evaluations, 400, 1_000_000_000)
        yield from whole("max_agents", self.max_agents, 20, 200)
        yield from whole("tournament", self.tournament, 1, 1_000)
        yield from number("mutation", self.mutation, high=1.0, above=True)


class Tuning:
    """How settings evolve.

    In the state a position is what is tried, in the order of ``GENES``; an agent's own
    best is a parent. The first that is tried is the default, so that nothing is found
    that is worse than it where it was tried.
    """

    searches: Final = True

    def __init__(self, settings: TuningSettings) -> None:
        self.settings = settings
        self.most = np.minimum(_MOST, [*_MOST[:5], settings.max_agents, _MOST[6]])

    def begin(self, draw: np.random.Generator) -> SwarmState:
        """Return the default, and others at random."""
        count = self.settings.candidates
        state = SwarmState.blank(count, len(GENES))
        record = state.record
        anywhere = _LEAST + (self.most - _LEAST) * draw.random((count, len(GENES)))
        usual = Search(lower=self.settings.lower, upper=self.settings.upper)
        record["position"][0] = np.clip(genes_of(usual), _LEAST, self.most)
        for nth in range(1, count):
            drawn = anywhere[nth]
            for _ in range(_TRIES):
                if _settles(drawn):
                    break
                drawn = _LEAST + (self.most - _LEAST) * draw.random(len(GENES))
            else:
                drawn = record["position"][0]
            record["position"][nth] = _wholly(drawn)
        record["own_best"] = record["position"]
        record["role"] = ROLES.index(AgentRole.WORKER)
        record["role"][0] = ROLES.index(AgentRole.QUEEN)
        record["breadth"] = self._breadth(record["position"])
        return state

    def move(self, state: SwarmState, draw: np.random.Generator) -> SwarmState:
        """Put the children of winners in the places of those tried before."""
        record, size = state.record, self.settings.tournament
        winners = tournament(
            record["own_best_value"], draw, count=state.size, size=size
        )
        record["velocity"] = 0.0
        for nth, parent in enumerate(record["own_best"][winners]):
            record["position"][nth] = self._child(parent, draw)
        record["generation"] = state.iteration + 1
        return state

    def judge(self, state: SwarmState, values: Floats) -> None:
        """Let the best of parents and children be the parents of the next."""
        record = state.record
        record["value"] = values
        if state.iteration == 0:
            both, their = record["position"], values
        else:
            both = np.concatenate((record["own_best"], record["position"]))
            their = np.concatenate((record["own_best_value"], values))
        order = np.argsort(their, kind="stable")[: state.size]
        record["own_best"], record["own_best_value"] = both[order], their[order]
        if their[order[0]] < record["best"]:
            record["best"] = record["lead"] = their[order[0]]
            record["lead_at"] = record["iteration"]
            record["best_position"] = record["lead_position"] = both[order[0]]

    def convergence(self, state: SwarmState) -> float:
        """Return by which part parents are more alike than those at first were."""
        at_first = float(state.record["breadth"])
        now = self._breadth(state.record["own_best"])
        return float(np.clip(1.0 - now / at_first, 0.0, 1.0)) if at_first else 1.0

    def values_of(self, fitness: Fitness, seed: int) -> Fitness:
        """Return what values settings by what they find of a fitness.

        Args:
            fitness: What is searched.
            seed: Of the tuning.
        """
        told = self.settings
        drawn = draws(seed, 0, _PURPOSE).integers(2**_SEED_BITS, size=told.searches)
        seeds = [int(one) for one in drawn]

        def values(position: Floats) -> Floats:
            return np.array([self._value(each, fitness, seeds) for each in position])

        return values

    def _value(self, genes: Floats, fitness: Fitness, seeds: Sequence[int]) -> float:
        told = self.settings
        search = Search(lower=told.lower, upper=told.upper, **settings_of(genes))
        motion = motion_of(search)
        until = Stopping(iterations=MAX_ITERATIONS, evaluations=told.evaluations)
        found = []
        for seed in seeds:
            state = begin(motion, seed, fitness, until=until)
            gone = advance(
                motion,
                state,
                seed=seed,
                iterations=MAX_ITERATIONS,
                previous=None,
                fitness=fitness,
                until=until,
            )
            found.append(gone.best[-1])
        return _midmean(found)

    def _child(self, parent: Floats, draw: np.random.Generator) -> Floats:
        """Return a child of which a search would settle; at worst its parent's like."""
        width = self.most - _LEAST
        for _ in range(_TRIES):
            away = mutated((parent - _LEAST) / width, self.settings.mutation, draw)
            child = _wholly(_LEAST + width * np.clip(away, 0.0, 1.0))
            if _settles(child):
                return child
        return parent

    def _breadth(self, position: Floats) -> float:
        apart = (position - position.mean(axis=0)) / (_MOST - _LEAST)
        return float(np.sqrt(np.einsum("ij,ij->i", apart, apart)).mean())


def settings_of(genes: Sequence[float] | Floats) -> dict[str, Any]:
    """Return the settings of a search that a position stands for."""
    told: dict[str, Any] = {}
    for gene, value in zip(GENES, genes, strict=True):
        told[gene.name] = round(float(value)) if gene.is_whole else float(value)
    told["topology"] = str(_TOPOLOGIES[told["topology"]])
    if told["topology"] != Topology.RANDOM:
        del told["informed"]  # it is asked for by no other
    return told


def genes_of(search: Search) -> Floats:
    """Return the position that stands for a search's settings."""
    told: Mapping[str, Any] = search.to_json()
    values = {**told, "topology": _TOPOLOGIES.index(Topology(told["topology"]))}
    return np.array([float(values[gene.name]) for gene in GENES])


def _midmean(found: Sequence[float]) -> float:
    """Return the mean of the middle half, or a bit more.

    As a median it does not ask how bad the worst are. Yet it tells settings apart
    whose searches come to the same few optima.
    """
    out = len(found) // 4
    middle = sorted(found)[out : len(found) - out]
    return sum(middle) / len(middle)


def _wholly(genes: Floats) -> Floats:
    return np.where(_WHOLE, np.rint(genes), genes)


def _settles(genes: Floats) -> bool:
    return unstable(Coefficients(*genes[:3].tolist())) is None
