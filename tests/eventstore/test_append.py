"""Appending: versions, retries, batches, several streams, the caller's transaction."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import IntegrityError, OperationalError

from eventstore import (
    ANY,
    EXISTS,
    NO_STREAM,
    EventIdConflict,
    EventStore,
    EventStoreError,
    InvalidAppend,
    NewEvent,
    NotCanonical,
    NotMigrated,
    StreamAppend,
    WrongExpectedVersion,
)
from eventstore.chain import event_hash, genesis, lp, meta_digest, payload_digest
from eventstore.store import driver_url

pytestmark = pytest.mark.integration


def some(count: int) -> list[NewEvent]:
    return [NewEvent("THING", {"n": n}) for n in range(count)]


def test_events_come_back_as_they_were_appended(store: EventStore) -> None:
    event = NewEvent(
        "PLACED",
        {"items": [1, 2.5, "ü"], "big": 2**60, "none": None},
        schema_version=3,
        metadata={"task": "t-1"},
        correlation_id=uuid4(),
        causation_id=uuid4(),
        actor='o\'brien \\ "x"',
    )
    result = store.append("order-1", [event])
    (read,) = store.read_stream("order-1")
    assert (result.first_version, result.last_version, result.duplicate) == (
        1,
        1,
        False,
    )
    assert read.data == {"items": [1, 2.5, "ü"], "big": str(2**60), "none": None}
    assert read.metadata == {"task": "t-1"}
    assert read.recorded_at == result.recorded_at
    for name in ("event_id", "type", "schema_version", "actor"):
        assert getattr(read, name) == getattr(event, name)
    assert read.correlation_id == event.correlation_id
    assert read.causation_id == event.causation_id


def test_batches_keep_every_field_too(store: EventStore) -> None:
    events = [
        NewEvent('T"1', {"n": 1}, correlation_id=uuid4(), actor="a,{}\\"),
        NewEvent("T\\2", {"n": 2}, causation_id=uuid4(), metadata={"k": "v"}),
        NewEvent("NULL", {}, schema_version=2, actor="NULL"),
    ]
    result = store.append("order-1", events)
    assert (result.first_version, result.last_version) == (1, 3)
    for event, read in zip(events, store.read_stream("order-1"), strict=True):
        for name in ("type", "actor", "data", "metadata", "schema_version"):
            assert getattr(read, name) == getattr(event, name)
        assert read.event_id == event.event_id
        assert read.correlation_id == event.correlation_id
        assert read.causation_id == event.causation_id


def test_one_and_many_make_the_chain_that_python_makes(
    store: EventStore, engine: Engine
) -> None:
    store.append("order-1", some(1))
    store.append("order-1", some(3))
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT * FROM es.events ORDER BY version"
        ).all()
        store_id = connection.exec_driver_sql(
            "SELECT store_id FROM es.store"
        ).scalar_one()
        head = connection.exec_driver_sql("SELECT head FROM es.streams").scalar_one()
    previous = genesis(store_id, "order-1")
    for row in rows:
        previous = event_hash(
            previous,
            lp(b"order-1"),
            row.version,
            event_id=row.event_id.bytes,
            event_type=row.type,
            schema_version=row.schema_version,
            recorded_us=int(row.recorded_at.timestamp() * 1_000_000 + 0.5),
            meta=meta_digest(bytes(row.metadata), None, None, row.actor),
            payload=payload_digest(bytes(row.salt), row.content_type, bytes(row.data)),
        )
        assert bytes(row.hash) == previous
    assert bytes(head) == previous


@pytest.mark.parametrize("count", [1, 3])
def test_expected_versions(store: EventStore, count: int) -> None:
    with pytest.raises(WrongExpectedVersion, match="version 0, expected to exist"):
        store.append("a", some(count), expected_version=EXISTS)
    with pytest.raises(WrongExpectedVersion, match="version 0, expected at 2"):
        store.append("a", some(count), expected_version=2)
    store.append("a", some(count), expected_version=NO_STREAM)
    with pytest.raises(WrongExpectedVersion, match="expected to be new") as caught:
        store.append("a", some(count), expected_version=NO_STREAM)
    assert (caught.value.expected, caught.value.actual) == (0, count)
    assert caught.value.stream == "a"
    store.append("a", some(count), expected_version=count)
    store.append("a", some(count), expected_version=EXISTS)
    assert (
        store.append("a", some(count), expected_version=ANY).last_version == 4 * count
    )


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("expected", [ANY, NO_STREAM, EXISTS])
def test_a_retry_gives_the_first_result_though_the_stream_moved_on(
    store: EventStore, count: int, expected: int
) -> None:
    if expected == EXISTS:
        store.append("a", some(1))
    events = some(count)
    first = store.append("a", events, expected_version=expected)
    store.append("a", some(2))
    again = store.append("a", events, expected_version=expected)
    assert again == replace(first, duplicate=True)
    next_result = store.append("a", some(1), expected_version=first.last_version + 2)
    assert next_result.first_version == first.last_version + 3


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"other": 1}},
        {"type": "OTHER"},
        {"schema_version": 2},
        {"metadata": {"other": 1}},
        {"actor": "other"},
        {"correlation_id": uuid4()},
        {"causation_id": uuid4()},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("count", [1, 2])
def test_an_id_with_other_content_is_a_conflict(
    store: EventStore, count: int, change: dict[str, object]
) -> None:
    events = some(count)
    store.append("a", events)
    events[0] = replace(events[0], **change)  # type: ignore[arg-type]
    with pytest.raises(EventIdConflict, match=str(events[0].event_id)) as caught:
        store.append("a", events)
    assert caught.value.event_ids == tuple(event.event_id for event in events)
    assert len(store.read_stream("a")) == count


def test_a_batch_that_overlaps_another_or_itself_is_a_conflict(
    store: EventStore,
) -> None:
    events = some(4)
    store.append("a", events[:2])
    for wrong in (events[1:3], events[1::-1], [events[3], events[3]], events[:3]):
        with pytest.raises(EventIdConflict):
            store.append("a", wrong)
    assert len(store.read_stream("a")) == 2


def test_the_same_id_may_stand_in_two_streams(store: EventStore) -> None:
    events = some(1)
    store.append("a", events)
    assert not store.append("b", events).duplicate


def test_several_streams_are_all_or_nothing(store: EventStore) -> None:
    store.append("a", some(1))
    with pytest.raises(WrongExpectedVersion) as caught:
        store.append_streams(
            [StreamAppend("b", some(2)), StreamAppend("a", some(1), NO_STREAM)]
        )
    assert caught.value.stream == "a"
    assert store.read_stream("b") == ()
    appends = [StreamAppend("b", some(2), NO_STREAM), StreamAppend("a", some(1), 1)]
    first = store.append_streams(appends)
    assert [(r.stream, r.first_version, r.last_version) for r in first] == [
        ("b", 1, 2),
        ("a", 2, 2),
    ]
    again = store.append_streams(appends)
    assert again == tuple(replace(result, duplicate=True) for result in first)
    with pytest.raises(EventIdConflict) as conflict:
        store.append_streams([appends[0], StreamAppend("c", some(1))])
    assert conflict.value.stream == "b"


def test_business_rows_and_event_commit_or_vanish_together(
    store: EventStore, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id text)")
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO orders VALUES ('1')")
        store.append("order-1", some(1), connection=connection)
        assert len(store.read_stream("order-1", connection=connection)) == 1
        assert store.read_stream("order-1") == ()
        connection.rollback()
        assert store.read_stream("order-1", connection=connection) == ()
        connection.exec_driver_sql("INSERT INTO orders VALUES ('2')")
        store.append("order-2", some(2), connection=connection)
        connection.commit()
    assert len(store.read_stream("order-2")) == 2


def test_a_refusal_leaves_the_callers_transaction_usable(
    store: EventStore, engine: Engine
) -> None:
    store.append("a", some(1))
    with engine.begin() as connection:
        with pytest.raises(WrongExpectedVersion):
            store.append("a", some(1), expected_version=9, connection=connection)
        store.append("a", some(1), expected_version=1, connection=connection)
    assert len(store.read_stream("a")) == 2


def test_reading_a_stream_in_parts(store: EventStore) -> None:
    store.append("a", some(5))
    part = store.read_stream("a", after_version=1, limit=2)
    assert [event.version for event in part] == [2, 3]
    assert store.read_stream("nothing") == ()


@pytest.mark.parametrize(
    ("stream", "events", "expected"),
    [
        ("", some(1), ANY),
        ("x" * 256, some(1), ANY),
        ("nul\0", some(1), ANY),
        ("a", [], ANY),
        ("a", some(1), -3),
        ("a", [NewEvent("", {})], ANY),
        ("a", [NewEvent("T", {}, actor="\0")], ANY),
        ("a", [NewEvent("T", {}, schema_version=0)], ANY),
    ],
)
def test_senseless_appends_are_refused_before_they_are_sent(
    stream: str, events: list[NewEvent], expected: int
) -> None:
    unreachable = EventStore.connect("postgresql://127.0.0.1:1/none")
    with pytest.raises(InvalidAppend):
        unreachable.append(stream, events, expected_version=expected)


def test_streams_named_twice_or_never_are_refused(store: EventStore) -> None:
    twice = [StreamAppend("a", some(1)), StreamAppend("a", some(1))]
    for appends in (twice, []):
        with pytest.raises(InvalidAppend):
            store.append_streams(appends)


def test_values_without_a_canonical_form_are_refused(store: EventStore) -> None:
    with pytest.raises(NotCanonical):
        store.append("a", [NewEvent("T", {"x": float("nan")})])
    assert store.read_stream("a") == ()


@pytest.mark.parametrize("bad", ["data", "metadata", "type", "schema"])
def test_sql_itself_refuses_what_is_no_event(engine: Engine, bad: str) -> None:
    big = b"x" * 1_048_577
    parameters = (
        "" if bad == "type" else "T",
        0 if bad == "schema" else 1,
        big if bad == "metadata" else b"{}",
        big if bad == "data" else b"{}",
    )
    one = (
        "SELECT es.append_one('a', -1, gen_random_uuid(), %s, %s, "
        "NULL, NULL, '', %s, %s)"
    )
    batch = (
        "SELECT es.append('a', -1, ARRAY[gen_random_uuid()], ARRAY[%s], ARRAY[%s], "
        "NULL, NULL, '', ARRAY[%s]::bytea[], ARRAY[%s]::bytea[])"
    )
    for statement in (one, batch):
        with engine.connect() as connection, pytest.raises(IntegrityError):
            connection.exec_driver_sql(statement, parameters)


def test_an_empty_database_says_how_to_migrate(database_url: str) -> None:
    store = EventStore.connect(database_url)
    for call in (
        lambda: store.append("a", some(1)),
        store.read_all,
        store.sequence,
    ):
        with pytest.raises(NotMigrated, match="python -m eventstore migrate"):
            call()
    store.close()


def test_plain_urls_mean_psycopg2() -> None:
    assert driver_url("postgres://h/d") == "postgresql+psycopg2://h/d"
    assert driver_url("postgresql://h/d") == "postgresql+psycopg2://h/d"
    assert driver_url("postgresql+psycopg2://h/d") == "postgresql+psycopg2://h/d"


def test_appends_go_on_after_the_server_has_cut_all_connections(
    store: EventStore, engine: Engine
) -> None:
    in_parallel(3, lambda n: store.append(f"a-{n}", some(1)))
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(OperationalError) as caught:
        store.append("b", some(1))
    assert caught.value.connection_invalidated
    in_parallel(3, lambda n: store.append(f"b-{n}", some(1)))
    assert len(store.read_stream("b-2")) == 1


def test_what_the_database_refuses_is_sqlalchemys_error(
    store: EventStore, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE es.events ADD CHECK (actor <> 'x')")
    with pytest.raises(IntegrityError) as caught:
        store.append("a", [NewEvent("T", {"secret": 1}, actor="x")])
    assert not caught.value.connection_invalidated
    assert "secret" not in str(caught.value)
    assert store.append("a", some(1)).last_version == 1


def in_parallel(count: int, work: Callable[[int], object]) -> list[object]:
    """Start all at the same moment."""
    start = threading.Barrier(count)

    def run(index: int) -> object:
        start.wait()
        return work(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize("count", [1, 3])
def test_twenty_racing_appends_are_twenty_appends(
    database_url: str, store: EventStore, count: int
) -> None:
    racing = EventStore(create_engine(database_url, pool_size=20))
    results = in_parallel(20, lambda _: racing.append("hot", some(count)))
    racing.close()
    versions = sorted(r.first_version for r in results)  # type: ignore[attr-defined]
    assert versions == list(range(1, 20 * count + 1, count))
    events = store.read_stream("hot")
    assert len(events) == 20 * count
    times = [event.recorded_at for event in events]
    assert times == sorted(times)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("expected", [ANY, NO_STREAM])
def test_twenty_racing_retries_are_one_append(
    database_url: str, store: EventStore, count: int, expected: int
) -> None:
    racing = EventStore(create_engine(database_url, pool_size=20))
    events = some(count)
    results = in_parallel(
        20, lambda _: racing.append("hot", events, expected_version=expected)
    )
    racing.close()
    assert len(store.read_stream("hot")) == count
    assert len({replace(r, duplicate=False) for r in results}) == 1  # type: ignore[type-var]
    assert sum(not r.duplicate for r in results) == 1  # type: ignore[attr-defined]


def test_only_one_of_twenty_wins_a_version(
    database_url: str, store: EventStore
) -> None:
    racing = EventStore(create_engine(database_url, pool_size=20))

    def attempt(_: int) -> bool:
        try:
            racing.append("hot", some(1), expected_version=NO_STREAM)
        except EventStoreError:
            return False
        return True

    assert sum(bool(won) for won in in_parallel(20, attempt)) == 1
    racing.close()
    assert len(store.read_stream("hot")) == 1


def test_appends_to_the_same_streams_in_any_order_do_not_deadlock(
    database_url: str, store: EventStore
) -> None:
    racing = EventStore(create_engine(database_url, pool_size=16))
    names = ["a", "b", "c"]

    def attempt(index: int) -> None:
        ordered = names if index % 2 else names[::-1]
        for _ in range(5):
            racing.append_streams([StreamAppend(name, some(1)) for name in ordered])

    in_parallel(16, attempt)
    racing.close()
    assert [len(store.read_stream(name)) for name in names] == [80, 80, 80]
