"""Schedules in Postgres: which sagas are started when, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries

__all__ = ["SagaSchedule", "Schedules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaSchedule:
    """A saga that is started again and again.

    Attributes:
        name: The schedule's own; each saga's id is it with the slot's epoch seconds.
        definition: The saga's, as JSON.
        initial_data: Of each saga.
        every_s: Seconds from one slot to the next, or None.
        cron: When, in place of that, as a cron expression in UTC.
        next_at: The next slot.
        last_saga_id: The saga that was started last.
        last_error: Why none was started at the last slot, if so.
    """

    name: str
    definition: Mapping[str, Any]
    initial_data: Mapping[str, Any]
    every_s: float | None
    cron: str | None
    next_at: datetime
    last_saga_id: str | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Schedules:
    """The schedules of one database; each method is one round trip."""

    db: Database
    sql: Mapping[str, str] = field(
        default_factory=lambda: load_queries("schedules.sql")
    )

    def now(self) -> datetime:
        """Return the database's time."""
        at: datetime = self.db.rows(self.sql["now"])[0][0]
        return at

    def save(self, schedule: SagaSchedule, first_at: datetime | None) -> SagaSchedule:
        """Add a schedule, or replace that of its name; return it as it is now.

        One whose times stay the same keeps its next slot, unless ``first_at`` rules
        that slot out.
        """
        parameters = {
            "name": schedule.name,
            "definition": json.dumps(schedule.definition),
            "initial_data": json.dumps(schedule.initial_data),
            "every_s": schedule.every_s,
            "cron": schedule.cron,
            "next_at": schedule.next_at,
            "first_at": first_at,
        }
        return _schedule(self.db.rows(self.sql["save"], parameters)[0])

    def remove(self, name: str) -> bool:
        """Remove a schedule; return whether there was one."""
        return bool(self.db.rows(self.sql["remove"], (name,)))

    def listed(self) -> tuple[SagaSchedule, ...]:
        """Return all schedules, by name."""
        return tuple(_schedule(row) for row in self.db.rows(self.sql["listed"]))

    def due(self, limit: int) -> tuple[tuple[SagaSchedule, datetime], ...]:
        """Return schedules whose slot has come, each with the database's time."""
        rows = self.db.rows(self.sql["due"], (limit,))
        return tuple((_schedule(row), row[-1]) for row in rows)

    def move(
        self,
        schedule: SagaSchedule,
        next_at: datetime,
        *,
        saga_id: str | None = None,
        error: str | None = None,
    ) -> None:
        """Go on to the next slot, unless somebody has already.

        Args:
            schedule: As it was read.
            next_at: Its next slot.
            saga_id: What was started.
            error: Why nothing was.
        """
        parameters = {
            "name": schedule.name,
            "slot": schedule.next_at,
            "next_at": next_at,
            "saga_id": saga_id,
            "error": error,
        }
        self.db.rows(self.sql["move"], parameters)


def _schedule(row: Sequence[Any]) -> SagaSchedule:
    names = (
        "name", "definition", "initial_data", "every_s", "cron", "next_at",
        "last_saga_id", "last_error",
    )  # fmt: skip
    return SagaSchedule(**dict(zip(names, row[: len(names)], strict=True)))
