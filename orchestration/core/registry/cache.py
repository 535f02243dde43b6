"""Queries that are asked again: what is kept of them, and for how long.

Kept is which rows say of themselves what is asked, not the answer. Selecting them is
half of a query's time over 100,000 agents; the other half, who of them is served,
healthy and idle now, is done anew each time. So an answer from the cache is the same
as one without it: none holds an agent that is gone or inactive, and load does not pile
up on those who were the best half a minute ago. What was kept is forgotten when an
agent comes, goes, or changes what it says of itself; heartbeats and statuses, which
change all the time, leave it.
"""

from __future__ import annotations

from typing import Final

from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import candidates, ranked, refuse_faults
from orchestration.core.registry.model import RegisteredAgent
from orchestration.core.registry.postings import Rows
from orchestration.core.registry.query import Query

__all__ = ["QueryCache"]

_TTL_S: Final = 30.0
_LEAST_ROWS: Final = 100_000  # eight bytes each
_ROWS_PER_AGENT: Final = 32
"""So that what is remembered takes 256 bytes an agent at most."""

_Key = tuple[object, ...]


class QueryCache:
    """Discovery over one replica that remembers; safe for any number of threads.

    Attributes:
        hits: Queries whose rows were known.
        misses: Those whose rows had to be selected.
    """

    def __init__(
        self, columns: Columns, *, ttl_s: float = _TTL_S, max_rows: int | None = None
    ) -> None:
        """Remember nothing yet.

        Args:
            columns: The replica; another one needs another cache.
            ttl_s: How long rows are kept after they were selected, seconds.
            max_rows: How many rows are kept over all queries, the oldest go first;
                None: 100,000, and with more than 3,125 agents 32 for each.
        """
        self.hits = self.misses = 0
        self._columns = columns
        self._ttl_s = ttl_s
        self._max_rows = max_rows
        self._kept: dict[_Key, tuple[float, Rows]] = {}
        self._size = 0
        self._members = columns.members

    @property
    def hit_rate(self) -> float:
        """The share of queries that were hits; 0.0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    def discover(self, query: Query, *, now_s: float) -> tuple[RegisteredAgent, ...]:
        """Return the agents that answer a query, the best first.

        Args:
            query: What is asked.
            now_s: Seconds on any clock that does not go back.

        Raises:
            InvalidQuery: The query makes no sense; the error lists all faults.
        """
        refuse_faults(query)
        with self._columns.lock:
            return ranked(self._columns, query, self._rows(query, now_s))

    def _rows(self, query: Query, now_s: float) -> Rows:
        self._forget(now_s)
        key = _key(query)
        if (known := self._kept.get(key)) is not None:
            self.hits += 1
            return known[1]
        self.misses += 1
        rows = candidates(self._columns, query)
        self._kept[key] = (now_s, rows)
        self._size += _weight(rows)
        most = self._max_rows
        if most is None:
            most = max(_LEAST_ROWS, _ROWS_PER_AGENT * len(self._columns))
        while self._size > most:
            self._drop_oldest()
        return rows

    def _forget(self, now_s: float) -> None:
        """Drop what is not right any more, or old; the oldest stand first."""
        if self._members != self._columns.members:
            self._kept.clear()
            self._size, self._members = 0, self._columns.members
        while self._kept:
            made_s, _ = next(iter(self._kept.values()))
            if now_s - made_s < self._ttl_s:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, rows = self._kept.pop(next(iter(self._kept)))
        self._size -= _weight(rows)


def _weight(rows: Rows) -> int:
    """Return what an entry counts for; the key of an empty one is kept, too."""
    return len(rows) + 100


def _key(query: Query) -> _Key:
    """Return all of a query that ``candidates`` reads."""
    return (
        query.capabilities,
        query.service_types,
        query.tags,
        query.version_constraint,
        query.max_cost,
        query.max_latency_ms,
        query.min_availability,
    )
