"""Swarms in Postgres: events, and the side tables that change with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from eventstore import canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import Because
from orchestration.core.saga.evolve import evolve
from orchestration.core.swarm.events import EventType, NewFact, SwarmEvent, swarm_uuid
from orchestration.core.swarm.fold import SwarmView, apply, first, fold
from orchestration.errors import SwarmConflict, SwarmNotFound

__all__ = ["ANY_VERSION", "Snapshot", "SwarmLog", "SwarmSummary", "Written"]

ANY_VERSION = -1
"""For facts that are true whatever else has happened."""


_TIMES = 10.0
_LONGEST_S = 300.0


class _Status(StrEnum):
    OK = "ok"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of facts.

    Attributes:
        view: The swarm with them; None: they are not on record, others were first.
        is_new: Whether this very call has recorded them.
    """

    view: SwarmView | None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state that was kept; it counts if its SHA-256 is the one on record."""

    iteration: int
    state: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmSummary:
    """A swarm in a list.

    Attributes:
        waiting_for: What it waits for, as far as that was noted.
    """

    swarm_id: str
    kind: str
    name: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    iteration: int
    best: float | None
    convergence: float
    waiting_for: str | None


@dataclass(frozen=True, slots=True)
class SwarmLog:
    """The swarms of one database.

    Every method is one round trip unless it says otherwise, and safe to repeat when the
    connection was lost in the middle of it.

    Args:
        db: Where they are.
        still_s: After how long without an event the sweep looks at a swarm, seconds.
    """

    db: Database
    still_s: float = 5.0
    sql: Mapping[str, str] = field(default_factory=lambda: load_queries("swarms.sql"))

    def begin(
        self,
        swarm_id: str,
        started: NewFact,
        because: Because,
        *,
        snapshot: bytes | None = None,
    ) -> tuple[SwarmView, bool]:
        """Begin a swarm; return it, and whether it began now, not earlier.

        Raises:
            SwarmConflict: The id is taken by another one.
        """
        told = json.loads(canonical_bytes(started.data))
        event = SwarmEvent(1, started.type, told, self.db.clock.now())
        status, _, at = self._write(
            first(swarm_id, event),
            0,
            [started],
            because,
            snapshot=snapshot,
            is_first=True,
        )
        if status is _Status.OK:
            return first(swarm_id, replace(event, recorded_at=at)), True
        known = self.read(swarm_id)
        # What runs before had left for it is not what it was told.
        left = {"standing": told.get("standing")}
        if known and {**known[0].data, **left} == {**told, **left}:
            return self.view(swarm_id), False
        raise SwarmConflict(
            f"swarm {swarm_id} exists and was told otherwise: use another swarm_id, or "
            "start it exactly as before",
            swarm_id,
        )

    def record(
        self,
        view: SwarmView,
        facts: Sequence[NewFact],
        because: Because,
        *,
        expected: int | None = None,
        snapshot: bytes | None = None,
        is_listed: bool = True,
        took_s: float = 0.0,
        connection: Connection | None = None,
    ) -> Written:
        """Append facts if the swarm still stands where they were decided.

        Args:
            view: The swarm as it was when they were decided.
            facts: What has happened.
            because: What made it happen.
            expected: The version that the stream must be at; None: the view's;
                ``ANY_VERSION``: whichever, for facts that are true in any case.
            snapshot: The state's bytes, to be kept.
            is_listed: Whether lists and the sweep are to know of it at once, too.
            took_s: How long what was done took, seconds: what follows may take as
                long, and is waited for ten times as long before it counts as lost.
            connection: Joins its transaction.
        """
        now = self.db.clock.now()
        after = view
        for at, fact in enumerate(facts, start=1):
            event = SwarmEvent(view.version + at, fact.type, fact.data, now)
            after = apply(after, event)
        status, version, recorded_at = self._write(
            after,
            view.version if expected is None else expected,
            facts,
            because,
            snapshot=snapshot,
            is_listed=is_listed,
            still_s=max(self.still_s, min(_TIMES * took_s, _LONGEST_S)),
            connection=connection,
        )
        if status is _Status.CONFLICT:
            return Written(None)
        if status is _Status.DUPLICATE:
            return Written(evolve(after, version=version))
        after = evolve(after, version=version, moved_at=recorded_at)
        if after.ended_at is not None:
            after = evolve(after, ended_at=recorded_at)
        return Written(after, is_new=True)

    def act(
        self,
        swarm_id: str,
        decide: Callable[[SwarmView], NewFact | None],
        because: Because,
    ) -> SwarmView:
        """Record what is decided by where a swarm stands, which it does meanwhile.

        One that moves many times a second would have moved on before a decision upon it
        is on record. It takes several round trips.

        Args:
            swarm_id: Which swarm.
            decide: Returns the fact; None: there is nothing to record. It may be called
                more than once, and what it raises is raised here.
            because: What makes it happen.

        Raises:
            SwarmNotFound: There is no such swarm.
        """

        def run() -> SwarmView:
            with self.db.begin() as held:
                self.db.rows(self.sql["hold"], (swarm_id,), connection=held)
                view = self.view(swarm_id, connection=held)
                fact = decide(view)
                if fact is None:
                    return view
                after = self.record(view, [fact], because, connection=held).view
                assert after is not None, "it stands still"  # noqa: S101
                held.commit()
                return after

        return self.db.patiently(run)

    def read(
        self,
        swarm_id: str,
        *,
        after: int = 0,
        whole: bool = False,
        connection: Connection | None = None,
    ) -> tuple[SwarmEvent, ...]:
        """Return a swarm's events after a version; none if there is no such swarm.

        Args:
            swarm_id: Whose.
            after: The version.
            whole: Whether all of them, or of those that tell of iterations the last.
            connection: Reads in its transaction.
        """
        asked = (swarm_id, after, whole)
        rows = self.db.rows(self.sql["read"], asked, connection=connection)
        self.db.clock.heard(rows[0][0])
        return tuple(
            SwarmEvent(
                version=row[1],
                type=EventType(row[2]),
                data=json.loads(bytes(row[4])),
                recorded_at=row[3].astimezone(UTC),  # whatever zone the server is in
            )
            for row in rows
            if row[1] is not None
        )

    def view(self, swarm_id: str, *, connection: Connection | None = None) -> SwarmView:
        """Return where a swarm stands, as a connection's transaction sees it.

        Raises:
            SwarmNotFound: There is no such swarm.
        """
        view = fold(swarm_id, self.read(swarm_id, connection=connection))
        if view is None:
            raise SwarmNotFound(f"there is no swarm {swarm_id}", swarm_id)
        return view

    def iterations(self, swarm_id: str) -> Iterator[Mapping[str, Any]]:
        """Return what was recorded of iterations, oldest first, by several reads."""
        for event in self.read(swarm_id, whole=True):
            if event.type is EventType.SWARM_ITERATED:
                yield event.data

    def snapshot(self, swarm_id: str) -> Snapshot | None:
        """Return the state that was kept last."""
        rows = self.db.rows(self.sql["snapshot"], (swarm_id,))
        return Snapshot(rows[0][0], bytes(rows[0][1])) if rows else None

    def heal(self, view: SwarmView) -> None:
        """Put an open swarm's row right, if it was lost."""
        if view.status.is_over or self.db.rows(self.sql["is_listed"], (view.swarm_id,)):
            return
        parameters = (
            view.swarm_id,
            view.kind,
            view.name,
            str(view.status),
            view.version,
            view.started_at,
            view.deadline,
            view.iteration,
            view.best,
            view.convergence,
            view.moved_at,
            self.still_s,
        )
        self.db.rows(self.sql["heal"], parameters)

    def over(self, swarm_ids: Sequence[str]) -> tuple[str, ...]:
        """Return which of these swarms are over."""
        rows = self.db.rows(self.sql["over"], (list(swarm_ids),))
        return tuple(row[0] for row in rows)

    def note_waiting(self, swarm_id: str, what: str) -> None:
        """Show in the swarm's status what it waits for."""
        self.db.rows(self.sql["wait_for"], (what, swarm_id))

    def waiting_for(self, swarm_id: str) -> str | None:
        """Return what was noted, until the swarm moved on."""
        rows = self.db.rows(self.sql["waiting_for"], (swarm_id,))
        return rows[0][0] if rows else None

    def claim_due(self, limit: int) -> tuple[tuple[str, int], ...]:
        """Return swarms that stand still, and how often they were claimed since.

        Each is looked at again later, twice as late every time, at most after 5 min.
        """
        rows = self.db.rows(self.sql["claim_due"], (limit, self.still_s))
        return tuple((row[0], row[1]) for row in rows)

    def listed(
        self, *, state: str | None = None, limit: int = 50
    ) -> tuple[SwarmSummary, ...]:
        """Return swarms, newest first."""
        rows = self.db.rows(self.sql["listed"], {"state": state, "limit": limit})
        names = SwarmSummary.__dataclass_fields__
        return tuple(SwarmSummary(**dict(zip(names, row, strict=True))) for row in rows)

    def retire(self, older_than_s: float, limit: int) -> int:
        """Forget rows of swarms that ended long ago; return how many."""
        return int(self.db.rows(self.sql["retire"], (older_than_s, limit))[0][0])

    def _write(
        self,
        after: SwarmView,
        expected: int,
        facts: Sequence[NewFact],
        because: Because,
        *,
        snapshot: bytes | None,
        is_listed: bool = True,
        still_s: float | None = None,
        connection: Connection | None = None,
        is_first: bool = False,
    ) -> tuple[_Status, int, datetime]:
        swarm_id = after.swarm_id
        parameters = (
            swarm_id,
            expected,
            [
                str(fact.event_id(swarm_id, expected + at))
                for at, fact in enumerate(facts)
            ],
            [str(fact.type) for fact in facts],
            [canonical_bytes(fact.data) for fact in facts],
            str(swarm_uuid(swarm_id)),
            because.causation,
            because.actor,
            because.metadata,
            after.kind,
            after.name,
            str(after.status),
            after.status.is_over,
            None if is_first else after.started_at,
            after.deadline,
            after.iteration,
            after.best,
            after.convergence,
            self.still_s if still_s is None else still_s,
            is_listed,
            snapshot,
        )
        rows = self.db.rows(self.sql["record"], parameters, connection=connection)
        status, now, version, recorded_at = rows[0]
        self.db.clock.heard(now)
        return _Status(status), version, (recorded_at or now).astimezone(UTC)
