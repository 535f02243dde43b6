"""Sagas in Postgres: events, and the side tables that change with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from eventstore import ANY, EventStore, NewEvent, canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import (
    Answer,
    Because,
    Lease,
    Record,
    SagaSummary,
    Status,
)
from orchestration.core.saga.decide import RESEND_AFTER
from orchestration.core.saga.events import (
    EventType,
    NewFact,
    SagaEvent,
    saga_uuid,
    stream_of,
)
from orchestration.core.saga.fold import SagaView, fold
from orchestration.core.saga.model import Direction, definition_hash
from orchestration.errors import SagaConflict, SagaNotFound

__all__ = ["SagaLog"]

# Until its holder has renewed it, or the sweep takes the holder for lost.
_HEALED_LEASE_S = 15.0
# An action's transaction may last; from here on it holds a row that others need.
_HOLD_SHORTLY = "SET LOCAL idle_in_transaction_session_timeout = '10s'; "


@dataclass(frozen=True, slots=True)
class SagaLog:
    """The sagas of one database.

    Every method is one round trip, and safe to repeat when the connection was lost
    in the middle of it.
    """

    db: Database
    sql: Mapping[str, str] = field(default_factory=lambda: load_queries("sagas.sql"))

    def start(
        self,
        saga_id: str,
        definition: Mapping[str, Any],
        initial_data: Mapping[str, Any],
        because: Because,
        *,
        connection: Connection | None = None,
    ) -> bool:
        """Begin a saga; False if this very saga has begun before.

        Raises:
            SagaConflict: The id is taken by another definition or other input.
        """
        digest = definition_hash(definition)
        fact = NewFact(
            EventType.SAGA_STARTED,
            {
                "definition": definition,
                "definition_hash": digest,
                "initial_data": initial_data,
            },
        )
        parameters = (
            saga_id,
            definition["name"],
            str(fact.event_id(saga_id, 0)),
            str(saga_uuid(saga_id)),
            because.causation,
            because.actor,
            because.metadata,
            canonical_bytes(fact.data),
            min(RESEND_AFTER, timedelta(milliseconds=definition["timeout_ms"])),
        )
        row = self.db.rows(self.sql["start"], parameters, connection=connection)[0]
        if row[0] in ("ok", "duplicate"):
            return bool(row[0] == "ok")
        raise SagaConflict(
            f"saga {saga_id} exists with another definition or other input: use "
            "another transaction_id, or start it exactly as before",
            saga_id,
        )

    def record(
        self, record: Record, because: Because, *, connection: Connection | None = None
    ) -> Answer:
        """Append a decision if the saga still stands where it was taken."""
        parameters = self._parameters(record, because)
        sql = self.sql["transition"]
        if connection is not None:
            sql = _HOLD_SHORTLY + sql
        try:
            answer = self._answer(self.db.rows(sql, parameters, connection=connection))
        except DBAPIError as exc:
            if getattr(exc.orig, "pgcode", None) != "OR001" or connection is not None:
                raise  # with a caller's connection, the caller's work is undone too
        else:
            stands_at = answer.events[-1].version if answer.events else 0
            if answer.status is not Status.CONFLICT or stands_at != record.expected:
                return answer
        # The saga's row was lost or restored from elsewhere: the events decide.
        self.heal(record.saga_id, connection)
        answer = self.read(record.saga_id)
        return Answer(Status.CONFLICT, answer.now, answer.events)

    def _parameters(self, record: Record, because: Because) -> tuple[Any, ...]:
        saga_id, lease = record.saga_id, record.lease
        return (
            saga_id,
            record.expected,
            [
                str(fact.event_id(saga_id, record.expected + at))
                for at, fact in enumerate(record.facts)
            ],
            [str(fact.type) for fact in record.facts],
            [canonical_bytes(fact.data) for fact in record.facts],
            str(saga_uuid(saga_id)),
            because.causation,
            because.actor,
            because.metadata,
            str(record.state),
            record.state.is_over,
            record.gives_up,
            record.check_at,
            str(record.change) if record.change else None,
            lease.step if lease else None,
            str(lease.direction) if lease else None,
            lease.attempt if lease else None,
            lease.owner or None if lease else None,
            record.lease_s,
            record.limit_s,
            0 if record.want_events else None,
        )

    def _answer(self, rows: Sequence[Sequence[Any]]) -> Answer:
        status, now = rows[0][0], rows[0][1]
        self.db.clock.heard(now)
        events = tuple(
            SagaEvent(
                version=row[2],
                type=EventType(row[3]),
                data=json.loads(bytes(row[5])),
                recorded_at=row[4].astimezone(UTC),  # whatever zone the server is in
            )
            for row in rows
            if row[3] is not None
        )
        return Answer(Status(status), now, events)

    def read(self, saga_id: str) -> Answer:
        """Return all events of a saga; none if there is no such saga."""
        return self._answer(self.db.rows(self.sql["read"], (saga_id,)))

    def view(self, saga_id: str) -> SagaView:
        """Return a saga's state.

        Raises:
            SagaNotFound: There is no such saga.
        """
        view = fold(saga_id, self.read(saga_id).events)
        if view is None:
            raise SagaNotFound(f"there is no saga {saga_id}", saga_id)
        return view

    def record_late(self, saga_id: str, fact: NewFact, because: Because) -> None:
        """Append a result that came after its saga was over."""
        event = NewEvent(
            type=str(fact.type),
            data=fact.data,
            event_id=fact.event_id(saga_id, 0),
            correlation_id=saga_uuid(saga_id),
            metadata=json.loads(because.metadata),
            actor=because.actor,
        )
        store, stream = EventStore(self.db.engine), stream_of(saga_id)
        self.db.patiently(lambda: store.append(stream, [event], expected_version=ANY))

    def heal(self, saga_id: str, connection: Connection | None = None) -> None:
        """Rebuild a saga's rows in the side tables from its events."""
        view = self.view(saga_id)
        held = [
            (name, str(way), phase.attempt, phase.token, phase.started_at + limit)
            for way in Direction
            for name in view.running(way)
            if (phase := view.phase(name, way)).started_at is not None
            and (limit := timedelta(milliseconds=view.plan.by_name[name].timeout_ms))
        ]
        leases = [list(column) for column in zip(*held, strict=True)] or [[]] * 5
        self.db.rows(
            self.sql["heal"],
            (
                saga_id,
                view.version,
                view.transaction.name,
                str(view.state),
                view.state.is_over,
                view.cause is not None,
                view.started_at,
                view.ended_at,
                *leases,
                _HEALED_LEASE_S,
            ),
            connection=connection,
        )

    def claim_due(self, limit: int) -> tuple[tuple[str, datetime], ...]:
        """Return sagas to look at now, and when each would be looked at next."""
        rows = self.db.rows(self.sql["claim_due"], (limit,))
        return tuple((row[0], row[1]) for row in rows)

    def look_earlier(self, view: SagaView, at: datetime) -> None:
        """Have the sweep look at a saga no later than ``at``."""
        self.db.rows(self.sql["look_earlier"], (at, view.saga_id, view.version))

    def expired(self, limit: int, lease_s: float) -> tuple[Lease, ...]:
        """Return attempts whose holder has not been heard of in time.

        None within ``lease_s`` of the server's start: while it was away nobody could
        renew, and a worker that lives renews within that time.
        """
        rows = self.db.rows(self.sql["expired"], (lease_s, limit))
        return tuple(Lease(r[0], r[1], Direction(r[2]), r[3]) for r in rows)

    def forget_lease(self, lease: Lease) -> None:
        """Drop a lease that ran out and whose attempt is closed already."""
        parameters = (lease.saga_id, lease.step, str(lease.direction), lease.attempt)
        self.db.rows(self.sql["forget_lease"], parameters)

    def put_off(self, lease: Lease) -> None:
        """Look at a lease that ran out again in a minute, not at once."""
        parameters = (lease.saga_id, lease.step, str(lease.direction), lease.attempt)
        self.db.rows(self.sql["put_off"], parameters)

    def renew(self, leases: Iterable[Lease], lease_s: float) -> dict[str, bool]:
        """Prolong leases; return whether the saga has given up, by owner still held."""
        held = list(leases)
        parameters = (
            lease_s,
            [lease.saga_id for lease in held],
            [lease.step for lease in held],
            [str(lease.direction) for lease in held],
            [lease.owner for lease in held],
        )
        return {row[0]: row[1] for row in self.db.rows(self.sql["renew"], parameters)}

    def note_waiting(self, saga_id: str, what: str) -> None:
        """Show in the saga's status what it waits for."""
        self.db.rows(self.sql["wait_for"], (what, saga_id))

    def waiting_for(self, saga_id: str) -> str | None:
        """Return what was noted, until the saga moved on."""
        rows = self.db.rows(self.sql["waiting_for"], (saga_id,))
        return rows[0][0] if rows else None

    def over(self, saga_ids: Sequence[str]) -> tuple[str, ...]:
        """Return which of these sagas are no longer on their way."""
        rows = self.db.rows(self.sql["over"], (list(saga_ids),))
        return tuple(row[0] for row in rows)

    def list(
        self, *, state: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[SagaSummary, ...]:
        """Return sagas, newest first."""
        filters = (state, state, name, name)
        rows = self.db.rows(self.sql["list"], (*filters, *filters, limit, limit))
        return tuple(
            SagaSummary(
                saga_id=row[0],
                name=row[1],
                state=row[2],
                started_at=row[3],
                ended_at=row[4],
                waiting_for=row[5],
            )
            for row in rows
        )

    def claim_tick(self, name: str, period_s: float) -> bool:
        """Return whether this call is the first of the schedule's current slot."""
        return bool(self.db.rows(self.sql["claim_tick"], (name, period_s)))
