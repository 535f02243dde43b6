"""Who is there by the registry and by what workers announce, as the router asks for it.

Looking it up never leaves the process. An agent that is registered and hosted stands as
the worse of both says: one whose worker is gone gets nothing, whatever is registered.
Agents that are hosted under names which the registry does not take are there as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from orchestration.adapters.announced_agents import AnnouncedAgents
from orchestration.adapters.registry_replica import Replica
from orchestration.core.registry.checksum import STATUSES
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import candidates, refuse_faults
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.core.registry.postings import Rows
from orchestration.core.registry.query import Query
from orchestration.core.routing.loads import Report
from orchestration.core.routing.ports import AgentView, Heard

__all__ = ["RegisteredAgents"]

_LOOK_S: Final = 5.0  # how old healths may be, by which nobody comes or goes
_SERVED: Final = frozenset({AgentStatus.ACTIVE, AgentStatus.DEGRADED})


class RegisteredAgents:
    """A router's view of agents, and the reports of their loads.

    Args:
        replica: The registry in this process; it is started.
        announced: What workers announce; it has been read.
    """

    def __init__(self, replica: Replica, announced: AnnouncedAgents) -> None:
        self.announced = announced
        self._replica = replica
        self._columns = replica.columns
        self._seen = self._moves = self._hosted = -1
        self._looked_at = float("-inf")
        self._rows = _Rows(self._columns)
        self._known = _Known()
        self._looking = threading.RLock()
        self._heard: dict[str, None] = {}
        self._hearing = threading.Lock()
        self._forget = replica.listen_to_beats(self._hear)
        self._hear(tuple(self._columns.versions()))

    @property
    def membership(self) -> int:
        """Changes with each agent that comes, goes, or stands elsewhere."""
        columns = self._columns
        return columns.members + columns.changes + self.announced.membership

    @property
    def routers(self) -> int:
        """How many routers there are, this one included."""
        return self.announced.routers

    def agent(self, agent_id: str) -> AgentView | None:
        """Return an agent; None if it is neither registered nor was ever hosted."""
        self._look()
        return self._known.agents.get(agent_id)

    def capable(self, capability: str) -> Sequence[str]:
        """Return the ids of all registered agents that have a capability, by id.

        Args:
            capability: Its name; with a version behind, as ``name@>=1.2``.

        Raises:
            InvalidQuery: It is none.
        """
        query, columns = Query(capabilities=[capability]), self._columns
        refuse_faults(query)
        with columns.lock:
            rows = candidates(columns, query).tolist()
            return sorted([columns.descriptor[row].agent_id for row in rows])

    def live(self) -> Collection[str]:
        """Return the ids of all agents that are ACTIVE or DEGRADED."""
        self._look()
        return self._known.live

    def known(self) -> Collection[str]:
        """Return the ids of all agents that are registered or were ever hosted."""
        self._look()
        return self._known.agents

    def news(self) -> Iterable[Heard]:
        """Return the heartbeats that came since the last call."""
        with self._hearing:
            if not self._heard:
                return ()
            heard, self._heard = self._heard, {}
        self._look()
        now_ms = self._replica.now_ms
        told = []
        for agent_id in heard:
            beat = self._replica.last_beat(agent_id)
            if beat is not None:
                of = beat.metrics.get
                report = Report(
                    of("queue_size", 0.0),
                    of("response_time_ms", 0.0),
                    of("error_rate", 0.0),
                )
                age_s = max(0.0, now_ms - beat.received_at_ms) / 1_000
                capacity = self._known.capacities.get(agent_id)
                told.append(Heard(agent_id, report, capacity, age_s))
        return told

    def close(self) -> None:
        """Hear of no more heartbeats."""
        self._forget()

    def _hear(self, agent_ids: Sequence[str]) -> None:
        with self._hearing:
            self._heard |= dict.fromkeys(agent_ids)

    def _look(self) -> None:
        """Take over what has changed since the last look."""
        if self.membership == self._seen and not self._is_due():
            return
        with self._looking:
            seen, hosted = self.membership, self.announced.membership
            is_due, is_anew = self._is_due(), hosted != self._hosted
            columns = self._columns
            with columns.lock:
                self._moves = columns.moves
                rows = self._rows.changed(columns, also_all=is_due or is_anew)
                told = _standing(columns, rows)
            known = self._known
            if is_anew:
                known = _Known()
                for one in self.announced.agents:
                    known.show(one)
            ids = [said.agent_id if said else None for said, *_ in told]
            for agent_id in self._rows.hold(rows, ids):
                known.drop(agent_id, self.announced.agent(agent_id))
            for said, status, location, health in told:
                if said is not None:
                    stands = self._stand(said, status, location, health)
                    known.show(stands, said.capacity)
            if is_due:
                self._looked_at = time.monotonic()
            self._known, self._seen, self._hosted = known, seen, hosted

    def _is_due(self) -> bool:
        """Tell whether healths may be older than they should be."""
        is_moved = self._columns.moves != self._moves
        return is_moved and time.monotonic() >= self._looked_at + _LOOK_S

    def _stand(
        self, said: AgentDescriptor, status: AgentStatus, location: str, health: float
    ) -> AgentView:
        hosted = self.announced.agent(said.agent_id)
        if hosted is not None and hosted.status not in _SERVED:
            status = max(status, hosted.status, key=_ORDER.index)
        return AgentView(said.agent_id, status, location, health)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the last look has found, by the agents' ids."""

    agents: dict[str, AgentView] = field(default_factory=dict)
    capacities: dict[str, int | None] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)

    def show(self, agent: AgentView, capacity: int | None = None) -> None:
        self.agents[agent.agent_id] = agent
        self.capacities[agent.agent_id] = capacity
        if agent.status in _SERVED:
            self.live.add(agent.agent_id)
        else:
            self.live.discard(agent.agent_id)

    def drop(self, agent_id: str, hosted: AgentView | None) -> None:
        """Let go of one that is registered no longer; a worker may host it still."""
        if hosted is not None:
            self.show(hosted)
            return
        self.agents.pop(agent_id, None)
        self.capacities.pop(agent_id, None)
        self.live.discard(agent_id)


