"""The log of sagas in memory: what ``adapters.saga_log`` does in Postgres."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from eventstore import canonical_bytes
from orchestration.adapters.saga_index import Notice
from orchestration.adapters.saga_records import (
    Answer,
    Because,
    Lease,
    LeaseChange,
    Record,
    Start,
    Status,
)
from orchestration.core.saga.events import NewFact, SagaEvent
from orchestration.core.saga.fold import apply, fold
from orchestration.core.saga.model import Direction
from orchestration.core.saga.timing import RESEND_AFTER
from orchestration.core.saga.view import SagaView
from orchestration.errors import SagaConflict, SagaNotFound
from orchestration.testing.tables import (
    EndedRow,
    LeaseRow,
    LetterRow,
    LockRow,
    OpenRow,
    Tables,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["MemoryLog"]

_HEALED_LEASE: Final = timedelta(seconds=15)
_LONGEST_LETTER_WAIT_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """The sagas of one process' memory; answers as ``SagaLog`` does."""

    tables: Tables

    def begin(
        self, start: Start, because: Because, *, connection: Connection | None = None
    ) -> SagaView | None:
        """Begin a saga and return it; None if this very saga has begun before.

        Raises:
            SagaConflict: The id is taken by another definition or other input.
        """
        del because
        tables, transaction, fact = self.tables, start.transaction, start.fact
        saga_id = transaction.transaction_id
        if known := tables.streams.get(saga_id):
            if canonical_bytes(known[0].data) == canonical_bytes(fact.data):
                return None
            raise SagaConflict(
                f"saga {saga_id} exists with another definition or other input: use "
                "another transaction_id, or start it exactly as before",
                saga_id,
            )
        now = tables.clock.now()
        look_after = min(RESEND_AFTER, timedelta(milliseconds=transaction.timeout_ms))
        self._append(saga_id, [fact], now)
        tables.open[saga_id] = OpenRow(
            name=transaction.name,
            state="RUNNING",
            version=1,
            started_at=now,
            check_at=now + (look_after if connection is None else timedelta()),
            parent=start.parent.saga_id if start.parent else None,
            has_locks=bool(transaction.locks),
            is_unsent=connection is not None,
        )
        if transaction.search_attributes:
            tables.attributes[saga_id] = dict(transaction.search_attributes)
        return self.view(saga_id)

    def record(
        self, record: Record, because: Because, *, connection: Connection | None = None
    ) -> Answer:
        """Append a decision if the saga still stands where it was taken."""
        del because, connection
        tables, saga_id, now = self.tables, record.saga_id, self.tables.clock.now()
        row = tables.open.get(saga_id) or _reopened(record)
        stands_at = len(tables.streams.get(saga_id, ()))
        status = Status.CLOSED if row is None else Status.OK
        if row is not None and (row.version, record.expected) != (stands_at, stands_at):
            if row.version != stands_at and saga_id in tables.open:
                self.heal(saga_id)  # the row was lost or restored from elsewhere
            status = Status.CONFLICT
        elif record.change is LeaseChange.TAKE and (limit := record.limit) is not None:
            wait = tables.wait_for_agent(
                limit.agent_id, limit.max_concurrent, limit.max_per_s
            )
            if wait:
                return Answer(Status.BUSY, now, wait_ms=ceil(wait / _MS))
        elif row is not None:
            status = self._give_up_lease(record, now)
        if row is None or status is not Status.OK:
            return replace(self.read(saga_id), status=status)
        self._append(saga_id, record.facts, now)
        self._change_rows(record, row, now)
        events = tables.streams[saga_id]
        after = len(events) if record.read_after is None else record.read_after
        return Answer(Status.OK, now, events[after:], now)

    def _give_up_lease(self, record: Record, now: datetime) -> Status:
        """Drop or expire a lease, if that is asked and may be."""
        leases, lease = self.tables.leases, record.lease
        held = leases.get(_key(lease)) if lease else None
        if lease is None or record.change not in (LeaseChange.DROP, LeaseChange.EXPIRE):
            return Status.OK
        if record.change is LeaseChange.DROP:
            if held is None or (held.attempt, held.owner) != (
                lease.attempt,
                lease.owner,
            ):
                return Status.FENCED
        elif held is None:
            return Status.OK
        elif held.attempt != lease.attempt or held.until >= now:
            return Status.HELD
        del leases[_key(lease)]
        return Status.OK

    def _append(self, saga_id: str, facts: Sequence[NewFact], now: datetime) -> None:
        events = self.tables.streams.get(saga_id, ())
        for fact in facts:
            identity = fact.event_id(saga_id, len(events))
            if identity in self.tables.event_ids:
                # Postgres would refuse it each time: no decision may come to this.
                raise ValueError(f"saga {saga_id}: {fact} is on record already")
            self.tables.event_ids[identity] = saga_id
            data = json.loads(canonical_bytes(fact.data))
            events += (SagaEvent(len(events) + 1, fact.type, data, now),)
        self.tables.streams[saga_id] = events

    def _change_rows(self, record: Record, row: OpenRow, now: datetime) -> None:
        """Have the side tables follow; ``orch.saga_record`` below its append."""
        tables, saga_id, state = self.tables, record.saga_id, str(record.state)
        is_going = state in ("RUNNING", "COMPENSATING")
        version = len(tables.streams[saga_id])
        if record.is_over:
            tables.open.pop(saga_id, None)
            ended_at = record.beside.get("reopen", {}).get("ended_at")
            tables.ended[saga_id] = EndedRow(
                name=row.name,
                state=state,
                started_at=row.started_at,
                ended_at=datetime.fromisoformat(ended_at) if ended_at else now,
            )
            if row.has_locks:
                tables.give_back_locks(saga_id)
        else:
            tables.ended.pop(saga_id, None)
            looks = [at for at in (row.check_at, record.check_at) if at is not None]
            if record.check_at is None and not is_going:
                looks = []
            tables.open[saga_id] = replace(
                row,
                version=version,
                state=state,
                gives_up=record.gives_up,
                is_unsent=False,
                check_at=min(looks, default=None),
                waiting_for=None,
            )
        if row.parent is not None and not is_going:
            tables.change(row.parent, check_at=now)
        if record.change is LeaseChange.TAKE and record.lease is not None:
            tables.leases[_key(record.lease)] = LeaseRow(
                attempt=record.lease.attempt,
                owner=record.lease.owner,
                until=now + timedelta(seconds=min(record.lease_s, record.limit_s)),
                hard_until=now + timedelta(seconds=record.limit_s),
                agent=record.limit.agent_id if record.limit else None,
            )
        self._write_beside(record, row.name, version, now)

    def _write_beside(
        self, record: Record, name: str, version: int, now: datetime
    ) -> None:
        """Write what is rare; ``orch.saga_beside``."""
        letters, saga_id, beside = self.tables.letters, record.saga_id, record.beside
        if "kept" in beside:
            for key in [k for k in letters if k[0] == saga_id]:
                if key[1] not in beside["kept"]:
                    del letters[key]
        for step in beside.get("retried", ()):
            if (old := letters.get((saga_id, step))) is not None:
                letters[saga_id, step] = replace(old, next_try_at=None)
        for letter in beside.get("letters", ()):
            key = (saga_id, letter["step"])
            letters[key] = _letter(letters.get(key), letter, beside, now)
        if "notice" in beside:
            notices = self.tables.notices
            notice = Notice(
                notice_id=max(notices, default=0) + 1,
                saga_id=saga_id,
                name=name,
                state=str(record.state),
                version=version,
                recorded_at=now,
                error=beside["notice"]["error"],
                tries=0,
            )
            notices[notice.notice_id] = notice, now

    def read(self, saga_id: str) -> Answer:
        """Return all events of a saga; none if there is no such saga."""
        tables = self.tables
        return Answer(Status.OK, tables.clock.now(), tables.streams.get(saga_id, ()))

    def view(self, saga_id: str) -> SagaView:
        """Return a saga's state.

        Raises:
            SagaNotFound: There is no such saga.
        """
        events, view = self.read(saga_id).events, self.tables.views.get(saga_id)
        if view is None:
            view = fold(saga_id, events)
        if view is None:
            raise SagaNotFound(f"there is no saga {saga_id}", saga_id)
        for event in events[view.version :]:
            view = apply(view, event)
        self.tables.views[saga_id] = view
        return view

    def heal(self, saga_id: str, connection: Connection | None = None) -> None:
        """Rebuild a saga's rows in the side tables from its events."""
        del connection
        tables, view, now = self.tables, self.view(saga_id), self.tables.clock.now()
        state, name = str(view.state), view.transaction.name
        if view.state.is_over:
            tables.open.pop(saga_id, None)
            ended = EndedRow(
                name=name,
                state=state,
                started_at=view.started_at,
                ended_at=view.ended_at or now,
            )
            tables.ended.setdefault(saga_id, ended)
            return
        row = tables.open.get(saga_id) or OpenRow(
            name=name, state=state, version=0, started_at=view.started_at
        )
        if row.version != view.version:
            row = replace(
                row,
                state=state,
                version=view.version,
                gives_up=view.cause is not None,
                check_at=now,
            )
        parent = view.parent.saga_id if view.parent else None
        has_locks = bool(view.lock_names)
        if (row.parent, row.has_locks) != (parent, has_locks):
            row = replace(row, parent=parent, has_locks=has_locks)
            self._heal_locks(view)
        tables.open[saga_id] = row
        for direction in Direction:
            for step in view.running(direction):
                self._heal_lease(view, step, direction, now)
        if view.transaction.search_attributes:
            attributes = dict(view.transaction.search_attributes)
            tables.attributes.setdefault(saga_id, attributes)

    def _heal_lease(
        self, view: SagaView, step: str, direction: Direction, now: datetime
    ) -> None:
        phase = view.phase(step, direction)
        limit = timedelta(milliseconds=view.plan.limit_ms(step))
        if phase.started_at is None or not limit:
            return
        hard_until = phase.started_at + limit
        self.tables.leases.setdefault(
            (view.saga_id, step, direction),
            LeaseRow(
                attempt=phase.attempt,
                owner=phase.token,
                until=min(now + _HEALED_LEASE, hard_until),
                hard_until=hard_until,
            ),
        )

    def _heal_locks(self, view: SagaView) -> None:
        for name, fence in (view.locks or {}).items():
            known = self.tables.locks.get(name, LockRow())
            self.tables.locks[name] = LockRow(
                holder=known.holder or view.saga_id, fence=max(known.fence, fence)
            )

    def transaction(self) -> AbstractContextManager[Connection]:
        """Return a transaction that commits at its end, unless an error ends it."""
        return self.tables.transaction()

    def take_locks(
        self, saga_id: str, names: Sequence[str], connection: Connection
    ) -> dict[str, int] | None:
        """Take all of a saga's locks, or none and wait in line."""
        del connection
        fences = self.tables.take_locks(saga_id, names)
        return None if fences is None else dict(zip(names, fences, strict=True))

    def next_in_line(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the sagas whose turn it is for those of these locks that are free."""
        return self.tables.next_in_line(names)

    def note_waiting(self, saga_id: str, what: str) -> None:
        """Show in the saga's status what it waits for."""
        self.tables.change(saga_id, waiting_for=what)

    def waiting_for(self, saga_id: str) -> str | None:
        """Return what was noted, until the saga moved on."""
        row = self.tables.open.get(saga_id)
        return row.waiting_for if row else None

    def over(self, saga_ids: Sequence[str]) -> tuple[str, ...]:
        """Return which of these sagas are no longer on their way."""
        rows = self.tables.open
        return tuple(s for s in saga_ids if s not in rows or not rows[s].is_going)


_MS: Final = timedelta(milliseconds=1)


def _key(lease: Lease) -> tuple[str, str, Direction]:
    return lease.saga_id, lease.step, lease.direction


def _reopened(record: Record) -> OpenRow | None:
    """Return the row of a saga that was over and goes on."""
    told = record.beside.get("reopen")
    if told is None:
        return None
    return OpenRow(
        name=told["name"],
        state=str(record.state),
        version=record.expected,
        started_at=datetime.fromisoformat(told["started_at"]),
        parent=told["parent"],
        has_locks=told["has_locks"],
    )


def _letter(
    old: LetterRow | None,
    told: Mapping[str, Any],
    beside: Mapping[str, Any],
    now: datetime,
) -> LetterRow:
    """Return an undo's dead letter, first or once more."""
    wait_s = float(beside["try_again_s"])
    if old is None:
        next_try_at = now + timedelta(seconds=wait_s)
        return LetterRow(error=told["error"], since=now, next_try_at=next_try_at)
    tries = old.tries + 1
    wait_s = min(_LONGEST_LETTER_WAIT_S, wait_s * 2 ** min(tries, 20))
    is_left = tries < beside["max_tries"]
    return replace(
        old,
        error=told["error"],
        tries=tries,
        next_try_at=now + timedelta(seconds=wait_s) if is_left else None,
    )
