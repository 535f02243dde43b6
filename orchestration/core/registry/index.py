"""Under which words a row of the replica is found, and how its figures are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestration.core.registry.constraint import Constraint
from orchestration.core.registry.model import AgentDescriptor
from orchestration.core.registry.postings import Mask, Postings, Rows, Words

__all__ = [
    "GRADES",
    "CodeVersions",
    "Index",
    "epoch_s",
    "figures_of",
    "id_words",
    "last_of_each",
    "moment",
    "promises_of",
]

GRADES: Final = 100
"""Health is ranked in so many steps: within one, load decides."""

_TABLES_KEPT: Final = 256
_DECIMALS: Final = 4  # of health and load

_WORD_BYTES: Final = 8


class Index:
    """The words of all agents.

    Attributes:
        capabilities: Rows by capability, without its version.
        releases: Rows by version, by capability, for those that name one.
        service_types: Rows by kind of service.
        tags: Rows by tag.
    """

    def __init__(self) -> None:
        self.capabilities, self.service_types = Postings(), Postings()
        self.tags = Postings()
        self.releases: dict[str, Postings] = {}

    def file(self, row: int, said: AgentDescriptor, capacity: int) -> None:
        """Find a row under what its agent says of itself."""
        for capability in said.capabilities:
            name, _, release = capability.partition("@")
            self.capabilities.add(name, row, capacity)
            if release:
                releases = self.releases.setdefault(name, Postings())
                releases.add(release, row, capacity)
        for kind in said.service_types:
            self.service_types.add(kind, row, capacity)
        for tag in said.tags:
            self.tags.add(tag, row, capacity)

    def unfile(self, row: int, said: AgentDescriptor) -> None:
        """Take back what ``file`` did."""
        for capability in said.capabilities:
            name, _, release = capability.partition("@")
            self.capabilities.discard(name, row)
            if release and name in self.releases:
                self.releases[name].discard(release, row)
                if not self.releases[name]:
                    del self.releases[name]
        for kind in said.service_types:
            self.service_types.discard(kind, row)
        for tag in said.tags:
            self.tags.discard(tag, row)

    def resize(self, capacity: int) -> None:
        """Fit a replica that has grown."""
        kinds = (self.capabilities, self.service_types, self.tags)
        for postings in (*kinds, *self.releases.values()):
            postings.resize(capacity)


class CodeVersions(Words):
    """Numbers for the versions of agents' code, and which of them fit a constraint."""

    def __init__(self) -> None:
        super().__init__()
        self._tables: dict[Constraint, Mask] = {}
        self._tables_at = 0

    def allowed(self, constraint: Constraint) -> Mask:
        """Tell of each number whether its version fits; each is looked at once."""
        if self._tables_at != self.reused:
            self._tables.clear()
            self._tables_at = self.reused
        table = self._tables.pop(constraint, np.zeros(0, np.bool_))
        more = range(len(table), len(self))
        if more:
            fits = [constraint.allows(self[number]) for number in more]
            table = np.concatenate([table, np.array(fits, np.bool_)])
        self._tables[constraint] = table
        if len(self._tables) > _TABLES_KEPT:
            del self._tables[next(iter(self._tables))]
        return table


def id_words(agent_id: str) -> list[int]:
    """Return an id as numbers of eight bytes each; they are ordered as the ids are."""
    encoded = agent_id.encode("utf-8", "surrogatepass")
    return [
        int.from_bytes(encoded[at : at + _WORD_BYTES].ljust(_WORD_BYTES, b"\0"), "big")
        for at in range(0, len(encoded), _WORD_BYTES)
    ]


def figures_of(
    given: ArrayLike, agent_ids: Sequence[str], *, decimals: int = _DECIMALS
) -> NDArray[np.float64]:
    """Return figures, one for each agent, to so many decimals.

    Raises:
        ValueError: There are more or fewer than agents, or one is no finite number.
    """
    figures = np.asarray(given, np.float64)
    if figures.shape != (len(agent_ids),):
        raise ValueError(
            f"{figures.size} figures for {len(agent_ids)} agents: give one for each"
        )
    finite = np.isfinite(figures)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ValueError(
            f"agent {agent_ids[first]!r}: a figure is {figures[first]}; leave out "
            "what was not measured"
        )
    return np.round(figures, decimals)


def promises_of(said: AgentDescriptor) -> tuple[float, float, float]:
    """Return an agent's cost, latency and availability; NaN is no promise."""
    return (
        float(said.cost_per_request),
        float(said.sla.get("max_latency_ms", math.nan)),
        float(said.sla.get("availability", math.nan)),
    )


def last_of_each(rows: Rows, order: NDArray[np.float64] | NDArray[np.int64]) -> Rows:
    """Return where the last entry of each row stands, by ``order``; none for -1."""
    places = np.flatnonzero(rows >= 0)
    places = places[np.argsort(order[places], kind="stable")][::-1]
    _, firsts = np.unique(rows[places], return_index=True)
    return places[firsts]


def epoch_s(moment: datetime | None) -> float:
    """Return a moment as epoch seconds; NaN: there is none."""
    return math.nan if moment is None else moment.timestamp()


def moment(epoch: float) -> datetime | None:
    """Return epoch seconds as a moment; ``epoch_s`` takes it back."""
    return None if math.isnan(epoch) else datetime.fromtimestamp(epoch, UTC)
