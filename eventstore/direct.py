"""One statement, one round trip, as little work around it as can be.

An append is called thousands of times a second. SQLAlchemy's connection and result
objects cost more of this process' time than sending the statement does, so
appends that commit by themselves borrow a driver connection from its pool. The
connections are in autocommit: there is no BEGIN, no COMMIT, nothing to reset.
Errors are SQLAlchemy's all the same, and broken connections leave the pool.
"""

from contextlib import closing
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError


class Direct:
    """Runs single statements on autocommit connections of a pool of its own."""

    def __init__(self, engine: Engine) -> None:
        """Take over the settings of an engine, not its connections."""
        # Set when a connection is made: switching a borrowed one back and forth
        # would cost two round trips per statement.
        self.engine = create_engine(
            engine.url, pool=engine.pool.recreate(), isolation_level="AUTOCOMMIT"
        )

    def rows(
        self, statement: str, parameters: tuple[Any, ...] | dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows, if it is of a kind that has any.

        Raises:
            DBAPIError: What the database or the connection reported.
        """
        dialect = self.engine.dialect
        connection = self.engine.raw_connection()
        try:
            with closing(connection.cursor()) as cursor:
                cursor.execute(statement, parameters)
                return list(cursor.fetchall()) if cursor.description else []
        except dialect.loaded_dbapi.Error as exc:
            broken = dialect.is_disconnect(exc, connection.dbapi_connection, None)
            if broken:
                connection.invalidate(exc)
                # The others were most likely cut off with it.
                self.engine.dispose()
            raise DBAPIError.instance(
                statement,
                parameters,
                exc,
                dialect.loaded_dbapi.Error,
                hide_parameters=True,
                connection_invalidated=broken,
                dialect=dialect,
            ) from exc
        finally:
            connection.close()
