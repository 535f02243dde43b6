"""Gives committed events their dense number; how, says ``es.tick()`` in the SQL."""

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from eventstore.sql import query

_LOCK_NOT_AVAILABLE = "55P03"


def tick(engine: Engine) -> int | None:
    """Number what has been committed since the last tick.

    Any number of processes may tick at once, through any pooler: one works, the
    others go away. A tick that dies leaves nothing behind.

    Returns:
        How many events were numbered, or None if another tick was at work.
    """
    ordered = engine.execution_options(isolation_level="REPEATABLE READ")
    with ordered.begin() as connection:
        try:
            connection.exec_driver_sql(query("lock_sequencer"))
        except OperationalError as exc:
            if getattr(exc.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
                connection.rollback()
                return None
            raise
        numbered: int = connection.exec_driver_sql(query("tick")).scalar_one()
    return numbered
