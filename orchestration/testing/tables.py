"""The events and side tables of sagas, in the memory of one process.

What the columns mean is told by ``adapters/sql/migrations``; rows are values, so that
a copy of the tables is a copy of their dicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from orchestration.adapters.saga_index import Notice
from orchestration.core.saga.events import SagaEvent
from orchestration.core.saga.model import Direction
from orchestration.core.saga.view import SagaView
from orchestration.testing.clock import FakeClock

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["EndedRow", "LeaseRow", "LetterRow", "LockRow", "OpenRow", "Tables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRow:
    """``orch.open_saga``."""

    name: str
    state: str
    version: int
    started_at: datetime
    gives_up: bool = False
    check_at: datetime | None = None
    waiting_for: str | None = None
    parent: str | None = None
    has_locks: bool = False
    is_unsent: bool = False

    @property
    def is_going(self) -> bool:
        """Whether it is neither over nor standing still."""
        return self.state in _GOING


_GOING = ("RUNNING", "COMPENSATING")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRow:
    """``orch.ended_saga``."""

    name: str
    state: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """``orch.lease``."""

    attempt: int
    owner: str
    until: datetime
    hard_until: datetime
    agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRow:
    """``orch.saga_lock``."""

    holder: str | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """``orch.dead_letter``."""

    error: Mapping[str, Any]
    since: datetime
    tries: int = 0
    next_try_at: datetime | None = None


@dataclass(slots=True)
class Tables:
    """All there is of some sagas; not for several threads at once.

    Attributes:
        streams: Each saga's events, oldest first.
        event_ids: Ids of all events.
        open: Sagas that are not over.
        leases: Who holds which attempt, by saga, step and direction.
        waits: Since when which saga waits for which lock, by lock and saga.
        rates: When an agent of limited rate may next be called.
        asked_at: When the last of those who wait for an agent is to ask again.
        ticks: The slot of each schedule that was last run.
        views: Sagas as they were last folded.
    """

    clock: FakeClock
    streams: dict[str, tuple[SagaEvent, ...]] = field(default_factory=dict)
    event_ids: dict[UUID, str] = field(default_factory=dict)
    open: dict[str, OpenRow] = field(default_factory=dict)
    ended: dict[str, EndedRow] = field(default_factory=dict)
    leases: dict[tuple[str, str, Direction], LeaseRow] = field(default_factory=dict)
    locks: dict[str, LockRow] = field(default_factory=dict)
    waits: dict[tuple[str, str], datetime] = field(default_factory=dict)
    letters: dict[tuple[str, str], LetterRow] = field(default_factory=dict)
    notices: dict[int, tuple[Notice, datetime]] = field(default_factory=dict)
    attributes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rates: dict[str, datetime] = field(default_factory=dict)
    asked_at: dict[str, datetime] = field(default_factory=dict)
    ticks: dict[str, int] = field(default_factory=dict)
    views: dict[str, SagaView] = field(default_factory=dict)

    def change(self, saga_id: str, **columns: Any) -> None:  # noqa: ANN401
        """Change columns of an open saga's row, if there is one."""
        if (row := self.open.get(saga_id)) is not None:
            self.open[saga_id] = replace(row, **columns)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Return a transaction that commits at its end, unless an error ends it."""
        transaction = _Transaction(self)
        try:
            yield cast("Connection", transaction)
        except BaseException:
            transaction.rollback()
            raise

    def wait_for_agent(
        self, agent: str, at_most: int | None, per_s: float | None
    ) -> timedelta:
        """Return how long an agent may not be called yet; ``orch.agent_wait``."""
        now = self.clock.now()
        held = [r for r in self.leases.values() if r.agent == agent and r.until > now]
        soonest, gap = None, timedelta()
        if at_most is not None and len(held) >= at_most:
            soonest, gap = now + timedelta(seconds=0.25), timedelta(seconds=0.05)
        elif per_s is not None and self.rates.get(agent, now) > now:
            soonest, gap = self.rates[agent], timedelta(seconds=0.5 / per_s)
        if soonest is not None:
            asked = self.asked_at.get(agent)
            if asked is not None:
                soonest = max(soonest, min(asked + gap, now + timedelta(seconds=5)))
            self.rates.setdefault(agent, now)
            self.asked_at[agent] = soonest
            return soonest - now
        if per_s is not None:
            between = timedelta(seconds=1 / per_s)
            free_at = self.rates.get(agent, now)
            self.rates[agent] = max(free_at, now - between) + between
            self.asked_at.setdefault(agent, now)
        return timedelta()

    def take_locks(self, saga_id: str, names: Iterable[str]) -> list[int] | None:
        """Take all of a saga's locks, or none and wait in line; ``orch.saga_locks``."""
        row = self.open.get(saga_id)
        if row is None:
            return None
        wanted = tuple(names)
        for name in wanted:
            self.locks.setdefault(name, LockRow())
            self.waits.setdefault((name, saga_id), row.started_at)
        if any(self.locks[name].holder not in (None, saga_id) for name in wanted):
            return None
        mine = (row.started_at, saga_id)
        for (name, other), since in self.waits.items():
            is_rival = name in wanted and other != saga_id and self._is_waiting(other)
            if is_rival and (since, other) < mine:
                return None
        for name in wanted:
            fence = self.locks[name].fence + 1
            self.locks[name] = LockRow(holder=saga_id, fence=fence)
        self.waits = {key: at for key, at in self.waits.items() if key[1] != saga_id}
        return [self.locks[name].fence for name in wanted]

    def next_in_line(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return who has waited longest for each of these locks that is free."""
        first: dict[str, tuple[datetime, str]] = {}
        for (name, saga_id), since in self.waits.items():
            row = self.locks.get(name)
            if row is not None and row.holder is None and self._is_waiting(saga_id):
                first[name] = min(first.get(name, (since, saga_id)), (since, saga_id))
        found = (first[name][1] for name in sorted({*names} & first.keys()))
        return tuple(dict.fromkeys(found))

    def _is_waiting(self, saga_id: str) -> bool:
        """Whether a saga in a line for locks would take them."""
        row = self.open.get(saga_id)
        if row is None:
            return False
        return row.state == "COMPENSATING" or (
            row.state == "RUNNING" and not row.gives_up
        )

    def give_back_locks(self, saga_id: str) -> None:
        """Free a saga's locks and its place in the line; ``orch.saga_unlock``."""
        held = {name for name, row in self.locks.items() if row.holder == saga_id}
        names = held | {name for name, other in self.waits if other == saga_id}
        for name in held:
            self.locks[name] = replace(self.locks[name], holder=None)
        self.waits = {key: at for key, at in self.waits.items() if key[1] != saga_id}
        for name, other in self.waits:
            if name in names:
                self.change(other, check_at=self.clock.now())


class _Transaction:
    """As much of a connection as the engine uses of one."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._before = self._state()

    def commit(self) -> None:
        self._before = self._state()

    def rollback(self) -> None:
        for name, value in self._before.items():
            setattr(self._tables, name, dict(value))

    def _state(self) -> dict[str, dict[Any, Any]]:
        return {
            f.name: dict(getattr(self._tables, f.name))
            for f in fields(Tables)
            if f.name != "clock"
        }
