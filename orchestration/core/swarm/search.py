"""What a search by a particle swarm is told, what is wrong with it, and its motion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

import numpy as np

from orchestration.core.jsonable import is_number, is_whole, shown
from orchestration.core.swarm.adapting import (
    Adapting,
    AdaptingConstricted,
    AdaptingSpherical,
    Limits,
    Sizing,
)
from orchestration.core.swarm.neighbourhood import Topology
from orchestration.core.swarm.particles import (
    Coefficients,
    Constricted,
    Particles,
    Spherical,
)
from orchestration.core.swarm.space import Boundary, Space, bound_faults
from orchestration.core.swarm.stopping import evaluation_faults

__all__ = ["Algorithm", "Search", "motion_of", "unstable"]

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)

_MIN_AGENTS: Final = 2
_MAX_AGENTS: Final = 1_000_000
_USUAL_LEAST: Final = 20
_USUAL_MOST: Final = 1_000
_MAX_COUNT: Final = 65_535  # so far a state counts
_OF_SIZE: Final = ("sizing", "min_agents", "max_agents", "evaluations")


class Algorithm(StrEnum):
    """How particles fly."""

    CONSTRICTED = "CONSTRICTED"
    """Clerc and Kennedy 2002: each dimension by itself."""

    SPSO_2011 = "SPSO_2011"
    """The standard of 2011: the same in whatever direction the axes point."""


@dataclass(frozen=True, slots=True)
class _Standard:
    """What an algorithm does where the search does not say."""

    coefficients: Coefficients
    topology: Topology
    boundary: Boundary


_DRAWN: Final = 0.5 + math.log(2.0)
_STANDARDS: Final[Mapping[Algorithm, _Standard]] = {
    Algorithm.CONSTRICTED: _Standard(
        Coefficients(0.72984, 1.49618, 1.49618), Topology.GLOBAL, Boundary.ALTERNATING
    ),
    Algorithm.SPSO_2011: _Standard(
        Coefficients(1.0 / (2.0 * math.log(2.0)), _DRAWN, _DRAWN),
        Topology.RANDOM,
        Boundary.CLIPPING,
    ),
}
_KINDS: Final[Mapping[Algorithm, type[Particles]]] = {
    Algorithm.CONSTRICTED: Constricted,
    Algorithm.SPSO_2011: Spherical,
}
_ADAPTING: Final[Mapping[Algorithm, type[Adapting]]] = {
    Algorithm.CONSTRICTED: AdaptingConstricted,
    Algorithm.SPSO_2011: AdaptingSpherical,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for the least value in a box. What is None is the algorithm's own.

    The defaults are chosen by measurement (``benchmarks/swarm_kernel.py``): they find
    most where there are many optima. Along a bent valley (rosenbrock) fewer agents,
    which then have more iterations, come farther.

    Attributes:
        lower: The least of each dimension.
        upper: The most of each dimension.
        agents: How many look.
        algorithm: How they fly.
        topology: Who informs whom.
        boundary: What the bounds do.
        inertia: What an agent keeps of its velocity.
        cognitive: How strongly it is drawn to its own best.
        social: How strongly it is drawn to the best that it knows of.
        informed: How many others each informs, in the random topology.
        rebound: What is kept of the speed at a bound that turns agents back.
        scouts: How many of the agents are scouts.
        limit: Iterations without anything better after which a scout begins anew.
        patience: Iterations without anything better after which all agents do, and
            only the best is kept; 0: never.
        sizing: Whether there are always as many; see ``adapting``.
        min_agents: If not, there never are fewer; None: 20, or ``agents`` if less.
        max_agents: If not, there never are more; None: 1,000, or ``agents`` if more.
        evaluations: If not, of how many values the search is to make the most; None:
            of any number. That it ends by then ``Stopping`` sees to.
    """

    lower: Sequence[float]
    upper: Sequence[float]
    agents: int = 100
    algorithm: Algorithm = Algorithm.CONSTRICTED
    topology: Topology | None = None
    boundary: Boundary | None = None
    inertia: float | None = None
    cognitive: float | None = None
    social: float | None = None
    informed: int = 3
    rebound: float = 0.5
    scouts: int = 0
    limit: int = 100
    patience: int = 50
    sizing: Sizing = Sizing.FIXED
    min_agents: int | None = None
    max_agents: int | None = None
    evaluations: int | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "lower", _listed(self.lower))
        put(self, "upper", _listed(self.upper))
        put(self, "algorithm", _member(Algorithm, self.algorithm))
        put(self, "topology", _member(Topology, self.topology))
        put(self, "boundary", _member(Boundary, self.boundary))
        put(self, "sizing", _member(Sizing, self.sizing))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the search that ``to_json`` told of.

        Raises:
            ValueError: A key is no field, or the bounds are missing.
        """
        known = cls.__dataclass_fields__
        faults = [
            f"{name} is missing" for name in ("lower", "upper") if name not in value
        ]
        faults += [f"there is no {shown(name)}" for name in value if name not in known]
        if faults:
            raise ValueError(
                f"a search cannot be read: {'; '.join(faults)}; use {', '.join(known)}"
            )
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON, with what is None told as it is meant.

        So a search that is kept goes on as it began, whatever becomes of the defaults.
        Only of a search without faults.
        """
        own, by = _STANDARDS[self.algorithm], self.coefficients
        # What only concerns a size that changes is told of no other.
        names = [one.name for one in fields(self) if one.name not in _OF_SIZE]
        limits: dict[str, Any] = {}
        if self.sizing is Sizing.ADAPTIVE:
            limits = {"sizing": str(self.sizing), **asdict(self.limits)}
        return {
            **{name: getattr(self, name) for name in names},
            **limits,
            "lower": list(self.lower),
            "upper": list(self.upper),
            "algorithm": str(self.algorithm),
            "topology": str(_told(self.topology, own.topology)),
            "boundary": str(_told(self.boundary, own.boundary)),
            "inertia": by.inertia,
            "cognitive": by.cognitive,
            "social": by.social,
        }

    @property
    def coefficients(self) -> Coefficients:
        """What its particles go by."""
        own = _STANDARDS[self.algorithm].coefficients
        return Coefficients(
            inertia=_told(self.inertia, own.inertia),
            cognitive=_told(self.cognitive, own.cognitive),
            social=_told(self.social, own.social),
        )

    @property
    def limits(self) -> Limits:
        """Between what its size changes, if it does."""
        return Limits(
            min_agents=_told(self.min_agents, min(_USUAL_LEAST, self.agents)),
            max_agents=_told(self.max_agents, max(_USUAL_MOST, self.agents)),
            evaluations=self.evaluations,
        )

    def faults(self) -> tuple[str, ...]:
        """Return all that is wrong with it, each with its way out."""
        return tuple(_faults(self))


