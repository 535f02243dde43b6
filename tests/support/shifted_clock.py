"""A database whose clock a test puts forward, so that hours pass in seconds.

Deadlines are reckoned on the database's clock alone: in its functions, and in workers
that take its time from its answers. So it is enough to have ``clock_timestamp()`` mean
another function in the test's own database. Celery's own timers, and the ticks of
beat, go on in real time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import NullPool, create_engine

from tests.support.waiting import wait_until

__all__ = ["ShiftedClock"]

_INSTALL = """
CREATE SCHEMA shifted;
CREATE TABLE shifted.ahead (by interval NOT NULL);
INSERT INTO shifted.ahead VALUES ('0');
CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $f$ SELECT pg_catalog.clock_timestamp() + a.by FROM shifted.ahead AS a $f$;
GRANT USAGE ON SCHEMA shifted TO PUBLIC;
GRANT SELECT ON shifted.ahead TO PUBLIC;
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    EXECUTE format(
        'ALTER DATABASE %I SET search_path = shifted, pg_catalog, public',
        current_database()
    );
    -- The appending functions pin their search path.
    FOR v_function IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace IN ('es'::regnamespace, 'orch'::regnamespace)
            AND array_to_string(p.proconfig, ',') LIKE '%search_path=%'
            AND p.prosrc LIKE '%clock_timestamp()%'
    LOOP
        EXECUTE format(
            'ALTER FUNCTION %s SET search_path = shifted, pg_catalog, pg_temp',
            v_function
        );
    END LOOP;
END
$$;
"""


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """The clock of one migrated database; what connects later than this follows it."""

    database_url: str

    def __post_init__(self) -> None:
        self._run(_INSTALL)

    def forward(self, seconds: float) -> None:
        """Put the clock forward."""
        self._run(f"UPDATE shifted.ahead SET by = by + interval '{seconds} s'")

    def now(self) -> datetime:
        """Return what the database takes for the time."""
        [(now,)] = self._run("SELECT clock_timestamp()")
        return now

    def sweep(self, times: int = 2) -> None:
        """Return once the sweep has begun so many times anew."""
        seen = self._slot()
        for _ in range(times):
            wait_until(lambda seen=seen: self._slot() != seen, "the sweep ticks")
            seen = self._slot()

    def _slot(self) -> int | None:
        rows = self._run("SELECT slot FROM orch.tick WHERE name = 'saga.sweep'")
        return rows[0][0] if rows else None

    def _run(self, statement: str) -> list[tuple[object, ...]]:
        engine = create_engine(self.database_url, poolclass=NullPool)
        with engine.begin() as connection:
            # Without parameters: the driver leaves % alone.
            cursor = connection.connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
