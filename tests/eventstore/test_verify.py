"""Whatever is changed behind the store's back is named: stream, version, reason."""

from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import EventStore, NewEvent
from eventstore.verify import Failure, Reason, verify
from tests.eventstore.conftest import Tamper

pytestmark = pytest.mark.integration

AT = "WHERE version = 2 AND stream_id = 2"


def first(engine: Engine) -> Failure:
    """The first failure; every later one must be of another stream or the log."""
    report = verify(engine)
    assert not report.sound
    streams = [failure.stream for failure in report.failures if failure.stream]
    assert len(streams) == len(set(streams))
    return report.failures[0]


def test_an_untouched_store_is_sound(filled: EventStore, engine: Engine) -> None:
    filled.append("order-1", [NewEvent("LATE", {})])
    report = verify(engine)
    assert report.sound
    assert (report.events, report.streams, report.unnumbered) == (13, 3, 1)
    assert verify(engine, stream="order-2").events == 4


def test_an_empty_store_is_sound(engine: Engine) -> None:
    assert verify(engine).sound


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("event_id", "gen_random_uuid()", Reason.EVENT_CHANGED),
        ("type", "'PAID'", Reason.EVENT_CHANGED),
        ("schema_version", "schema_version + 1", Reason.EVENT_CHANGED),
        ("recorded_at", "recorded_at + interval '1 us'", Reason.EVENT_CHANGED),
        ("hash", "sha256(hash)", Reason.EVENT_CHANGED),
        ("hash", "'\\x00'", Reason.EVENT_CHANGED),
        ("correlation_id", "gen_random_uuid()", Reason.METADATA_CHANGED),
        ("causation_id", "gen_random_uuid()", Reason.METADATA_CHANGED),
        ("actor", "'mallory'", Reason.METADATA_CHANGED),
        ("metadata", "'{\"a\":1}'", Reason.METADATA_CHANGED),
        ("meta_digest", "sha256(meta_digest)", Reason.METADATA_CHANGED),
        ("meta_digest", "'\\x'", Reason.METADATA_CHANGED),
        ("salt", "uuid_send(gen_random_uuid())", Reason.DATA_CHANGED),
        ("salt", "NULL", Reason.DATA_CHANGED),
        ("content_type", "'text/plain'", Reason.DATA_CHANGED),
        ("data", "'{\"n\":9}'", Reason.DATA_CHANGED),
        ("data", "NULL", Reason.DATA_CHANGED),
        ("payload_digest", "sha256(payload_digest)", Reason.DATA_CHANGED),
        ("version", "50", Reason.EVENT_MISSING),
        ("stream_id", "999", Reason.EVENT_MISSING),
    ],
)
def test_every_hashed_column(
    filled: EventStore,
    engine: Engine,
    tamper: Tamper,
    column: str,
    value: str,
    reason: Reason,
) -> None:
    tamper(f"UPDATE es.events SET {column} = {value} {AT}")
    assert first(engine) == Failure("order-2", 2, reason)
    assert not verify(engine, stream="order-2").sound
    assert verify(engine, stream="order-1").sound


def test_a_deleted_middle_row(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    tamper(f"DELETE FROM es.events {AT}")
    report = verify(engine)
    assert report.failures == (
        Failure("order-2", 2, Reason.EVENT_MISSING),
        Failure(None, 5, Reason.LOG_EVENT_MISSING),
    )
    assert str(report.failures[1]) == (
        "log, number 5: the log numbers an event that is missing"
    )


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("data", Reason.DATA_CHANGED),
        ("data, salt, payload_digest", Reason.EVENT_CHANGED),
        ("data, salt, payload_digest, hash", Reason.EVENT_CHANGED),
        ("metadata, meta_digest, recorded_at, hash", Reason.EVENT_CHANGED),
    ],
)
def test_columns_swapped_between_two_rows(
    filled: EventStore, engine: Engine, tamper: Tamper, columns: str, reason: Reason
) -> None:
    others = ", ".join(f"o.{name.strip()}" for name in columns.split(","))
    tamper(
        f"UPDATE es.events AS e SET ({columns}) = ROW({others}) FROM es.events AS o "
        "WHERE e.stream_id = 2 AND o.stream_id = 2 "
        "AND (e.version, o.version) IN ((2, 3), (3, 2))"
    )
    assert first(engine) == Failure("order-2", 2, reason)


def test_swapped_rows(filled: EventStore, engine: Engine, tamper: Tamper) -> None:
    for old, new in ((2, 99), (3, 2), (99, 3)):
        tamper(
            "UPDATE es.events SET version = %s WHERE stream_id = 2 AND version = %s",
            new,
            old,
        )
    assert first(engine) == Failure("order-2", 2, Reason.EVENT_CHANGED)


