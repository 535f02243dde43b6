"""Standing fields in Postgres: what is laid on them, and how many ticks are over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from eventstore import canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import Because
from orchestration.core.swarm.partitions.standing import (
    CLOCK,
    FieldKey,
    FieldTime,
    StandingField,
    evaporated_id,
    laid_id,
)

__all__ = ["FieldLog", "FieldRow"]


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field in a list.

    Attributes:
        tick: Up to which it is on record that it has evaporated.
        laid_at: When a run laid on it last.
    """

    key: FieldKey
    tick: int
    laid_at: datetime
    field: StandingField


@dataclass(frozen=True, slots=True)
class FieldLog:
    """The standing fields of one database."""

    db: Database
    sql: Mapping[str, str] = field(default_factory=lambda: load_queries("fields.sql"))

    def clock(
        self, *, connection: Connection | None = None
    ) -> tuple[FieldTime | None, int, datetime]:
        """Return how many ticks are on record, its version, and the database's time."""
        [(now, tick, at, version)] = self.db.rows(
            self.sql["clock"], connection=connection
        )
        self.db.clock.heard(now)
        time = None if tick is None else FieldTime(tick, at.astimezone(UTC))
        if time is None and version:  # the row is lost
            *_, (last,) = self.db.rows(
                self.sql["events"], (CLOCK,), connection=connection
            )
            time = FieldTime.of(json.loads(bytes(last)))
        return time, version, now.astimezone(UTC)

    def evaporate(
        self, time: FieldTime, expected: int, because: Because
    ) -> tuple[int, int] | None:
        """Record that all ticks up to one are done.

        Args:
            time: The tick, and when it ended.
            expected: The version of the clock that this was worked out from.
            because: What made it happen.

        Returns:
            How many fields have evaporated, and how many of them are forgotten; None:
            somebody else was first.
        """
        parameters = (
            expected,
            str(evaporated_id(time.tick)),
            canonical_bytes(time.told),
            str(evaporated_id(0)),
            because.causation,
            because.actor,
            because.metadata,
            time.tick,
            time.at,
        )
        [(evaporated, forgotten)] = self.db.rows(self.sql["evaporate"], parameters)
        return None if evaporated is None else (evaporated, forgotten)

    def is_any(self) -> bool:
        """Return whether there is a field at all."""
        return bool(self.db.rows(self.sql["is_any"]))

    def read(
        self, key: FieldKey, *, connection: Connection | None = None
    ) -> StandingField:
        """Return what was laid on a field; of one without a row, by its events.

        Args:
            key: Which field.
            connection: Reads in its transaction, and keeps others from laying.
        """
        how = "look" if connection is None else "read"
        rows = self.db.rows(
            self.sql[how], (str(key.uuid),), connection=connection
        ) or self.db.rows(self.sql["events"], (key.stream,), connection=connection)
        if len(rows) == 1 and isinstance(rows[0][0], Mapping):
            return StandingField.of(rows[0][0])
        return StandingField.fold(json.loads(bytes(row[0])) for row in rows)

    def lay(
        self,
        key: FieldKey,
        swarm_id: str,
        told: Mapping[str, Any],
        before: StandingField,
        because: Because,
        *,
        connection: Connection,
    ) -> bool:
        """Record what a swarm lays; return whether it is on record.

        Args:
            key: On which field.
            swarm_id: Who.
            told: At which ``tick``, and what on which of the ``groups``.
            before: The field as it was read.
            because: What made it happen.
            connection: Joins its transaction.
        """
        data = json.loads(canonical_bytes({**key.told, "swarm": swarm_id, **told}))
        after = before.laid(data)
        parameters = (
            key.stream,
            before.version,
            str(laid_id(swarm_id)),
            canonical_bytes(data),
            because.causation,
            because.actor,
            because.metadata,
            str(key.uuid),
            *(key.handler, key.source, key.layout),
            data["tick"],
            after.fades_at,
            canonical_bytes(after.told),
        )
        rows = self.db.rows(self.sql["lay"], parameters, connection=connection)
        return rows[0][0] in ("ok", "duplicate")

    def listed(self, limit: int) -> Sequence[FieldRow]:
        """Return fields, the one laid on last first."""
        rows = self.db.rows(self.sql["listed"], (limit,))
        return [
            FieldRow(
                FieldKey(handler, source, layout),
                tick,
                laid_at.astimezone(UTC),
                StandingField.of(told),
            )
            for handler, source, layout, tick, laid_at, told in rows
        ]
