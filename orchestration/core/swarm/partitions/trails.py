"""What a swarm has learned of groups of partitions: how good they are, how long.

Pheromone on a group tends to the mean quality of what is done there, as the global
update of ant colony systems has it (Dorigo and Gambardella 1997), and evaporates where
nothing is done; it has a floor, as in MMAS (Stützle and Hoos 2000). Beside it there is
how long partitions of the group take by their weight, a mean in which what is old
counts less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from orchestration.core.swarm.model import SwarmBehavior
from orchestration.core.swarm.state import Counts, Floats

__all__ = ["Orders", "Trails"]

_EVAPORATION: Final = 0.1
_FLOOR: Final = 0.01
_PREFERENCE: Final = 2.0
"""The power of pheromone in what a forager prefers."""

_NEWEST: Final = 0.3
"""The weight of the newest length in the mean."""


class Attempt(Protocol):
    """An attempt that has ended."""

    @property
    def partition(self) -> int:
        """At which partition."""

    @property
    def quality(self) -> float | None:
        """Of what was done; None: it came to nothing."""

    @property
    def busy_ms(self) -> float:
        """How long its agent was at it."""


@dataclass(frozen=True, slots=True)
class Orders:
    """How much each partition is worth to those who look for one, shape ``(count,)``.

    Attributes:
        work: To workers: the longest first, so that none is left over at the end.
        forage: To foragers: pheromone times length.
        scout: To scouts: where nobody has been.
    """

    work: Floats
    forage: Floats
    scout: Floats

    def told(self) -> dict[str, list[float]]:
        """Return them by their names."""
        return {
            "work": self.work.tolist(),
            "forage": self.forage.tolist(),
            "scout": self.scout.tolist(),
        }


@dataclass(slots=True)
class Trails:
    """What is known of groups; arrays of shape ``(groups,)``.

    Attributes:
        pheromone: float64, from the floor to 1.0.
        pace_ms: float64; time by weight, milliseconds; NaN: not known.
        visits: int64; how many of its partitions are done; runs before count as one.
    """

    pheromone: Floats
    pace_ms: Floats
    visits: Counts

    @classmethod
    def new(cls, groups: Counts, standing: Mapping[str, Any] | None = None) -> Trails:
        """Return what is known of groups at first: what runs before have left.

        Args:
            groups: The group of each partition.
            standing: Their ``pace_ms`` and ``pheromone``, by the groups that are known.
        """
        count = int(groups.max()) + 1
        made = cls(np.ones(count), np.full(count, np.nan), np.zeros(count, np.int64))
        if standing:
            for group, pace_ms in standing["pace_ms"].items():
                made.pace_ms[int(group)] = pace_ms
                made.visits[int(group)] = 1
            for group, level in standing["pheromone"].items():
                made.pheromone[int(group)] = max(level, _FLOOR)
        return made

    def tick(self, news: Iterable[Attempt], groups: Counts, weights: Floats) -> None:
        """Evaporate, and deposit what has been found since the last tick."""
        found: dict[int, list[float]] = {}
        for one in news:
            if one.quality is None:
                continue
            group = int(groups[one.partition])
            found.setdefault(group, []).append(one.quality)
            pace = one.busy_ms / float(weights[one.partition])
            known = float(self.pace_ms[group])
            self.pace_ms[group] = (
                pace if np.isnan(known) else known + _NEWEST * (pace - known)
            )
        self.pheromone *= 1.0 - _EVAPORATION
        for group, qualities in found.items():
            self.visits[group] += len(qualities)
            mean = sum(qualities) / len(qualities)
            self.pheromone[group] += _EVAPORATION * mean
        np.maximum(self.pheromone, _FLOOR, out=self.pheromone)

    def orders(
        self, groups: Counts, weights: Floats, behavior: SwarmBehavior
    ) -> Orders:
        """Return how much each partition is worth to whom.

        Of a group that nobody knows partitions are taken to be as long as the longest:
        a long one that is found at the end would hold up everybody.
        """
        known = self.pace_ms[~np.isnan(self.pace_ms)]
        longest = float(known.max()) if known.size else 1.0
        pace = np.where(np.isnan(self.pace_ms), longest, self.pace_ms)
        work = np.maximum(pace, 1e-9)[groups] * weights
        share = work / work.max()
        # A hidden group is not foraged: somebody has to have been there.
        trail = np.where(self.visits > 0, self.pheromone**_PREFERENCE, _FLOOR**3)
        forage = share * trail[groups]
        if behavior is not SwarmBehavior.FORAGING:
            forage = share
        return Orders(work, forage, share - self.visits[groups])

    def told(self) -> Mapping[str, list[float]]:
        """Return the pheromone as JSON, by group."""
        return {"pheromone": [round(float(one), 6) for one in self.pheromone]}
