"""Readers miss, double and reorder nothing, whatever happens to the writers."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from eventstore import EventStore, LogGap, NewEvent
from eventstore.sequencer import tick
from eventstore.sql import query
from tests.eventstore.conftest import Tamper

pytestmark = pytest.mark.integration

WRITERS = 8
ROUNDS = 40  # at least, and until there have been so many ticks meanwhile:
TICKS = 50


class Readers:
    """One reader of the dense order, and one that trusts the serial position."""

    def __init__(self, database_url: str) -> None:
        self.engine = create_engine(database_url)
        self.store = EventStore(self.engine)
        self.seen: list[tuple[int, str, int]] = []
        self.naive: list[int] = []

    def read(self) -> None:
        after = self.seen[-1][0] if self.seen else -1
        for event in self.store.read_all(after_seq=after, limit=50):
            assert event.seq is not None
            self.seen.append((event.seq, event.stream, event.version))
        with self.engine.connect() as connection:
            after = self.naive[-1] if self.naive else 0
            self.naive += connection.exec_driver_sql(
                "SELECT position FROM es.events WHERE position > %s ORDER BY position",
                (after,),
            ).scalars()

    def close(self) -> None:
        self.store.close()


def write(database_url: str, seed: int, enough: threading.Event) -> None:
    """Append in transactions that dawdle, roll back, and lose their backends."""
    choice = random.Random(seed)
    engine = create_engine(database_url, poolclass=NullPool)
    store = EventStore(engine)
    for round_ in itertools.count():
        if round_ >= ROUNDS and enough.is_set():
            return
        try:
            with engine.connect() as connection:
                stream = f"race-{choice.randrange(20)}"
                events = [NewEvent("T", {}) for _ in range(choice.choice([1, 1, 3]))]
                store.append(stream, events, connection=connection)
                pause = choice.random() * 0.02
                connection.exec_driver_sql("SELECT pg_sleep(%s)", (pause,))
                fate = choice.random()
                if fate < 0.15:
                    connection.rollback()
                elif fate < 0.25:
                    connection.exec_driver_sql(
                        "SELECT pg_terminate_backend(pg_backend_pid())"
                    )
                else:
                    connection.commit()
        except OperationalError:
            assert round_ >= 0  # the backend was killed, as wanted


def kill_a_tick(engine: Engine) -> bool:
    """Let a sequencer number events and die before it commits."""
    ordered = engine.execution_options(isolation_level="REPEATABLE READ")
    try:
        with ordered.begin() as connection:
            connection.exec_driver_sql(query("lock_sequencer"))
            connection.exec_driver_sql(query("tick"))
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    except OperationalError:
        return True
    return False


@contextmanager
def open_transaction(url: str) -> Iterator[Connection]:
    """A transaction with an id of its own that stays open."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_current_xact_id()")
        yield connection


def test_readers_miss_double_and_reorder_nothing(
    database_url: str, postgres_server: str, engine: Engine
) -> None:
    readers = Readers(database_url)
    killer = create_engine(database_url, poolclass=NullPool)
    enough = threading.Event()
    writers = [
        threading.Thread(target=write, args=(database_url, seed, enough), daemon=True)
        for seed in range(WRITERS)
    ]
    ticks = killed = 0
    with open_transaction(database_url), open_transaction(postgres_server):
        for writer in writers:
            writer.start()
        try:
            while any(writer.is_alive() for writer in writers):
                readers.store.sequence()
                readers.read()
                ticks += 1
                if ticks % 10 == 0:
                    killed += kill_a_tick(killer)
                if ticks >= TICKS and killed > 0:
                    enough.set()
        finally:
            enough.set()
        readers.store.sequence()
        while len(readers.seen) < _count(engine, "es.log"):
            readers.read()
        # The open transactions hold nothing back.
        assert len(readers.seen) == _count(engine, "es.events")
    readers.close()
    assert killed > 0
    _check(engine, readers)


def _check(engine: Engine, readers: Readers) -> None:
    with engine.connect() as connection:
        stored = set(
            connection.exec_driver_sql(
                "SELECT s.name, e.version "
                "FROM es.events AS e JOIN es.streams AS s USING (stream_id)"
            ).all()
        )
        positions = set(
            connection.exec_driver_sql("SELECT position FROM es.events").scalars()
        )
    seen = Counter((stream, version) for _, stream, version in readers.seen)
    assert set(seen) == stored, "missed or invented"
    assert set(seen.values()) == {1}, "doubled"
    assert [seq for seq, _, _ in readers.seen] == list(range(len(stored)))
    versions: dict[str, int] = {}
    for _, stream, version in readers.seen:
        assert version == versions.get(stream, 0) + 1, "reordered"
        versions[stream] = version
    assert positions - set(readers.naive), "the test does not bite: naive missed none"


def _count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        count: int = connection.exec_driver_sql(
            f"SELECT count(*) FROM {table}"
        ).scalar_one()
    return count


