"""One log in memory and one in Postgres, asked the same and bound to agree.

The database's clock is replaced by the world's, so that even times are equal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from orchestration.adapters.database import Database
from orchestration.adapters.saga_index import SagaIndex
from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_records import Answer
from orchestration.adapters.saga_watch import SagaWatch
from orchestration.adapters.schema import migrate_all
from orchestration.errors import OrchestrationError
from orchestration.testing.clock import FakeClock
from orchestration.testing.log import MemoryLog
from orchestration.testing.mishaps import Chance
from orchestration.testing.tables import Tables
from orchestration.testing.watch import MemoryIndex, MemoryWatch

# Unqualified names are looked up here first.
FAKE_TIME = """
CREATE SCHEMA fake;
CREATE TABLE fake.clock (now timestamptz NOT NULL);
INSERT INTO fake.clock VALUES ('2026-01-01 UTC');
CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz
LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN (SELECT now FROM fake.clock); END $$;
CREATE FUNCTION fake.pg_postmaster_start_time() RETURNS timestamptz
LANGUAGE sql AS $$ SELECT timestamptz '2000-01-01 UTC' $$;
GRANT USAGE ON SCHEMA fake TO PUBLIC;
GRANT SELECT ON fake.clock TO PUBLIC;
DO $$
DECLARE v_name regprocedure;
BEGIN
    EXECUTE format(
        'ALTER DATABASE %%I SET search_path = fake, pg_catalog, public',
        current_database()
    );
    FOR v_name IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = 'es'::regnamespace AND p.proname LIKE 'append%%'
    LOOP
        EXECUTE format('ALTER FUNCTION %%s SET search_path = fake, pg_catalog', v_name);
    END LOOP;
END $$;
"""
SIDE_TABLES = (
    "open_saga",
    "ended_saga",
    "lease",
    "saga_lock",
    "lock_wait",
    "search_attributes",
    "dead_letter",
    "notice",
    "agent_rate",
    "tick",
)
UNORDERED = ("claim_due", "expired", "due_letters", "due_notices")


class Postgres:
    """A database whose clock is a fake one."""

    def __init__(self, url: str) -> None:
        migrate_all(url)
        before = Database(url, pool_size=0)
        before.rows(FAKE_TIME)
        before.close()
        self.db = Database(url, pool_size=1)
        self._told: datetime | None = None

    def forget(self) -> None:
        """Empty the side tables; events stay."""
        names = ", ".join(f"orch.{name}" for name in SIDE_TABLES)
        self.db.rows(f"TRUNCATE {names} RESTART IDENTITY")

    def show(self, clock: FakeClock) -> None:
        """Set the database's clock."""
        if self._told != clock.now():
            self._told = clock.now()
            self.db.rows("UPDATE fake.clock SET now = %s", (self._told,))

    def close(self) -> None:
        self.db.close()


@dataclass
class Pair:
    """A transaction of both logs."""

    memory: Any
    sql: Connection

    def rollback(self) -> None:
        self.memory.rollback()
        self.sql.rollback()


def _both(owner: Any, method: str, *arguments: Any, **options: Any) -> Any:
    """Ask both; return what both say."""
    owner.postgres.show(owner.tables.clock)
    memory_kind, sql_kind = owner.kinds
    told = []
    for at, one in enumerate((memory_kind(owner.tables), sql_kind(owner.postgres.db))):
        theirs = dict(options)
        if isinstance(pair := options.get("connection"), Pair):
            theirs["connection"] = (pair.memory, pair.sql)[at]
        try:
            told.append(_comparable(method, getattr(one, method)(*arguments, **theirs)))
        except OrchestrationError as exc:
            told.append(exc)
    memory, sql = told
    if isinstance(memory, OrchestrationError):
        assert (type(memory), str(memory)) == (type(sql), str(sql))
        raise memory
    assert memory == sql, f"{method}{arguments}:\n{memory}\n{sql}"
    return memory


def _comparable(method: str, value: Any) -> Any:
    """Leave out what is not promised: an order, or a time that the events tell."""
    if isinstance(value, Answer) and value.events:
        return replace(value, recorded_at=None)
    return tuple(sorted(value, key=repr)) if method in UNORDERED else value