class _Rows:
    """What was seen in each row of the replica: a look takes what is new since.

    With 10,000 agents, to build all views anew takes 20 ms, and a decision waits for
    it; this takes less than 0.1.
    """

    def __init__(self, columns: Columns) -> None:
        self._versions = np.zeros_like(columns.version)
        self._hashes = np.zeros_like(columns.id_hash)
        self._ids: list[str | None] = [None] * len(self._versions)
        self._row_of: dict[str, int] = {}

    def changed(self, columns: Columns, *, also_all: bool) -> Rows:
        """Return the rows in which another agent or version stands than before."""
        more = len(columns.version) - len(self._versions)
        if more > 0:
            self._versions = np.append(self._versions, np.zeros(more, np.int64))
            self._hashes = np.append(self._hashes, np.zeros(more, np.uint64))
            self._ids += [None] * more
        differ = columns.version != self._versions
        differ |= columns.id_hash != self._hashes
        self._versions[:], self._hashes[:] = columns.version, columns.id_hash
        return np.flatnonzero(differ | also_all)

    def hold(self, rows: Rows, agent_ids: Sequence[str | None]) -> list[str]:
        """Note who stands in rows now; return who stands nowhere any more."""
        left = []
        for row, agent_id in zip(rows.tolist(), agent_ids, strict=True):
            before, self._ids[row] = self._ids[row], agent_id
            if before is not None and before != agent_id:
                left.append((row, before))
            if agent_id is not None:
                self._row_of[agent_id] = row
        gone = [one for row, one in left if self._row_of.get(one) == row]
        for agent_id in gone:
            del self._row_of[agent_id]
        return gone


def _standing(
    columns: Columns, rows: Rows
) -> list[tuple[AgentDescriptor | None, AgentStatus, str, float]]:
    """Return what stands in rows: descriptor, status, location, health.

    A row without an agent has no descriptor. Hold the lock.
    """
    found = zip(
        columns.descriptor[rows].tolist(),
        columns.status[rows].tolist(),
        columns.location[rows].tolist(),
        columns.health[rows].tolist(),
        strict=True,
    )
    words = columns.locations
    return [
        (said, STATUSES[status], words[place] if said else "", health)
        for said, status, place, health in found
    ]


_ORDER: Final = list(AgentStatus)
