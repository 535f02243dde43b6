"""Sagas that ended long ago, in great number: copies of one that really ran."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from sqlalchemy import create_engine

from eventstore import NO_STREAM, EventStore, NewEvent, RecordedEvent, StreamAppend

__all__ = ["store_ended"]

_BATCH = 50
# One encodes while Postgres works for the other.
_THREADS = 2

# Whatever columns the table has: all but these are as in the saga that ran.
_ROWS = """
INSERT INTO orch.ended_saga
SELECT (jsonb_populate_record(e, jsonb_build_object(
    'saga_id', s.saga_id,
    'started_at', e.started_at - s.nth * interval '1 second',
    'ended_at', e.ended_at - s.nth * interval '1 second'
))).*
FROM orch.ended_saga AS e, unnest(%s::text[]) WITH ORDINALITY AS s (saga_id, nth)
WHERE e.saga_id = %s
"""


def store_ended(database_url: str, count: int) -> None:
    """Store copies of a saga that has ended in this database, as if each had run."""
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    store = EventStore(engine)
    with engine.connect() as connection:
        model = connection.exec_driver_sql(
            "SELECT saga_id FROM orch.ended_saga WHERE state = 'COMPLETED' LIMIT 1"
        ).scalar_one()
    events = store.read_stream(f"saga-{model}")
    ids = [str(uuid4()) for _ in range(count)]

    def append(batch: Sequence[str]) -> None:
        store.append_streams([_copy(one, events) for one in batch])

    with ThreadPoolExecutor(_THREADS) as threads:
        batches = [ids[at : at + _BATCH] for at in range(0, count, _BATCH)]
        for _ in threads.map(append, batches):
            pass
    # Numbered and tidied now, so that no chore of theirs falls into a measurement.
    store.sequence()
    with engine.connect() as connection:
        connection.exec_driver_sql(_ROWS, (ids, model))
        connection.exec_driver_sql("VACUUM ANALYZE")
        connection.exec_driver_sql("CHECKPOINT")
    store.close()


def _copy(saga_id: str, events: Sequence[RecordedEvent]) -> StreamAppend:
    """Return the events as another saga's."""
    correlation_id = uuid4()
    copies = [
        NewEvent(
            type=event.type,
            data=event.data,
            event_id=uuid4(),
            schema_version=event.schema_version,
            correlation_id=correlation_id,
            causation_id=event.causation_id and uuid4(),
            actor=event.actor,
            metadata=event.metadata,
        )
        for event in events
    ]
    return StreamAppend(f"saga-{saga_id}", copies, expected_version=NO_STREAM)
