"""A process's replica of the registry: one row per agent, one array per figure.

Every array and index is read and changed under ``lock`` alone: a reader holds it while
it selects and copies out, which takes microseconds, so none sees half a change. What
is handed out is immutable, and stays as it was.

Each change carries the agent's version, and one that is not newer is ignored: changes
may come twice, late, or in any order. Heartbeats carry the time they were sent at
instead. Health and load are kept to four decimals, so that figures that travelled with
less precision compare as they were written.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestration.core.registry.arrays import ARRAYS
from orchestration.core.registry.checksum import (
    STATUSES,
    digests,
    id_hash,
    status_number,
    sum_of,
)
from orchestration.core.registry.index import (
    GRADES,
    CodeVersions,
    Index,
    epoch_s,
    figures_of,
    id_words,
    last_of_each,
    moment,
    promises_of,
)
from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
)
from orchestration.core.registry.postings import Rows, Words

__all__ = ["Columns"]

_FIRST_CAPACITY: Final = 64
_GRAVES_KEPT: Final = 10_000
_MICROSECONDS: Final = 6  # decimals of a moment
_SUMS: Final = 2**64

Figures = NDArray[np.float64]


class Columns:
    """The replica. Safe for any number of threads; see the module.

    Attributes:
        lock: Guards everything here; reentrant. Hold it around rows and what is read
            of them: the next change may give a row to another agent.
        members: Grows when an agent comes, goes, or changes what it says of itself or
            where it runs; rows selected by that are good while it stands still.
        changes: Grows with each of these and with each change of status.
        moves: Grows with each batch of heartbeats that was new.
        checksum: Equal iff two replicas hold the same agents at the same versions and
            in the same statuses; see ``checksum``.
        health: 0.0 to 1.0, four decimals.
        grade: Health in hundredths.
        load: Four decimals.
        cost: Cost per request.
        max_latency_ms: What the agent promises; NaN: nothing.
        availability: The same.
        last_seen: Epoch seconds of its last heartbeat; NaN: none yet.
        registered: Epoch seconds of its registration.
        location: Number of a word of ``locations``.
        code_version: Number of a word of ``code_versions``.
        status: Its number, in the order of ``AgentStatus``; negative: the row is free.
        version: Of the agent's last recorded change.
        is_foreign: Whether it is another region's.
        id_parts: Its id, eight bytes each: ordered as the ids are.
        index: Rows by capability, service type and tag.
    """

    health: NDArray[np.float64]
    grade: NDArray[np.int16]
    load: NDArray[np.float64]
    cost: NDArray[np.float64]
    max_latency_ms: NDArray[np.float64]
    availability: NDArray[np.float64]
    last_seen: NDArray[np.float64]
    registered: NDArray[np.float64]
    location: NDArray[np.int32]
    code_version: NDArray[np.int32]
    status: NDArray[np.int8]
    version: NDArray[np.int64]
    id_hash: NDArray[np.uint64]
    descriptor: NDArray[np.object_]
    region: NDArray[np.object_]
    as_of: NDArray[np.object_]
    is_foreign: NDArray[np.bool_]
    violations: NDArray[np.object_]
    hydrated: NDArray[np.object_]

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.members = self.changes = self.moves = self.checksum = 0
        self.capacity = _FIRST_CAPACITY
        for name, (kind, blank) in ARRAYS.items():
            setattr(self, name, np.full(self.capacity, blank, kind))
        self.id_parts: list[NDArray[np.uint64]] = []
        self.index = Index()
        self.locations, self.code_versions = Words(), CodeVersions()
        self._row_of: dict[str, int] = {}
        self._free = list(range(self.capacity))[::-1]
        self._graves: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._row_of

    def get(self, agent_id: str) -> RegisteredAgent | None:
        """Return an agent in whichever status; None: there is none of that id."""
        with self.lock:
            row = self._row_of.get(agent_id)
            return None if row is None else self.agent(row)

    def said_by(self, agent_id: str) -> tuple[AgentDescriptor, str] | None:
        """Return what an agent says of itself, and its region; None: it is not known.

        Of this region's own agents that is the empty text.
        """
        with self.lock:
            row = self._row_of.get(agent_id)
            return None if row is None else (self.descriptor[row], self.region[row])

    def versions(self) -> dict[str, int]:
        """Return each agent's version, to find what differs from another replica."""
        with self.lock:
            rows = np.fromiter(self._row_of.values(), np.int64, len(self))
            return dict(zip(self._row_of, self.version[rows].tolist(), strict=True))

    def put(self, agent: RegisteredAgent) -> bool:
        """Take in an agent, or a change of it; False: what is known is newer.

        A heartbeat that is known and newer than the change's keeps its figures.

        Raises:
            ValueError: Its health or load is no finite number.
        """
        said, agent_id = agent.descriptor, agent.agent_id
        health = figures_of([agent.health_score], [agent_id])
        load = figures_of([agent.load], [agent_id])
        promises = promises_of(said)
        with self.lock:
            row = self._row_of.get(agent_id)
            if agent.version <= self._known(agent_id, row):
                return False
            is_new = row is None
            if row is None:
                row = self._new_row(agent_id)
            rows, seen = np.array([row]), np.array([epoch_s(agent.last_heartbeat)])
            if not is_new:
                self._unsettle(rows)
            if is_new or self._said(row) != (said, agent.location):
                if not is_new:
                    self._undescribe(row)
                self._describe(row, agent, promises)
            if is_new or not self.last_seen[row] > seen[0]:
                self._beat(rows, health, load, seen)
            self.region[row], self.as_of[row] = agent.region, agent.as_of
            self.is_foreign[row] = bool(agent.region)
            self.registered[row] = epoch_s(agent.registered_at)
            self.violations[row] = agent.violations
            status = np.array([status_number(agent.status)], np.int8)
            self._settle(rows, status, np.array([agent.version]))
            return True

    def drop(self, agent_id: str, version: int) -> bool:
        """Take an agent out; False: it is not here, or what is known is newer.

        The version stays known for a while, so that a change of before does not bring
        the agent back.
        """
        with self.lock:
            row = self._row_of.get(agent_id)
            if version <= self._known(agent_id, row):
                return False
            self._graves.pop(agent_id, None)
            self._graves[agent_id] = version
            if len(self._graves) > _GRAVES_KEPT:
                del self._graves[next(iter(self._graves))]
            if row is None:
                return False
            self._vacate(agent_id, row)
            return True

    def forget(self, agent_id: str, version: int) -> bool:
        """Take an agent out that others do not know; False: it has changed since.

        Nothing was recorded that says it left: whatever is told of it brings it back.
        """
        with self.lock:
            row = self._row_of.get(agent_id)
            if row is None or version != self.version[row]:
                return False
            self._vacate(agent_id, row)
            return True

    def beats(
        self,
        agent_ids: Sequence[str],
        health: ArrayLike,
        load: ArrayLike,
        last_seen: ArrayLike,
    ) -> tuple[str, ...]:
        """Take in heartbeats; those that are older than what is known are ignored.

        Args:
            agent_ids: Whose they are; an agent may come more than once.
            health: One for each, 0.0 to 1.0.
            load: One for each.
            last_seen: When each was sent, epoch seconds.

        Returns:
            The ids that are not known here.

        Raises:
            ValueError: A figure is no finite number; nothing was taken in.
        """
        healths, loads = figures_of(health, agent_ids), figures_of(load, agent_ids)
        seen = figures_of(last_seen, agent_ids, decimals=_MICROSECONDS)
        with self.lock:
            rows, unknown = self.rows_of(agent_ids)
            kept = last_of_each(rows, seen)
            kept = kept[~(seen[kept] < self.last_seen[rows[kept]])]
            self._beat(rows[kept], healths[kept], loads[kept], seen[kept])
            self.moves += bool(len(kept))
        return unknown

    def set_status(
        self,
        agent_ids: Sequence[str],
        statuses: Sequence[AgentStatus],
        versions: Sequence[int],
        violations: Sequence[Mapping[str, datetime]] | None = None,
    ) -> tuple[str, ...]:
        """Change the status of many agents; what is not newer is ignored.

        Args:
            agent_ids: Whose it is.
            statuses: Where each stands.
            versions: Of the event that says so.
            violations: Which promises each breaks; None: as they were.

        Returns:
            The ids that are not known here.
        """
        numbers = np.array([status_number(one) for one in statuses], np.int8)
        newer = np.array(versions, np.int64)
        with self.lock:
            rows, unknown = self.rows_of(agent_ids)
            kept = last_of_each(rows, newer)
            kept = kept[newer[kept] > self.version[rows[kept]]]
            if len(kept):
                self._unsettle(rows[kept])
                if violations is not None:
                    for at in kept:
                        self.violations[rows[at]] = violations[at]
                self._settle(rows[kept], numbers[kept], newer[kept])
        return unknown

    def rows_of(self, agent_ids: Sequence[str]) -> tuple[Rows, tuple[str, ...]]:
        """Return a row for each id, -1 for those that are not known, and these.

        Hold the lock.
        """
        find = self._row_of.get
        found = [find(agent_id, -1) for agent_id in agent_ids]
        rows = np.array(found, np.int64)
        if -1 not in found:
            return rows, ()
        pairs = zip(agent_ids, found, strict=True)
        return rows, tuple(agent_id for agent_id, row in pairs if row < 0)

    def agent(self, row: int) -> RegisteredAgent:
        """Return a row's agent; the same object until it changes. Hold the lock."""
        kept: RegisteredAgent | None = self.hydrated[row]
        if kept is None:
            kept = self.hydrated[row] = RegisteredAgent(
                descriptor=self.descriptor[row],
                health_score=float(self.health[row]),
                status=STATUSES[self.status[row]],
                location=self.locations[self.location[row]],
                registered_at=datetime.fromtimestamp(self.registered[row], UTC),
                last_heartbeat=moment(float(self.last_seen[row])),
                version=int(self.version[row]),
                load=float(self.load[row]),
                region=self.region[row],
                as_of=self.as_of[row],
                violations=self.violations[row],
            )
        return kept

    def _known(self, agent_id: str, row: int | None) -> int:
        if row is not None:
            return int(self.version[row])
        return self._graves.get(agent_id, 0)

    def _said(self, row: int) -> tuple[AgentDescriptor, str]:
        return self.descriptor[row], self.locations[self.location[row]]

    def _new_row(self, agent_id: str) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._graves.pop(agent_id, None)
        self._row_of[agent_id] = row
        self.id_hash[row] = id_hash(agent_id)
        parts = id_words(agent_id)
        while len(self.id_parts) < len(parts):
            self.id_parts.append(np.zeros(self.capacity, np.uint64))
        for number, column in enumerate(self.id_parts):
            column[row] = parts[number] if number < len(parts) else 0
        return row

    def _vacate(self, agent_id: str, row: int) -> None:
        self._unsettle(np.array([row]))
        self._undescribe(row)
        del self._row_of[agent_id]
        for name, (_, blank) in ARRAYS.items():
            getattr(self, name)[row] = blank
        self._free.append(row)
        self.changes += 1

    def _grow(self) -> None:
        """Double the rows."""
        fresh = range(self.capacity, 2 * self.capacity)
        for name, (kind, blank) in ARRAYS.items():
            more = np.full(self.capacity, blank, kind)
            setattr(self, name, np.concatenate([getattr(self, name), more]))
        blank_part = np.zeros(self.capacity, np.uint64)
        self.id_parts = [np.concatenate([one, blank_part]) for one in self.id_parts]
        self.capacity *= 2
        self.index.resize(self.capacity)
        self._free.extend(reversed(fresh))

    def _describe(
        self, row: int, agent: RegisteredAgent, promises: tuple[float, float, float]
    ) -> None:
        """Write what an agent says of itself, and file its row under its words."""
        said = agent.descriptor
        self.descriptor[row] = said
        self.cost[row], self.max_latency_ms[row], self.availability[row] = promises
        self.location[row] = self.locations.take(agent.location)
        self.code_version[row] = self.code_versions.take(said.version)
        self.index.file(row, said, self.capacity)
        self.members += 1

    def _undescribe(self, row: int) -> None:
        """Take back what ``_describe`` filed."""
        self.locations.give_back(int(self.location[row]))
        self.code_versions.give_back(int(self.code_version[row]))
        self.index.unfile(row, self.descriptor[row])
        self.members += 1

    def _beat(
        self, rows: Rows, health: Figures, load: Figures, last_seen: Figures
    ) -> None:
        self.health[rows] = health
        self.grade[rows] = np.rint(health * GRADES)
        self.load[rows] = load
        self.last_seen[rows] = last_seen
        self.hydrated[rows] = None

    def _settle(
        self, rows: Rows, statuses: NDArray[np.int8], versions: NDArray[np.int64]
    ) -> None:
        """Write what is recorded of rows, and add them to the checksum."""
        self.status[rows] = statuses
        self.version[rows] = versions
        self.hydrated[rows] = None
        added = sum_of(digests(self.id_hash[rows], versions, statuses))
        self.checksum = (self.checksum + added) % _SUMS
        self.changes += 1

    def _unsettle(self, rows: Rows) -> None:
        """Take rows out of the checksum, before what is recorded of them changes."""
        kept = digests(self.id_hash[rows], self.version[rows], self.status[rows])
        self.checksum = (self.checksum - sum_of(kept)) % _SUMS
