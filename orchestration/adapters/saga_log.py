"""Sagas in Postgres: events, and the side tables that change with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from eventstore import canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import Answer, Because, Record, Start, Status
from orchestration.core.saga.events import EventType, NewFact, SagaEvent, saga_uuid
from orchestration.core.saga.fold import fold
from orchestration.core.saga.model import (
    Direction,
    SagaTransaction,
)
from orchestration.core.saga.timing import RESEND_AFTER
from orchestration.core.saga.view import SagaView
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

    def begin(
        self, start: Start, because: Because, *, connection: Connection | None = None
    ) -> SagaView | None:
        """Begin a saga and return it; None if this very saga has begun before.

        Raises:
            SagaConflict: The id is taken by another definition or other input.
        """
        transaction = start.transaction
        saga_id = transaction.transaction_id
        fact = start.fact
        told = canonical_bytes(fact.data)
        attributes = fact.data.get("search_attributes")
        look_after = min(RESEND_AFTER, timedelta(milliseconds=transaction.timeout_ms))
        parameters = (
            saga_id,
            transaction.name,
            str(fact.event_id(saga_id, 0)),
            str(saga_uuid(saga_id)),
            because.causation,
            because.actor,
            because.metadata,
            told,
            look_after if connection is None else timedelta(),
            start.parent.saga_id if start.parent else None,
            bool(transaction.locks),
            connection is not None,
            json.dumps(attributes) if attributes else None,
        )
        rows = self.db.rows(self.sql["begin"], parameters, connection=connection)
        status, recorded_at = rows[0]
        if status == "ok":
            # As others will read it: a tuple is a list from here on.
            data = json.loads(told)
            event = SagaEvent(1, fact.type, data, recorded_at.astimezone(UTC))
            return fold(saga_id, [event])
        if status == "duplicate" or self._has_begun(saga_id, fact):
            return None
        raise SagaConflict(
            f"saga {saga_id} exists with another definition or other input: use "
            "another transaction_id, or start it exactly as before",
            saga_id,
        )

    def _has_begun(self, saga_id: str, fact: NewFact) -> bool:
        """Whether a saga began like this, though another version wrote it down."""
        events = self.read(saga_id).events
        return bool(events) and _told(events[0].data) == _told(fact.data)

    def record(
        self, record: Record, because: Because, *, connection: Connection | None = None
    ) -> Answer:
        """Append a decision if the saga still stands where it was taken."""
        parameters = _parameters(record, because)
        sql = self.sql["record"]
        if connection is not None:
            sql = _HOLD_SHORTLY + sql
        try:
            answer = self._answer(self.db.rows(sql, parameters, connection=connection))
        except DBAPIError as exc:
            if getattr(exc.orig, "pgcode", None) != "OR001" or connection is not None:
                raise  # with a caller's connection, the caller's work is undone too
            if "reopen" in record.beside:  # others were first, and its row is right
                answer = self.read(record.saga_id)
                return Answer(Status.CONFLICT, answer.now, answer.events)
        else:
            stands_at = answer.events[-1].version if answer.events else 0
            if answer.status is not Status.CONFLICT or stands_at != record.expected:
                return answer
        # The saga's row was lost or restored from elsewhere: the events decide.
        self.heal(record.saga_id, connection)
        answer = self.read(record.saga_id)
        return Answer(Status.CONFLICT, answer.now, answer.events)

    def _answer(self, rows: Sequence[Sequence[Any]]) -> Answer:
        status, now, number, _, recorded_at, _ = rows[-1]
        self.db.clock.heard(now)
        if status == Status.BUSY:
            return Answer(Status.BUSY, now, wait_ms=number)
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
        if recorded_at is not None:
            recorded_at = recorded_at.astimezone(UTC)
        return Answer(Status(status), now, events, recorded_at)

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

    def heal(self, saga_id: str, connection: Connection | None = None) -> None:
        """Rebuild a saga's rows in the side tables from its events."""
        view = self.view(saga_id)
        held = [
            (name, str(way), phase.attempt, phase.token, phase.started_at + limit)
            for way in Direction
            for name in view.running(way)
            if (phase := view.phase(name, way)).started_at is not None
            and (limit := timedelta(milliseconds=view.plan.limit_ms(name)))
        ]
        columns = [list(column) for column in zip(*held, strict=True)] or [[]] * 5
        steps, directions, attempts, owners, until = columns
        locks = view.locks or {}
        attributes = dict(view.transaction.search_attributes)
        parameters = {
            "saga": saga_id,
            "version": view.version,
            "name": view.transaction.name,
            "state": str(view.state),
            "is_over": view.state.is_over,
            "gives_up": view.cause is not None,
            "started_at": view.started_at,
            "ended_at": view.ended_at,
            "steps": steps,
            "directions": directions,
            "attempts": attempts,
            "owners": owners,
            "until": until,
            "lease_s": _HEALED_LEASE_S,
            "parent": view.parent.saga_id if view.parent else None,
            "locks": list(view.lock_names),
            "fences": [locks.get(name) for name in view.lock_names],
            "attributes": json.dumps(attributes) if attributes else None,
        }
        self.db.rows(self.sql["heal"], parameters, connection=connection)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Return a transaction that commits at its end, unless an error ends it."""
        with self.db.begin() as connection:
            yield connection
            connection.commit()

    def take_locks(
        self, saga_id: str, names: Sequence[str], connection: Connection
    ) -> dict[str, int] | None:
        """Take all of a saga's locks, or none and wait in line.

        Returns:
            The fencing number of each, to be recorded on the same connection.
        """
        sql, parameters = self.sql["take_locks"], (saga_id, list(names))
        fences = self.db.rows(sql, parameters, connection=connection)[0][0]
        return None if fences is None else dict(zip(names, fences, strict=True))

    def next_in_line(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the sagas whose turn it is for those of these locks that are free."""
        rows = self.db.rows(self.sql["next_in_line"], (list(names),))
        return tuple(dict.fromkeys(row[0] for row in rows))

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


def _told(started: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a saga began, in this version's words for its definition."""
    definition = SagaTransaction.from_json(started["definition"], transaction_id="")
    return {**started, "definition": definition.to_json(), "definition_hash": ""}


def _parameters(record: Record, because: Because) -> tuple[Any, ...]:
    saga_id, lease, limit = record.saga_id, record.lease, record.limit
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
        record.is_over,
        record.gives_up,
        record.check_at,
        str(record.change) if record.change else None,
        lease.step if lease else None,
        str(lease.direction) if lease else None,
        lease.attempt if lease else None,
        lease.owner or None if lease else None,
        record.lease_s,
        record.limit_s,
        record.read_after,
        limit.agent_id if limit else None,
        limit.max_concurrent if limit else None,
        limit.max_per_s if limit else None,
        json.dumps(record.beside) if record.beside else None,
    )
