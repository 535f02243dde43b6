"""Partitions of swarms in Postgres: each committed once, whoever comes how often."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from eventstore import canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import Because
from orchestration.core.swarm.events import NewFact, swarm_uuid
from orchestration.core.swarm.partitions.facts import KIND

__all__ = ["PartitionLog"]

_OVER: Final = "OR003"


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """What swarms that share out partitions record besides what all swarms do.

    Every method is one round trip, and safe to repeat when the connection was lost in
    the middle of it.
    """

    db: Database
    sql: Mapping[str, str] = field(
        default_factory=lambda: load_queries("partitions.sql")
    )

    def record(
        self,
        swarm_id: str,
        facts: Sequence[NewFact],
        because: Because,
        *,
        ticked: tuple[int, float] | None = None,
    ) -> tuple[bool, ...] | None:
        """Record facts, each of them once.

        Args:
            swarm_id: The swarm.
            facts: What has happened.
            because: What made it happen.
            ticked: How many ticks there were, and the convergence, for lists.

        Returns:
            Of each fact whether it is on record, and not another one in its place; None
            if the swarm is over, and nothing was recorded.
        """
        iteration, convergence = ticked or (None, None)
        parameters = (
            swarm_id,
            [str(fact.event_id(swarm_id, 0)) for fact in facts],
            [str(fact.type) for fact in facts],
            [canonical_bytes(fact.data) for fact in facts],
            str(swarm_uuid(swarm_id)),
            because.causation,
            because.actor,
            because.metadata,
            iteration,
            convergence,
        )
        try:
            rows = self.db.rows(self.sql["record"], parameters)
        except DBAPIError as exc:
            if getattr(exc.orig, "pgcode", None) == _OVER:
                return None
            raise
        self.db.clock.heard(rows[-1][3])
        return tuple(row[0] in ("ok", "duplicate") for row in rows)

    def open(self, limit: int) -> tuple[str, ...]:
        """Return swarms of this kind that are not over, the oldest first."""
        rows = self.db.rows(self.sql["open"], (KIND, limit))
        return tuple(row[0] for row in rows)

    def head(self, swarm_id: str) -> str:
        """Return the hash of a swarm's last event, in hex; empty: it has none."""
        rows = self.db.rows(self.sql["head"], (swarm_id,))
        return str(rows[0][0]) if rows else ""

    def results(self, swarm_id: str) -> tuple[Mapping[str, Any], ...]:
        """Return what is on record of partitions that are done, by partition."""
        rows = self.db.rows(self.sql["results"], (swarm_id,))
        told = [json.loads(bytes(row[0])) for row in rows]
        return tuple(sorted(told, key=lambda one: int(one["partition"])))
