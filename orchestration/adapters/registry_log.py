"""Registered agents in Postgres: their events, and one row each that these fold to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import DBAPIError

from eventstore import canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.registry_feed import moment
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.events import (
    SWEEPS,
    EventType,
    NewFact,
    RegistryEvent,
    agent_uuid,
    stream_of,
)
from orchestration.core.registry.fold import AgentState, fold
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.core.registry.protection import Protection
from orchestration.core.registry.pulse import code_of

__all__ = [
    "LastSweep",
    "Recorded",
    "RegistryLog",
    "RowsToSweep",
    "Status",
    "as_recorded",
    "state_of",
]


class Status(StrEnum):
    """How the log answers a fact about one agent."""

    OK = "ok"
    CONFLICT = "conflict"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a fact.

    Attributes:
        status: ``ok``; ``conflict``: the agent stands elsewhere; ``full``: there are
            too many agents.
        state: The agent as it stands now; None: it is not registered.
        version: Where its stream stands now.
    """

    status: Status
    state: AgentState | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsToSweep:
    """All registered agents as columns, by id.

    Attributes:
        agent_ids: Whose rows they are.
        version: Of each agent's last event; int64.
        status: Code of each one's status; int8.
        interval_ms: How often each is heard of; int64.
        registered_ms: When each joined, epoch milliseconds; int64.
        slas: What each promises.
        violations: Which promises each breaks, with the time since when.
    """

    agent_ids: Sequence[str]
    version: NDArray[np.int64]
    status: NDArray[np.int8]
    interval_ms: NDArray[np.int64]
    registered_ms: NDArray[np.int64]
    slas: Sequence[Mapping[str, float]]
    violations: Sequence[Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSweep:
    """Where the stream of sweeps stands.

    Attributes:
        version: Of its last event; 0: there was no sweep yet.
        protection: What the last sweep left for the next one.
        ago: How long ago that was.
    """

    version: int = 0
    protection: Protection | None = None
    ago: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class RegistryLog:
    """The registry of one database; each method is one round trip."""

    db: Database
    sql: Mapping[str, str] = field(default_factory=lambda: load_queries("registry.sql"))

    def record(
        self, fact: NewFact, expected: int, because: Because, *, max_agents: int
    ) -> Recorded:
        """Record a fact about one agent, if its stream stands at ``expected``."""
        agent_id = fact.data["agent_id"]
        told = fact.data.get("descriptor")
        descriptor = None if told is None else AgentDescriptor.from_json(told)
        parameters = (
            agent_id,
            expected,
            str(fact.event_id(expected)),
            str(fact.type),
            canonical_bytes(fact.data),
            str(agent_uuid(agent_id)),
            because.causation,
            because.actor,
            because.metadata,
            None if told is None else canonical_bytes(told).decode(),
            fact.data.get("location"),
            fact.data.get("owner"),
            None if descriptor is None else interval_ms(descriptor),
            max_agents,
        )
        ((status, version, now, *row),) = self.db.rows(self.sql["record"], parameters)
        self.db.clock.heard(now)
        state = None if row[0] is None else state_of([*row, "", None])
        return Recorded(status=Status(status), state=state, version=version)

    def states(self) -> dict[str, AgentState]:
        """Return every agent that is registered, by id."""
        found = (state_of(row) for row in self.db.rows(self.sql["states"]))
        return {state.descriptor.agent_id: state for state in found}

    def versions(self) -> dict[str, int]:
        """Return the version of every agent that is registered or shown, by id."""
        return dict(self.db.rows(self.sql["versions"]))  # type: ignore[arg-type]  # two columns

    def some(self, agent_ids: Sequence[str]) -> dict[str, Recorded]:
        """Return where some agents stand, whether they are registered or not."""
        rows = self.db.rows(self.sql["some"], (list(agent_ids),))
        return {
            agent_id: Recorded(
                status=Status.OK,
                state=None if row[0] is None else state_of(row),
                version=row[9],
            )
            for *row, agent_id in rows
        }

    def rows_to_sweep(self) -> RowsToSweep:
        """Return all agents as a sweep needs them."""
        rows = self.db.rows(self.sql["rows_to_sweep"])
        columns = list(zip(*rows, strict=True)) or [()] * 7
        agent_ids, versions, statuses, intervals, registered, slas, broken = columns
        return RowsToSweep(
            agent_ids=agent_ids,
            version=np.array(versions, np.int64),
            status=np.array([code_of(AgentStatus(s)) for s in statuses], np.int8),
            interval_ms=np.array(intervals, np.int64),
            registered_ms=np.array(registered, np.int64),
            slas=[{} if sla is None else json.loads(sla) for sla in slas],
            violations=broken,
        )

    def shown_stands(self) -> dict[str, tuple[int, int]]:
        """Return version and status code of each agent of others, by id."""
        rows = self.db.rows(self.sql["shown_stands"])
        return {a: (version, code_of(AgentStatus(s))) for a, version, s in rows}

    def last_sweep(self) -> LastSweep:
        """Return what the sweep before left."""
        ((now, version, data, ago),) = self.db.rows(self.sql["last_sweep"])
        self.db.clock.heard(now)
        told = None if data is None else json.loads(bytes(data))["protection"]
        protection = None if told is None else Protection(**told)
        return LastSweep(
            version=version or 0, protection=protection, ago=ago or timedelta()
        )

    def swept(
        self,
        facts: Sequence[NewFact],
        rows: RowsToSweep,
        last: LastSweep,
        because: Because,
    ) -> dict[str, int] | None:
        """Record the facts of a sweep, all in one transaction.

        Returns:
            The new version of each agent of which all was recorded. Others have
            changed since the sweep looked, and are left to the next. None: another
            sweep was first, and nothing was recorded.
        """
        own = [fact for fact in facts if fact.stream == SWEEPS]
        about = [fact for fact in facts if fact.stream != SWEEPS]
        stands = dict(zip(rows.agent_ids, rows.version.tolist(), strict=True))
        agents = [fact.data["agent_id"] for fact in about]
        versions = []
        for agent_id in agents:  # of one that has many facts, one follows the other
            versions.append(stands[agent_id])
            stands[agent_id] += 1
        parameters = (
            last.version,
            [str(f.event_id(last.version + at)) for at, f in enumerate(own)],
            [str(fact.type) for fact in own],
            [canonical_bytes(fact.data) for fact in own],
            because.causation,
            because.actor,
            because.metadata,
            agents,
            versions,
            [str(f.event_id(v)) for f, v in zip(about, versions, strict=True)],
            [str(fact.type) for fact in about],
            [canonical_bytes(fact.data) for fact in about],
            [str(agent_uuid(agent_id)) for agent_id in agents],
            [fact.data.get("to") for fact in about],
            [fact.data.get("health_score") for fact in about],
            [fact.data["last_heartbeat_ms"] for fact in about],
        )
        try:
            return dict(self.db.rows(self.sql["swept"], parameters))  # type: ignore[arg-type]  # two columns
        except DBAPIError as exc:
            if getattr(exc.orig, "pgcode", None) == "OR002":
                return None
            raise

    def history(
        self, agent_id: str | None = None, at: datetime | None = None
    ) -> tuple[RegistryEvent, ...]:
        """Return the events of one agent or of all, up to a moment or to now."""
        parameters = {"name": agent_id and stream_of(agent_id), "at": at}
        rows = self.db.rows(self.sql["history"], parameters)
        return tuple(
            RegistryEvent(v, EventType(t), json.loads(bytes(data)), at.astimezone(UTC))
            for v, t, data, at in rows
        )

    def as_of(self, at: datetime) -> dict[str, AgentState]:
        """Return who was registered at a moment, and how each stood, by id."""
        states = fold(self.history(at=at))
        return {key: state for key, state in states.items() if state.is_registered}

    def heal(self, agent_id: str) -> None:
        """Put an agent's row right by its events."""
        state = fold(self.history(agent_id)).get(agent_id)
        if state is None:
            return
        heard, descriptor = state.last_heartbeat, state.descriptor
        parameters = (
            agent_id,
            state.version,
            _json(descriptor) if state.is_registered and not state.region else None,
            state.location,
            state.owner,
            str(state.status),
            state.health_score,
            interval_ms(descriptor),
            state.registered_at,
            state.changed_at,
            None if heard is None else round(heard.timestamp() * 1_000),
            canonical_bytes(dict(state.violations)).decode(),
        )
        self.db.rows(self.sql["heal"], parameters)

    @contextmanager
    def rebuilding(self) -> Iterator[bool]:
        """Be the only one of all processes in here; False: another one is."""
        with self.db.begin(idle_s=60.0) as connection:
            rows = self.db.rows(self.sql["try_rebuild_lock"], connection=connection)
            yield bool(rows[0][0])


def interval_ms(descriptor: AgentDescriptor) -> int:
    """Return how often an agent is heard of, milliseconds, at least 1."""
    return max(1, round(descriptor.heartbeat_interval_s * 1_000))


def as_recorded(descriptor: AgentDescriptor) -> AgentDescriptor:
    """Return a descriptor as it comes back from the log, to compare it with others."""
    return AgentDescriptor.from_json(json.loads(_json(descriptor)))


def _json(descriptor: AgentDescriptor) -> str:
    return canonical_bytes(descriptor.to_json()).decode()


def state_of(row: Sequence[Any]) -> AgentState:
    """Return the agent that a row of the registry tells of."""
    descriptor, location, owner, status, health, registered, changed, heard = row[:8]
    broken, version, region, as_of = row[8:]
    return AgentState(
        descriptor=AgentDescriptor.from_json(descriptor),
        location=location,
        owner=owner,
        status=AgentStatus(status),
        health_score=health,
        registered_at=registered.astimezone(UTC),
        changed_at=changed.astimezone(UTC),
        last_heartbeat=moment(heard),
        version=version,
        region=region,
        as_of=as_of and as_of.astimezone(UTC),
        violations=broken,
    )