def motion_of(search: Search) -> Particles:
    """Return how the swarm of a search moves.

    Raises:
        ValueError: Something is wrong with the search; all of it is told.
    """
    if faults := search.faults():
        raise ValueError(f"this cannot be searched: {'; '.join(faults)}")
    own = _STANDARDS[search.algorithm]
    space = Space(
        search.lower,
        search.upper,
        boundary=_told(search.boundary, own.boundary),
        rebound=search.rebound,
    )
    told: dict[str, Any] = {
        "size": search.agents,
        "space": space,
        "coefficients": search.coefficients,
        "topology": _told(search.topology, own.topology),
        "informed": search.informed,
        "scouts": search.scouts,
        "limit": search.limit,
        "patience": search.patience,
    }
    if search.sizing is Sizing.FIXED:
        return _KINDS[search.algorithm](**told)
    return _ADAPTING[search.algorithm](limits=search.limits, **told)


def unstable(by: Coefficients) -> str | None:
    """Return why particles would not settle; None if they do.

    They do where mean and variance of what they sample converge (Poli 2009).
    """
    told = (
        f"inertia {by.inertia:g} with cognitive {by.cognitive:g} and social "
        f"{by.social:g} is unstable"
    )
    usual = "use 0.72984 with 1.49618 and 1.49618"
    if not -1.0 < by.inertia < 1.0:
        return f"{told}: inertia must be between -1 and 1; {usual}"
    pull = by.cognitive + by.social
    most = 24.0 * (1.0 - by.inertia**2) / (7.0 - 5.0 * by.inertia)
    if 0.0 < pull < most:
        return None
    return (
        f"{told}: cognitive + social is {pull:g} and must be above 0 and below "
        f"24 (1 - w²) / (7 - 5 w) = {most:.4g}; {usual}"
    )


