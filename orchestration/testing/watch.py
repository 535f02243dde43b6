"""What the sweep, the keepers of leases and the lists ask, answered from memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestration.adapters.saga_index import (
    DeadLetter,
    DueLetter,
    Notice,
    SagaSummary,
)
from orchestration.adapters.saga_records import Lease
from orchestration.core.saga.model import Direction
from orchestration.core.saga.view import SagaView
from orchestration.testing.tables import LeaseRow, Tables

__all__ = ["MemoryIndex", "MemoryWatch"]

_LOOK_AGAIN: Final = timedelta(seconds=10)
_PUT_OFF: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MemoryWatch:
    """The leases, looks and ticks; answers as ``SagaWatch`` does."""

    tables: Tables

    def claim_due(self, limit: int) -> tuple[tuple[str, bool], ...]:
        """Return sagas to look at now, and whether nobody has sent anything of one.

        Each is looked at again in 10 s at the latest.
        """
        tables, now = self.tables, self.tables.clock.now()
        due = sorted(
            (row.check_at, saga_id)
            for saga_id, row in tables.open.items()
            if row.check_at is not None and row.check_at <= now
        )[:limit]
        for _, saga_id in due:
            tables.change(saga_id, check_at=now + _LOOK_AGAIN)
        return tuple((saga_id, tables.open[saga_id].is_unsent) for _, saga_id in due)

    def look_at(self, view: SagaView, at: datetime | None) -> None:
        """Have the sweep look at a saga then, if it has not moved on."""
        row = self.tables.open.get(view.saga_id)
        if row is not None and row.version == view.version:
            self.tables.change(view.saga_id, check_at=at)

    def expired(self, limit: int, lease_s: float) -> tuple[Lease, ...]:
        """Return attempts whose holder has not been heard of in time."""
        del lease_s  # there is no server that could have been away
        now = self.tables.clock.now()
        out = [(row.until, k) for k, row in self.tables.leases.items()]
        late = sorted((until, key) for until, key in out if until < now)[:limit]
        return tuple(Lease(*key, self.tables.leases[key].attempt) for _, key in late)

    def forget_lease(self, lease: Lease) -> None:
        """Drop a lease that ran out and whose attempt is closed already."""
        if self._run_out(lease) is not None:
            del self.tables.leases[lease.saga_id, lease.step, lease.direction]

    def put_off(self, lease: Lease) -> None:
        """Look at a lease that ran out again in a minute, not at once."""
        if (row := self._run_out(lease)) is not None:
            until = self.tables.clock.now() + _PUT_OFF
            key = (lease.saga_id, lease.step, lease.direction)
            self.tables.leases[key] = replace(row, until=until)

    def _run_out(self, lease: Lease) -> LeaseRow | None:
        row = self.tables.leases.get((lease.saga_id, lease.step, lease.direction))
        if row is None or row.attempt != lease.attempt:
            return None
        return row if row.until < self.tables.clock.now() else None

    def renew(self, leases: Iterable[Lease], lease_s: float) -> dict[str, bool]:
        """Prolong leases; return whether the saga has given up, by owner still held."""
        tables, out = self.tables, {}
        until = tables.clock.now() + timedelta(seconds=lease_s)
        for lease in leases:
            key = (lease.saga_id, lease.step, lease.direction)
            row, saga = tables.leases.get(key), tables.open.get(lease.saga_id)
            if row is not None and saga is not None and row.owner == lease.owner:
                tables.leases[key] = replace(row, until=min(until, row.hard_until))
                is_do = lease.direction is Direction.DO
                out[lease.owner] = saga.gives_up and is_do
        return out

    def claim_tick(self, name: str, period_s: float) -> bool:
        """Return whether this call is the first of the schedule's current slot."""
        since = (self.tables.clock.now() - _EPOCH).total_seconds()
        slot, known = int(since // period_s), self.tables.ticks.get(name)
        if known is not None and known in (slot, slot + 1):
            return False
        self.tables.ticks[name] = slot
        return True


@dataclass(frozen=True, slots=True)
class MemoryIndex:
    """The lists; answers as ``SagaIndex`` does."""

    tables: Tables

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
        """Return sagas, newest first; see ``SagaIndex``."""
        wanted = dict(attributes or {})
        found = [
            one
            for one in self._all()
            if state in (None, one.state)
            and name in (None, one.name)
            and wanted.items() <= one.search_attributes.items()
            and (started_after is None or one.started_at >= started_after)
            and (started_before is None or one.started_at < started_before)
            and (after is None or _place(one) < _place(after))
        ]
        return tuple(sorted(found, key=_place, reverse=True)[:limit])

    def _all(self) -> Iterable[SagaSummary]:
        attributes = self.tables.attributes
        for saga_id, row in self.tables.open.items():
            yield SagaSummary(
                saga_id=saga_id,
                name=row.name,
                state=row.state,
                started_at=row.started_at,
                ended_at=None,
                waiting_for=row.waiting_for,
                parent_id=row.parent,
                search_attributes=attributes.get(saga_id, {}),
            )
        for saga_id, ended in self.tables.ended.items():
            yield SagaSummary(
                saga_id=saga_id,
                name=ended.name,
                state=ended.state,
                started_at=ended.started_at,
                ended_at=ended.ended_at,
                waiting_for=None,
                search_attributes=attributes.get(saga_id, {}),
            )

    def count_open(self, at_most: int) -> int:
        """Return how many sagas are open, counted no further than ``at_most``."""
        return min(at_most, len(self.tables.open))

    def letters(
        self, saga_id: str | None = None, *, limit: int = 100
    ) -> tuple[DeadLetter, ...]:
        """Return undos that failed for good, the longest first."""
        found = [
            DeadLetter(
                saga_id=key[0],
                name=self.tables.open[key[0]].name
                if key[0] in self.tables.open
                else None,
                step=key[1],
                error=row.error,
                since=row.since,
                tries=row.tries,
                next_try_at=row.next_try_at,
            )
            for key, row in self.tables.letters.items()
            if saga_id in (None, key[0])
        ]
        found.sort(key=lambda one: (one.since, one.saga_id, one.step))
        return tuple(found[:limit])

    def due_letters(self, limit: int) -> tuple[DueLetter, ...]:
        """Return undos to be tried again now."""
        letters, now = self.tables.letters, self.tables.clock.now()
        times = [(row.next_try_at, key) for key, row in letters.items()]
        due = sorted((at, k) for at, k in times if at is not None and at <= now)
        for _, key in due[:limit]:
            letters[key] = replace(letters[key], next_try_at=now + _PUT_OFF)
        return tuple(DueLetter(*key, letters[key].tries, now) for _, key in due[:limit])

    def due_notices(self, limit: int) -> tuple[Notice, ...]:
        """Return words to deliver now; what is not dropped comes again, later."""
        notices, now = self.tables.notices, self.tables.clock.now()
        first: dict[str, int] = {}
        for number in sorted(notices):  # of each saga the oldest only
            first.setdefault(notices[number][0].saga_id, number)
        due = sorted((notices[i][1], i) for i in first.values())
        due = [(at, i) for at, i in due if at <= now][:limit]
        for _, number in due:
            notice = notices[number][0]
            wait = timedelta(seconds=10) * 2 ** min(notice.tries, 6)
            notices[number] = replace(notice, tries=notice.tries + 1), now + wait
        return tuple(notices[number][0] for _, number in due)

    def drop_notice(self, notice: Notice) -> None:
        """Forget a word that was delivered."""
        self.tables.notices.pop(notice.notice_id, None)

    def retire(self, older_than_s: float, limit: int) -> int:
        """Forget rows of sagas that ended long ago; return how many."""
        tables, before = self.tables, self.tables.clock.now()
        before -= timedelta(seconds=older_than_s)
        old = sorted((r.ended_at, s) for s, r in tables.ended.items())
        gone = [saga_id for at, saga_id in old if at < before][:limit]
        for saga_id in gone:
            del tables.ended[saga_id]
            tables.attributes.pop(saga_id, None)
        return len(gone)


def _place(one: SagaSummary) -> tuple[datetime, str]:
    return one.started_at, one.saga_id
