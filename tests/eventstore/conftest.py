"""A migrated store in a database of its own for every test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine

from eventstore import EventStore, NewEvent
from eventstore.migrate import migrate

Tamper = Callable[..., None]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Superuser's engine of an empty, migrated store."""
    engine = create_engine(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Iterator[EventStore]:
    store = EventStore(engine)
    yield store
    store.close()


@pytest.fixture
def tamper(engine: Engine) -> Tamper:
    """Run a statement as a superuser who has switched the triggers off."""

    def run(statement: str, *parameters: Any) -> None:
        with engine.begin() as connection:
            for table in ("store", "streams", "events", "log", "sequencer"):
                connection.exec_driver_sql(
                    f"ALTER TABLE es.{table} DISABLE TRIGGER ALL"
                )
            result = connection.exec_driver_sql(statement, parameters)
            assert result.rowcount > 0, "nothing was tampered with"
            for table in ("store", "streams", "events", "log", "sequencer"):
                connection.exec_driver_sql(f"ALTER TABLE es.{table} ENABLE TRIGGER ALL")

    return run


@pytest.fixture
def acting_as(engine: Engine) -> Callable[[str], Any]:
    """A connection with the rights of one role, rolled back at the end."""

    @contextmanager
    def act(role: str) -> Iterator[Connection]:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET ROLE {role}")
            try:
                yield connection
            finally:
                connection.rollback()
                connection.exec_driver_sql("RESET ROLE")
                connection.commit()

    return act


@pytest.fixture
def filled(store: EventStore) -> EventStore:
    """Three streams of four events, all numbered."""
    for stream in ("order-1", "order-2", "order-3"):
        events = [NewEvent("PLACED", {"n": n, "stream": stream}) for n in range(4)]
        store.append(stream, events)
    assert store.sequence() == 12
    return store
