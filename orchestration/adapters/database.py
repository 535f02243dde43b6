"""Connections to Postgres, its clock, and what to do when it goes away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from eventstore.direct import Direct
from orchestration.errors import ConfigurationError, TransportError

__all__ = ["DATABASE_ERRORS", "Database", "DatabaseClock"]

# What a caller catches who can do without the database this time.
DATABASE_ERRORS: Final = (SQLAlchemyError, TransportError)

_T = TypeVar("_T")
# A restart of Postgres takes seconds; after this long the caller is told.
_PATIENCE_S = 30.0
_DAY_S = 86_400


class DatabaseClock:
    """Tells the database's time, so that hosts with wrong clocks agree.

    Every answer of the database that carries its time sets the offset anew.
    """

    def __init__(self) -> None:
        self._offset = timedelta()

    def heard(self, db_now: datetime) -> None:
        """Take over a time that the database has just told."""
        self._offset = db_now - datetime.now(UTC)

    def now(self) -> datetime:
        """Return the database's time, as good as the last answer's delay."""
        return datetime.now(UTC) + self._offset


class Database:
    """One process's way to Postgres; open it after the fork that made the process.

    Args:
        url: Where it is.
        pool_size: Connections kept open; 0: none, each use opens its own.
        name: Shown in ``pg_stat_activity``.
    """

    def __init__(self, url: str, *, pool_size: int = 4, name: str = "") -> None:
        pool: dict[str, Any] = (
            # Without a limit: whoever waited for a connection would hold up the
            # renewal of leases, and no process has more than a few per thread.
            {"pool_size": pool_size, "max_overflow": -1}
            if pool_size
            else {"poolclass": NullPool}
        )
        self.engine: Engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "application_name": f"orchestration {name}".strip(),
                # A frozen process must not hold a saga's row for long.
                "options": "-c idle_in_transaction_session_timeout=10s",
                "connect_timeout": 10,
                # A server that has vanished is noticed in half a minute.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 4,
                "tcp_user_timeout": 30_000,
            },
            **pool,
        )
        self.clock = DatabaseClock()
        # SQLAlchemy's result objects cost more than most of our statements do.
        self._direct = Direct(self.engine)

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._direct.close()
        self.engine.dispose()

    def begin(self, idle_s: float = 10.0) -> Connection:
        """Return a connection in a transaction, for an action's work.

        Args:
            idle_s: How long it may stand idle between two statements, seconds.

        Raises:
            TransportError: The database stayed away for 30 seconds.
        """

        def run() -> Connection:
            connection = self.engine.connect()
            try:
                connection.execution_options(isolation_level="READ COMMITTED")
                # SET LOCAL, as a pooler in transaction mode demands.
                connection.exec_driver_sql(
                    "SET LOCAL idle_in_transaction_session_timeout = %s",
                    (f"{min(idle_s, _DAY_S):.0f}s",),
                )
            except BaseException:
                connection.close()
                raise
            return connection

        # A connection that died in the pool shows it here, not in the action.
        return self.patiently(run)

    def rows(
        self,
        statement: str,
        parameters: tuple[Any, ...] | dict[str, Any] = (),
        *,
        connection: Connection | None = None,
    ) -> Sequence[Sequence[Any]]:
        """Run one statement in one round trip and return its rows.

        Without a ``connection`` it commits by itself, and is run again if the
        database went away meanwhile: so it must be safe to run twice.

        Raises:
            TransportError: The database stayed away for 30 seconds.
            ConfigurationError: It refuses the user, the password or the database.
        """
        if connection is not None:
            result = connection.exec_driver_sql(statement, parameters)
            return result.fetchall() if result.returns_rows else ()
        return self.patiently(lambda: self._direct.rows(statement, parameters))

    def patiently(self, call: Callable[[], _T]) -> _T:
        """Call until the database answers; see ``rows``."""
        give_up_at = time.monotonic() + _PATIENCE_S
        wait_s = 0.05
        while True:
            try:
                return call()
            except (OperationalError, InterfaceError) as exc:
                if any(text in str(exc.orig) for text in _REFUSALS):
                    raise ConfigurationError(
                        f"Postgres refuses DATABASE_URL: {str(exc.orig).strip()}"
                    ) from exc
                if not may_pass(exc):
                    raise
                if time.monotonic() > give_up_at:
                    raise TransportError(
                        f"Postgres has not answered for {_PATIENCE_S:.0f} s "
                        f"({type(exc.orig).__name__}): check DATABASE_URL and the "
                        "server; what was recorded is safe"
                    ) from exc
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, 2.0)


# What Postgres says to a login that will be refused tomorrow too; a refused login
# has no SQLSTATE in the driver.
_REFUSALS = ("authentication failed", "no pg_hba.conf entry", "does not exist")


def may_pass(exc: DBAPIError) -> bool:
    """Whether the server went away or was in a hurry, rather than refused."""
    code = getattr(exc.orig, "pgcode", None)
    # Without a code the connection itself failed; 57P0x: shut down, crashed, starting;
    # 40xxx: rolled back in favour of another, as in a deadlock.
    return code is None or code.startswith(("57P", "08", "40"))