@dataclass(frozen=True)
class TwinLog(MemoryLog):
    """A log in both places; ``chance`` has it asked again as if nobody had heard."""

    postgres: Postgres
    chance: Chance
    kinds = (MemoryLog, SagaLog)

    def begin(self, start: Any, because: Any, *, connection: Any = None) -> Any:
        view = _both(self, "begin", start, because, connection=connection)
        if connection is None and self.chance.happens(self.chance.mishaps.forget):
            view = _both(self, "begin", start, because)
        return view

    def record(self, record: Any, because: Any, *, connection: Any = None) -> Any:
        answer = _both(self, "record", record, because, connection=connection)
        if connection is None and self.chance.happens(self.chance.mishaps.forget):
            answer = _both(self, "record", record, because)
        return answer

    def read(self, saga_id: str) -> Any:
        return _both(self, "read", saga_id)

    def view(self, saga_id: str) -> Any:
        return _both(self, "view", saga_id)

    def heal(self, saga_id: str, connection: Any = None) -> None:
        _both(self, "heal", saga_id, connection=connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        sql = SagaLog(self.postgres.db).transaction()
        with MemoryLog.transaction(self) as memory, sql as connection:
            yield Pair(memory, connection)

    def take_locks(self, saga_id: str, names: Any, connection: Any) -> Any:
        return _both(self, "take_locks", saga_id, names, connection=connection)

    def next_in_line(self, names: Any) -> Any:
        return _both(self, "next_in_line", names)

    def note_waiting(self, saga_id: str, what: str) -> None:
        _both(self, "note_waiting", saga_id, what)

    def waiting_for(self, saga_id: str) -> Any:
        return _both(self, "waiting_for", saga_id)

    def over(self, saga_ids: Any) -> Any:
        return _both(self, "over", saga_ids)


@dataclass(frozen=True)
class TwinWatch(MemoryWatch):
    """Leases, looks and ticks in both places."""

    postgres: Postgres
    kinds = (MemoryWatch, SagaWatch)

    def claim_due(self, limit: int) -> Any:
        return _both(self, "claim_due", limit)

    def look_at(self, view: Any, at: Any) -> None:
        _both(self, "look_at", view, at)

    def expired(self, limit: int, lease_s: float) -> Any:
        return _both(self, "expired", limit, lease_s)

    def forget_lease(self, lease: Any) -> None:
        _both(self, "forget_lease", lease)

    def put_off(self, lease: Any) -> None:
        _both(self, "put_off", lease)

    def renew(self, leases: Any, lease_s: float) -> Any:
        return _both(self, "renew", list(leases), lease_s)

    def claim_tick(self, name: str, period_s: float) -> Any:
        return _both(self, "claim_tick", name, period_s)


@dataclass(frozen=True)
class TwinIndex(MemoryIndex):
    """Lists in both places."""

    postgres: Postgres
    kinds = (MemoryIndex, SagaIndex)

    def find(self, **options: Any) -> Any:
        return _both(self, "find", **options)

    def count_open(self, at_most: int) -> Any:
        return _both(self, "count_open", at_most)

    def letters(self, saga_id: str | None = None, *, limit: int = 100) -> Any:
        return _both(self, "letters", saga_id, limit=limit)

    def due_letters(self, limit: int) -> Any:
        return _both(self, "due_letters", limit)

    def due_notices(self, limit: int) -> Any:
        return _both(self, "due_notices", limit)

    def drop_notice(self, notice: Any) -> None:
        _both(self, "drop_notice", notice)

    def retire(self, older_than_s: float, limit: int) -> Any:
        return _both(self, "retire", older_than_s, limit)


@dataclass(frozen=True)
class Twins:
    """All of one world's storage, in both places."""

    tables: Tables
    log: TwinLog
    watch: TwinWatch
    index: TwinIndex

    @classmethod
    def on(cls, postgres: Postgres, chance: Chance) -> Twins:
        """Begin with nothing on either side."""
        postgres.forget()
        tables = Tables(FakeClock())
        return cls(
            tables,
            TwinLog(tables, postgres, chance),
            TwinWatch(tables, postgres),
            TwinIndex(tables, postgres),
        )
