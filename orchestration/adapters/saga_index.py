"""Lists of sagas: what is found by which words, and what needs a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.core.saga.words import SagaState
from orchestration.core.words import member

__all__ = ["DeadLetter", "DueLetter", "Notice", "SagaIndex", "SagaSummary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaSummary:
    """One line of a list of sagas."""

    saga_id: str
    name: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    waiting_for: str | None
    parent_id: str | None = None
    search_attributes: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A step whose undoing failed for good.

    Attributes:
        name: The saga's.
        since: When it first failed.
        tries: How often it has been tried again since.
        next_try_at: When it is tried again by itself; None: it waits for a person.
    """

    saga_id: str
    name: str | None
    step: str
    error: Mapping[str, Any]
    since: datetime
    tries: int
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class DueLetter:
    """A dead letter whose time to be tried again has come.

    Attributes:
        due_at: When that was found, on the database's clock.
    """

    saga_id: str
    step: str
    tries: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Word of a saga that has come to a stand, for somebody outside."""

    notice_id: int
    saga_id: str
    name: str
    state: str
    version: int
    recorded_at: datetime
    error: Mapping[str, Any] | None
    tries: int

    def to_json(self) -> dict[str, Any]:
        """Return what is sent; the same each time, so that a receiver can tell."""
        return {
            "saga_id": self.saga_id,
            "name": self.name,
            "state": self.state,
            "version": self.version,
            "recorded_at": self.recorded_at.isoformat(),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class SagaIndex:
    """The lists of one database; each method is one round trip."""

    db: Database
    sql: Mapping[str, str] = field(default_factory=lambda: load_queries("sagas.sql"))

    def find(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        attributes: Mapping[str, str | float] | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        after: SagaSummary | None = None,
        limit: int = 50,
    ) -> tuple[SagaSummary, ...]:
        """Return sagas, newest first.

        Args:
            state: Only those in this state; those that wait are RUNNING.
            name: Only those of this definition's name.
            attributes: Only those with all of these search attributes.
            started_after: Only those begun at this time or later.
            started_before: Only those begun earlier.
            after: Only those that follow this one in the list: the next page.
            limit: At most so many.

        Raises:
            ValueError: There is no such state, or lists do not tell it.
        """
        wanted = _listed(state)
        parameters = {
            "state": wanted,
            "is_over": wanted.is_over if wanted else None,
            "name": name,
            "attributes": json.dumps(dict(attributes)) if attributes else None,
            "since": started_after,
            "until": started_before,
            "after_at": after.started_at if after else None,
            "after_id": after.saga_id if after else None,
            "limit": limit,
        }
        rows = self.db.rows(self.sql["find"], parameters)
        return tuple(
            SagaSummary(
                saga_id=row[0],
                name=row[1],
                state=row[2],
                started_at=row[3],
                ended_at=row[4],
                waiting_for=row[5],
                parent_id=row[6],
                search_attributes=row[7] or {},
            )
            for row in rows
        )

    def count_open(self, at_most: int) -> int:
        """Return how many sagas are open, counted no further than ``at_most``."""
        return int(self.db.rows(self.sql["count_open"], (at_most,))[0][0])

    def letters(
        self, saga_id: str | None = None, *, limit: int = 100
    ) -> tuple[DeadLetter, ...]:
        """Return undos that failed for good, the longest first."""
        rows = self.db.rows(self.sql["letters"], (saga_id, saga_id, limit))
        names = ("saga_id", "name", "step", "error", "since", "tries", "next_try_at")
        return tuple(DeadLetter(**dict(zip(names, row, strict=True))) for row in rows)

    def due_letters(self, limit: int) -> tuple[DueLetter, ...]:
        """Return undos to be tried again now; each comes again in a minute, or later.

        Later, if its try has been recorded by then; never, if it was the last.
        """
        rows = self.db.rows(self.sql["due_letters"], (limit,))
        return tuple(DueLetter(*row) for row in rows)

    def due_notices(self, limit: int) -> tuple[Notice, ...]:
        """Return words to deliver now; what is not dropped comes again, later.

        Of each saga the oldest only, so that its words keep their order.
        """
        names = (
            "notice_id", "saga_id", "name", "state", "version", "recorded_at", "error",
            "tries",
        )  # fmt: skip
        rows = self.db.rows(self.sql["due_notices"], (limit,))
        return tuple(Notice(**dict(zip(names, row, strict=True))) for row in rows)

    def put_off_notices(self, failed: Notice) -> None:
        """Let all words wait as long as one that nobody was there to take."""
        self.db.rows(self.sql["put_off_notices"], (failed.notice_id,))

    def drop_notice(self, notice: Notice) -> None:
        """Forget a word that was delivered, or given up."""
        self.db.rows(self.sql["drop_notice"], (notice.notice_id,))

    def retire(self, older_than_s: float, limit: int) -> int:
        """Forget rows of sagas that ended long ago; return how many."""
        rows = self.db.rows(self.sql["retire"], (older_than_s, limit))
        return int(rows[0][0])


def _listed(state: str | None) -> SagaState | None:
    """Return a state by its name, if sagas are listed under it."""
    found = member(SagaState, state)
    if found is SagaState.WAITING:
        raise ValueError(
            "lists do not tell WAITING from RUNNING, a saga's status does: find it as "
            "RUNNING"
        )
    return found
