"""What the sweep and the keepers of leases ask of the side tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import Lease
from orchestration.core.saga.model import Direction
from orchestration.core.saga.view import SagaView

__all__ = ["SagaWatch"]


@dataclass(frozen=True, slots=True)
class SagaWatch:
    """The leases, looks and ticks of one database; each method is one round trip."""

    db: Database
    sql: Mapping[str, str] = field(default_factory=lambda: load_queries("sagas.sql"))

    def claim_due(self, limit: int) -> tuple[tuple[str, bool], ...]:
        """Return sagas to look at now, and whether nobody has sent anything of one.

        Each is looked at again in 10 s at the latest.
        """
        rows = self.db.rows(self.sql["claim_due"], (limit,))
        return tuple((row[0], row[1]) for row in rows)

    def look_at(self, view: SagaView, at: datetime | None) -> None:
        """Have the sweep look at a saga then, if it has not moved on."""
        self.db.rows(self.sql["look_at"], (at, view.saga_id, view.version))

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

    def claim_tick(self, name: str, period_s: float) -> bool:
        """Return whether this call is the first of the schedule's current slot."""
        return bool(self.db.rows(self.sql["claim_tick"], (name, period_s)))