def _faults(search: Search) -> Iterator[str]:
    yield from bound_faults(search.lower, search.upper)
    for name, kind in (
        ("algorithm", Algorithm),
        ("topology", Topology),
        ("boundary", Boundary),
        ("sizing", Sizing),
    ):
        held = getattr(search, name)
        may_be_none = name in ("topology", "boundary")
        if not isinstance(held, kind) and not (held is None and may_be_none):
            yield f"{name} is {shown(held)}: use {', '.join(kind)}"
    agents = search.agents if is_whole(search.agents) else _MAX_AGENTS
    for name, least, most in (
        ("agents", _MIN_AGENTS, _MAX_AGENTS),
        ("informed", 1, agents),
        ("scouts", 0, agents - 1),
        ("limit", 1, _MAX_COUNT),
        ("patience", 0, _MAX_COUNT),
    ):
        held = getattr(search, name)
        if not is_whole(held) or not least <= held <= most:
            yield (
                f"{name} is {shown(held)}: give it a whole number, {least} to {most:,}"
            )
    if not is_number(search.rebound) or not 0.0 <= search.rebound <= 1.0:
        yield f"rebound is {shown(search.rebound)}: give it 0.0 to 1.0"
    yield from _coefficient_faults(search)
    if search.sizing is Sizing.ADAPTIVE:
        yield from _size_faults(search)


def _size_faults(search: Search) -> Iterator[str]:
    agents, scouts = search.agents, search.scouts
    least = _MIN_AGENTS + (scouts if is_whole(scouts) else 0)  # queen, one worker, they
    first = agents if is_whole(agents) else _MAX_AGENTS
    for name, low, high in (
        ("min_agents", least, max(least, first)),
        ("max_agents", min(first, _MAX_AGENTS), _MAX_AGENTS),
    ):
        held = getattr(search, name)
        if held is None:
            continue
        if not is_whole(held) or not low <= held <= high:
            yield (
                f"{name} is {shown(held)}: give it a whole number, {low:,} to {high:,}"
                f", as there are {shown(agents)} agents at first"
            )
    yield from evaluation_faults(search.evaluations)
    if search.patience == 0:
        yield (
            "patience is 0: a swarm of a size that adapts begins anew with more agents "
            "where it stands still; give it 1 or more"
        )


def _coefficient_faults(search: Search) -> Iterator[str]:
    wrong = [
        f"{name} is {shown(held)}: give it a number, or nothing"
        for name in ("inertia", "cognitive", "social")
        if (held := getattr(search, name)) is not None and not is_number(held)
    ]
    yield from wrong
    for name in ("cognitive", "social"):
        held = getattr(search, name)
        if is_number(held) and held < 0.0:
            yield f"{name} is {shown(held)}: give it 0.0 or more, or nothing"
    if not wrong and isinstance(search.algorithm, Algorithm):
        fault = unstable(search.coefficients)
        if fault:
            yield fault


def _told(given: _T | None, own: _T) -> _T:
    return own if given is None else given


def _member(kind: type[_E], value: object) -> Any:  # noqa: ANN401 - faults tell of it
    try:
        return kind(str(value).upper()) if isinstance(value, str) else value
    except ValueError:
        return value


def _listed(value: object) -> Any:  # noqa: ANN401 - faults tell of it
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return tuple(value) if isinstance(value, list | tuple) else value
