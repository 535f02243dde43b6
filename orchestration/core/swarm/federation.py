"""What a federation of searches is told, what is wrong with it, and its motion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from orchestration.core.jsonable import is_whole, shown
from orchestration.core.swarm.adapting import Sizing
from orchestration.core.swarm.federated import Federated
from orchestration.core.swarm.search import Search, motion_of

__all__ = [
    "LEAST_ISLANDS",
    "MOST_ISLANDS",
    "Federation",
    "federated",
    "searches",
    "shared_out",
]

LEAST_ISLANDS: Final = 2
MOST_ISLANDS: Final = 64
_LEAST_AGENTS: Final = 4
_MOST_ITERATIONS: Final = 10_000
_AGENTS: Final = Search.__dataclass_fields__["agents"].default
_PATIENCE: Final = 100
_BOUNDS: Final = ("lower", "upper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """Several searches in one space, each an island, in a ring.

    The defaults are chosen by measurement (``benchmarks/swarm_kernel.py``).

    Attributes:
        islands: The search of each; their bounds are the same.
        migrate_every: So many iterations lie between two migrations.
        migrants: How many agents of each island are copied to the next one.
    """

    islands: Sequence[Search]
    migrate_every: int = 50
    migrants: int = 1

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the federation that ``to_json`` told of.

        Raises:
            ValueError: It cannot be read; what is wrong is told.
        """
        known = (*_BOUNDS, *cls.__dataclass_fields__)
        faults = [
            f"{name} is missing" for name in (*_BOUNDS, "islands") if name not in value
        ]
        faults += [f"there is no {shown(name)}" for name in value if name not in known]
        if faults:
            raise ValueError(
                f"a federation cannot be read: {'; '.join(faults)}; use "
                f"{', '.join(known)}"
            )
        bounds = {name: value[name] for name in _BOUNDS}
        rest = {name: value[name] for name in value if name not in _BOUNDS}
        searches = [Search.from_json({**one, **bounds}) for one in value["islands"]]
        return cls(**{**rest, "islands": tuple(searches)})

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON, with what is None told as it is meant.

        Only of a federation without faults.
        """
        told = [one.to_json() for one in self.islands]
        return {
            **{name: told[0][name] for name in _BOUNDS},
            "islands": [
                {name: one[name] for name in one if name not in _BOUNDS} for one in told
            ],
            "migrate_every": self.migrate_every,
            "migrants": self.migrants,
        }

    def faults(self) -> tuple[str, ...]:
        """Return all that is wrong with it, each with its way out."""
        # What all islands have in common is told once.
        return tuple(dict.fromkeys(self._faults()))

    def _faults(self) -> Iterator[str]:
        count = len(self.islands)
        if not LEAST_ISLANDS <= count <= MOST_ISLANDS:
            yield f"there are {count} islands: use {LEAST_ISLANDS} to {MOST_ISLANDS}"
        sizes = [one.agents for one in self.islands if is_whole(one.agents)]
        if sizes and min(sizes) < _LEAST_AGENTS:
            yield (
                f"its {sum(sizes)} agents are too few for {count} islands: use at "
                f"least {_LEAST_AGENTS * count}"
            )
        if any(one.sizing is not Sizing.FIXED for one in self.islands):
            yield "sizing is for one swarm: islands keep their size; leave it out"
        found = [_large_enough(one).faults() for one in self.islands]
        common = set.intersection(*map(set, found)) if found else set()
        for nth, faults in enumerate(found):
            for fault in faults:
                yield fault if fault in common else f"island {nth + 1}: {fault}"
        for name, most in (
            ("migrate_every", _MOST_ITERATIONS),
            ("migrants", max(_LEAST_AGENTS, min(sizes, default=0)) - 1),
        ):
            given = getattr(self, name)
            if not is_whole(given) or not 1 <= given <= most:
                yield (
                    f"{name} is {shown(given)}: give it a whole number, 1 to {most:,}"
                )


def federated(federation: Federation) -> Federated:
    """Return how the islands of a federation move.

    Raises:
        ValueError: Something is wrong with it; all of it is told.
    """
    if faults := federation.faults():
        raise ValueError(f"this cannot be searched: {'; '.join(faults)}")
    return Federated(
        [motion_of(one) for one in federation.islands],
        every=federation.migrate_every,
        migrants=federation.migrants,
    )


def _large_enough(search: Search) -> Search:
    """Return a search whose only fault is not that it has too few agents."""
    if not is_whole(search.agents) or search.agents >= _LEAST_AGENTS:
        return search
    return replace(search, agents=_LEAST_AGENTS)


def searches(
    told: Mapping[str, Any], apart: Sequence[Mapping[str, Any]]
) -> tuple[Search, ...]:
    """Return the searches of islands that have most in common.

    Args:
        told: Fields of a search, for all; its agents are shared out among them. Their
            patience is greater than a swarm's by default: an island has fewer agents,
            and takes more iterations to settle.
        apart: Fields that each island has of its own, its agents not among them.
    """
    agents = told.get("agents", _AGENTS)
    count = len(apart)
    # What is no number each of them tells of.
    shares = shared_out(agents, count) if is_whole(agents) else count * (agents,)
    return tuple(
        Search(**{"patience": _PATIENCE, **told, **own, "agents": share})
        for own, share in zip(apart, shares, strict=True)
    )


def shared_out(agents: int, islands: int) -> tuple[int, ...]:
    """Return how many agents each island has: as many as the others, or one more."""
    return tuple((agents + nth) // islands for nth in reversed(range(islands)))
