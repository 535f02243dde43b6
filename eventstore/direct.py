"""One statement, one round trip, as little work around it as can be.

An append is called thousands of times a second. SQLAlchemy's connection and result
objects, and its pool's bookkeeping, cost more of this process' time than sending the
statement does, so statements that commit by themselves run on driver connections that
are kept here. They are in autocommit: there is no BEGIN, no COMMIT, nothing to reset.
Errors are SQLAlchemy's all the same, and a broken connection is not used again.
"""

from collections import deque
from contextlib import closing, suppress
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool


class Direct:
    """Runs single statements on autocommit connections of its own.

    Safe to share between threads: a connection is in one thread's hands at a time.
    """

    def __init__(self, engine: Engine) -> None:
        """Take over the settings of an engine, not its connections."""
        # Set when a connection is made: switching a borrowed one back and forth
        # would cost two round trips per statement.
        self._engine = create_engine(
            engine.url, pool=engine.pool.recreate(), isolation_level="AUTOCOMMIT"
        )
        # As many as the engine would keep; the one used last is warm and goes first.
        size = getattr(engine.pool, "size", lambda: 0)
        self._keep = 0 if isinstance(engine.pool, NullPool) else size()
        self._idle: deque[Any] = deque()

    def rows(
        self, statement: str, parameters: tuple[Any, ...] | dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows, if it is of a kind that has any.

        Raises:
            DBAPIError: What the database or the connection reported.
        """
        dialect = self._engine.dialect
        try:
            connection = self._borrow()
        except dialect.loaded_dbapi.Error as exc:
            # The engine translates what its own connections report, and not this.
            raise self._told(statement, parameters, exc, is_broken=True) from exc
        try:
            with closing(connection.cursor()) as cursor:
                cursor.execute(statement, parameters)
                rows = list(cursor.fetchall()) if cursor.description else []
        except dialect.loaded_dbapi.Error as exc:
            broken = dialect.is_disconnect(exc, connection, None)
            if broken:
                # The others were most likely cut off with it.
                self.close()
                with suppress(dialect.loaded_dbapi.Error):
                    connection.close()
            else:
                self._give_back(connection)
            raise self._told(statement, parameters, exc, is_broken=broken) from exc
        except BaseException:
            # Interrupted in the middle, as by an alarm: nobody knows how it stands.
            connection.close()
            raise
        self._give_back(connection)
        return rows

    def close(self) -> None:
        """Close the connections that nobody uses; a later call opens new ones."""
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                self._idle.pop().close()

    def _told(
        self,
        statement: str,
        parameters: tuple[Any, ...] | dict[str, Any],
        error: Exception,
        *,
        is_broken: bool,
    ) -> BaseException:
        """Return what the driver reported as SQLAlchemy's own error."""
        dialect = self._engine.dialect
        return DBAPIError.instance(
            statement,
            parameters,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_broken,
            dialect=dialect,
        )

    def _borrow(self) -> Any:  # noqa: ANN401  the driver's connection has no type
        with suppress(IndexError):
            return self._idle.pop()
        pooled = self._engine.raw_connection()
        pooled.detach()
        return pooled.dbapi_connection

    def _give_back(self, connection: Any) -> None:  # noqa: ANN401
        if len(self._idle) < self._keep:
            self._idle.append(connection)
        else:
            connection.close()