def test_a_stream_keeps_its_order_when_the_older_transaction_writes_last(
    store: EventStore, engine: Engine
) -> None:
    with engine.connect() as older, engine.connect() as younger:
        older.exec_driver_sql("SELECT pg_current_xact_id()")
        store.append("a", [NewEvent("FIRST", {})], connection=younger)
        younger.commit()
        store.append("a", [NewEvent("SECOND", {})], connection=older)
        older.commit()
    store.sequence()
    assert [event.version for event in store.read_all()] == [1, 2]


def test_savepoints_are_numbered_and_what_was_rolled_back_is_not(
    store: EventStore, engine: Engine
) -> None:
    with engine.begin() as connection:
        store.append("a", [NewEvent("KEPT", {})], connection=connection)
        with connection.begin_nested() as savepoint:
            store.append("a", [NewEvent("LOST", {})], connection=connection)
            savepoint.rollback()
        with connection.begin_nested():
            store.append("a", [NewEvent("KEPT_TOO", {})], connection=connection)
    assert store.sequence() == 2
    assert [event.type for event in store.read_all()] == ["KEPT", "KEPT_TOO"]


def test_what_commits_after_a_tick_is_found_by_a_later_one(
    store: EventStore, engine: Engine
) -> None:
    with engine.connect() as slow:
        store.append("slow", [NewEvent("T", {})], connection=slow)
        store.append("fast", [NewEvent("T", {})])
        assert store.sequence() == 1
        assert store.sequence() == 0
        slow.commit()
    assert store.sequence() == 1
    assert [event.stream for event in store.read_all()] == ["fast", "slow"]


def test_only_one_tick_works_at_a_time(store: EventStore, engine: Engine) -> None:
    store.append("a", [NewEvent("T", {})])
    with engine.begin() as connection:
        connection.exec_driver_sql(query("lock_sequencer"))
        assert tick(engine) is None
        assert store.sequence() == 0
    assert tick(engine) == 1


def test_a_tick_whose_snapshot_is_too_old_fails_and_does_no_harm(
    store: EventStore, engine: Engine
) -> None:
    store.append("a", [NewEvent("T", {})])
    ordered = engine.execution_options(isolation_level="REPEATABLE READ")
    with ordered.connect() as connection:
        connection.exec_driver_sql("SELECT FROM es.sequencer")
        store.sequence()
        store.append("a", [NewEvent("T", {})])
        with pytest.raises(OperationalError, match="concurrent update"):
            connection.exec_driver_sql(query("tick"))
    assert store.sequence() == 1
    assert [event.seq for event in store.read_all()] == [0, 1]


def test_a_tick_outside_repeatable_read_is_refused(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(Exception, match="REPEATABLE"):
        connection.exec_driver_sql(query("tick"))


def test_categories_keep_the_order_of_the_log(store: EventStore) -> None:
    for stream in ("cat-1", "dog-1", "cat-2", "cat-1", "cats"):
        store.append(stream, [NewEvent("T", {})])
        store.sequence()
    cats = store.read_category("cat")
    assert [(e.seq, e.stream) for e in cats] == [
        (0, "cat-1"),
        (2, "cat-2"),
        (3, "cat-1"),
    ]
    assert [e.seq for e in store.read_category("cat", after_seq=0, limit=1)] == [2]
    assert store.read_category("cow") == ()


def test_a_gap_in_the_log_stops_the_reader(filled: EventStore, tamper: Tamper) -> None:
    tamper("DELETE FROM es.log WHERE seq = 3")
    assert [event.seq for event in filled.read_all(limit=3)] == [0, 1, 2]
    with pytest.raises(LogGap, match="seq 4 where 3 is due") as caught:
        filled.read_all(after_seq=1)
    assert (caught.value.expected_seq, caught.value.found_seq) == (3, 4)


def restored(tamper: Tamper, sequenced_ahead: Any) -> None:
    """Make the database look as if it came from a cluster whose ids were higher."""
    tamper(
        "UPDATE es.events SET tx = (tx::text::bigint + %s)::text::xid8", sequenced_ahead
    )
    tamper("UPDATE es.sequencer SET system_identifier = 1, prev = '9000000:9000000:'")


def test_a_restored_store_goes_on_densely(
    store: EventStore, engine: Engine, tamper: Tamper
) -> None:
    store.append("a", [NewEvent("T", {}) for _ in range(3)])
    store.sequence()
    store.append("a", [NewEvent("TAIL", {}) for _ in range(2)])
    restored(tamper, 30)
    with engine.connect() as slow:
        store.append("slow", [NewEvent("IN_FLIGHT", {})], connection=slow)
        store.append("fast", [NewEvent("NEW", {})])
        assert store.sequence() == 3  # the tail and the new one
        slow.commit()
    assert store.sequence() == 1
    # Let the new cluster use up the ids that the events brought along.
    for n in range(60):
        store.append("b", [NewEvent("T", {})])
        if n % 7 == 0:
            assert store.sequence() > 0
    store.sequence()
    with engine.connect() as connection:
        left = connection.exec_driver_sql(
            "SELECT foreign_tx_max FROM es.sequencer"
        ).scalar_one()
    assert left is None
    events = store.read_all()
    assert [event.seq for event in events] == list(range(67))
    assert Counter(event.stream for event in events) == Counter(
        a=5, slow=1, fast=1, b=60
    )