def test_a_row_moved_to_another_stream(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    tamper("DELETE FROM es.events WHERE stream_id = 3 AND version = 2")
    tamper("UPDATE es.events SET stream_id = 3 WHERE stream_id = 2 AND version = 2")
    found = verify(engine).failures
    assert found[:2] == (
        Failure("order-2", 2, Reason.EVENT_MISSING),
        Failure("order-3", 2, Reason.EVENT_CHANGED),
    )


INSERTED = (
    "INSERT INTO es.events (stream_id, version, event_id, type, schema_version, "
    "recorded_at, actor, metadata, salt, data, meta_digest, payload_digest, hash) "
    "SELECT stream_id, %s, gen_random_uuid(), type, schema_version, recorded_at, "
    "actor, metadata, salt, data, meta_digest, payload_digest, hash "
    "FROM es.events WHERE stream_id = 2 AND version = 4"
)


def test_a_row_inserted_behind_the_head(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    tamper(INSERTED, 5)
    assert first(engine) == Failure("order-2", 5, Reason.EVENT_ADDED)


def test_a_row_inserted_in_the_middle(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    for version in (4, 3):
        tamper(
            "UPDATE es.events SET version = %s WHERE stream_id = 2 AND version = %s",
            version + 1,
            version,
        )
    tamper(INSERTED.replace("version = 4", "version = 5"), 3)
    tamper("UPDATE es.streams SET version = 5 WHERE stream_id = 2")
    assert first(engine) == Failure("order-2", 3, Reason.EVENT_CHANGED)


def test_a_cut_tail(filled: EventStore, engine: Engine, tamper: Tamper) -> None:
    tamper("DELETE FROM es.events WHERE stream_id = 2 AND version > 2")
    assert first(engine) == Failure("order-2", 3, Reason.TAIL_CUT)


def test_a_stream_deleted_with_its_head_left(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    tamper("DELETE FROM es.events WHERE stream_id = 2")
    assert first(engine) == Failure("order-2", 1, Reason.TAIL_CUT)


@pytest.mark.parametrize("which", [1, 3])
def test_a_head_deleted_with_its_events_left(
    filled: EventStore, engine: Engine, tamper: Tamper, which: int
) -> None:
    tamper("DELETE FROM es.streams WHERE stream_id = %s", which)
    report = verify(engine)
    assert report.failures == (Failure(f"(stream_id {which})", 1, Reason.HEAD_MISSING),)
    assert report.events == 12


def test_a_stream_deleted_with_its_head(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    tamper("DELETE FROM es.events WHERE stream_id = 2")
    tamper("DELETE FROM es.streams WHERE stream_id = 2")
    assert first(engine) == Failure(None, 4, Reason.LOG_EVENT_MISSING)


@pytest.mark.parametrize(
    ("change", "version", "reason"),
    [
        ("head = sha256(head)", 4, Reason.HEAD_CHANGED),
        ("head = '\\x'", 4, Reason.HEAD_CHANGED),
        ("version = 5", 5, Reason.TAIL_CUT),
        ("version = 3", 4, Reason.EVENT_ADDED),
        ("name = 'order-9'", 1, Reason.EVENT_CHANGED),
        ("category = 'bill'", 1, Reason.LOG_CHANGED),
    ],
)
def test_a_changed_head(
    filled: EventStore,
    engine: Engine,
    tamper: Tamper,
    change: str,
    version: int,
    reason: Reason,
) -> None:
    tamper(f"UPDATE es.streams SET {change} WHERE stream_id = 2")
    failure = first(engine)
    assert (failure.version, failure.reason) == (version, reason)


def test_a_category_changed_before_the_sequencer_came(
    store: EventStore, engine: Engine, tamper: Tamper
) -> None:
    store.append("order-1", [NewEvent("T", {})])
    tamper("UPDATE es.streams SET category = 'bill'")
    assert first(engine) == Failure("order-1", 1, Reason.CATEGORY_CHANGED)


def test_events_moved_from_another_store(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    tamper("UPDATE es.store SET store_id = gen_random_uuid()")
    assert first(engine) == Failure("order-1", 1, Reason.EVENT_CHANGED)
    assert len(verify(engine).failures) == 3


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE es.log SET leaf = sha256(leaf) WHERE seq = 5",
            Failure("order-2", 2, Reason.LOG_CHANGED),
        ),
        (
            "UPDATE es.log SET category = 'x' WHERE seq = 5",
            Failure("order-2", 2, Reason.LOG_CHANGED),
        ),
        (
            "UPDATE es.log SET seq = 100 WHERE seq = 5",
            Failure("order-2", 3, Reason.LOG_ORDER),
        ),
        ("DELETE FROM es.log WHERE seq = 5", Failure(None, 5, Reason.LOG_GAP)),
        ("DELETE FROM es.log WHERE seq = 11", Failure(None, 11, Reason.LOG_GAP)),
        ("UPDATE es.sequencer SET next_seq = 13", Failure(None, 12, Reason.LOG_GAP)),
    ],
)
def test_a_changed_log(
    filled: EventStore, engine: Engine, tamper: Tamper, statement: str, expected: Any
) -> None:
    tamper(statement)
    assert first(engine) == expected


def test_each_broken_stream_is_named_once_in_order(
    filled: EventStore, engine: Engine, tamper: Tamper
) -> None:
    tamper("UPDATE es.events SET actor = 'x' WHERE version >= 3")
    assert verify(engine).failures == tuple(
        Failure(f"order-{n}", 3, Reason.METADATA_CHANGED) for n in (1, 2, 3)
    )
