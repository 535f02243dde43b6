"""Find what was changed behind the store's back.

Every hash is computed anew from the stored columns, outside the database. That
finds any change by someone who does not recompute the chain after it. Someone who
may write the tables *and* recomputes everything is found only by comparison with
something kept elsewhere, which this module does not do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, Engine

from eventstore import chain
from eventstore.scan import Head, StoredEvent, scan
from eventstore.sql import query


class Reason(StrEnum):
    """How a stream, or the log, is broken."""

    EVENT_MISSING = "an event is missing"
    EVENT_ADDED = "an event was added behind the head"
    EVENT_CHANGED = "its id, type, schema version, time, digests or hash changed"
    METADATA_CHANGED = "its metadata, correlation, causation or actor changed"
    DATA_CHANGED = "its data, content type or salt changed"
    TAIL_CUT = "the newest events are missing"
    HEAD_CHANGED = "the stream's head changed"
    HEAD_MISSING = "the stream's head is missing"
    CATEGORY_CHANGED = "the category is not the name's"
    LOG_CHANGED = "its row in the log changed"
    LOG_ORDER = "the log numbers it before an older event of its stream"
    LOG_GAP = "the log lacks a number"
    LOG_EVENT_MISSING = "the log numbers an event that is missing"


@dataclass(frozen=True, slots=True)
class Failure:
    """The first thing wrong with a stream, or with the log.

    Attributes:
        stream: Its name; None where only the log knows of it.
        version: The event's version; for the log its number.
        reason: What is wrong.
    """

    stream: str | None
    version: int
    reason: Reason

    def __str__(self) -> str:
        """Say it in a sentence."""
        if self.stream is None:
            return f"log, number {self.version}: {self.reason}"
        return f"stream {self.stream!r}, version {self.version}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a verification saw.

    Attributes:
        events: How many events were checked.
        streams: How many streams.
        unnumbered: How many events the sequencer has yet to number.
        failures: The first failure of each broken stream, then those of the log.
    """

    events: int
    streams: int
    unnumbered: int
    failures: tuple[Failure, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.failures


def verify(engine: Engine, *, stream: str | None = None) -> Report:
    """Check every chain and head, and the log, in one snapshot.

    Writers are not disturbed. Memory stays small however large the store is.

    Args:
        engine: Of the store's database; its driver must be psycopg2.
        stream: Only this stream; the log as a whole is then not checked.
    """
    frozen = engine.execution_options(isolation_level="REPEATABLE READ")
    with frozen.begin() as connection:
        store_id: UUID = connection.exec_driver_sql(query("store_id")).scalar_one()
        verifier = _Verifier(store_id)
        scan(connection, verifier.event, stream=stream)
        for row in connection.exec_driver_sql(
            query("verify_empty_streams"), (stream, stream)
        ):
            verifier.begin(row[0], Head(row[1], row[2], row[3], bytes(row[4])))
        verifier.end()
        log = list(_log(connection)) if stream is None else []
    return verifier.report(log)


class _Verifier:
    """Takes the events of all streams, one stream after the other."""

    __slots__ = (
        "_events",
        "_failures",
        "_store_id",
        "_stream_id",
        "_streams",
        "_unnumbered",
        "_walk",
    )

    def __init__(self, store_id: UUID) -> None:
        self._store_id = store_id
        self._walk: _Walk | None = None
        self._stream_id = 0
        self._failures: dict[int, Failure] = {}
        self._events = self._streams = self._unnumbered = 0

    def event(self, event: StoredEvent) -> None:
        """Check the next event, which may begin another stream."""
        if event.stream_id != self._stream_id or not self._streams:
            self.begin(event.stream_id, event.head())
        self._events += 1
        self._unnumbered += event.seq is None
        walk = self._walk
        if walk is None:
            if event.stream_id not in self._failures:
                name = f"(stream_id {event.stream_id})"
                lost = Failure(name, event.version, Reason.HEAD_MISSING)
                self._failures[event.stream_id] = lost
        elif walk.failure is None:
            walk.step(event)

    def begin(self, stream_id: int, head: Head | None) -> None:
        """Go over to the next stream."""
        self.end()
        self._stream_id = stream_id
        self._streams += 1
        self._walk = None if head is None else _Walk(self._store_id, head)

    def end(self) -> None:
        """Check the head of the stream that has ended."""
        if self._walk is not None and (failure := self._walk.finish()) is not None:
            self._failures[self._stream_id] = failure

    def report(self, log: list[Failure]) -> Report:
        """Sum up."""
        broken = [failure for _, failure in sorted(self._failures.items())]
        return Report(
            events=self._events,
            streams=self._streams,
            unnumbered=self._unnumbered,
            failures=(*broken, *log),
        )


class _Walk:
    """The chain of one stream, event by event, up to the first failure."""

    __slots__ = ("_due", "_hash", "_head", "_name", "_seq", "failure")

    def __init__(self, store_id: UUID, head: Head) -> None:
        self._head = head
        self._name = chain.lp(head.name.encode())
        self._hash = chain.genesis(store_id, head.name)
        self._due = 1
        self._seq = -1
        self.failure: Failure | None = None

    def step(self, event: StoredEvent) -> None:
        """Check the next event."""
        reason = self._check(event)
        if reason is None:
            self._due += 1
        else:
            # What is missing is the version that was due, not the one that came.
            missing = reason is Reason.EVENT_MISSING
            version = self._due if missing else event.version
            self.failure = Failure(self._head.name, version, reason)

    def _check(self, event: StoredEvent) -> Reason | None:
        if event.version > self._head.version:
            return Reason.EVENT_ADDED
        if event.version != self._due:
            return Reason.EVENT_MISSING
        if event.meta_digest != chain.meta_digest(
            event.metadata, event.correlation_id, event.causation_id, event.actor
        ):
            return Reason.METADATA_CHANGED
        if event.salt is None or event.data is None:
            return Reason.DATA_CHANGED
        if event.payload_digest != chain.payload_digest(
            event.salt, event.content_type, event.data
        ):
            return Reason.DATA_CHANGED
        self._hash = chain.event_hash(
            self._hash,
            self._name,
            event.version,
            event_id=event.event_id,
            event_type=event.type,
            schema_version=event.schema_version,
            recorded_us=event.recorded_us,
            meta=event.meta_digest,
            payload=event.payload_digest,
        )
        if self._hash != event.hash:
            return Reason.EVENT_CHANGED
        return None if event.seq is None else self._check_log(event, event.seq)

    def _check_log(self, event: StoredEvent, seq: int) -> Reason | None:
        if event.leaf != chain.leaf(self._hash):
            return Reason.LOG_CHANGED
        if event.category != self._head.category:
            return Reason.LOG_CHANGED
        if seq < self._seq:
            return Reason.LOG_ORDER
        self._seq = seq
        return None

    def finish(self) -> Failure | None:
        """Check the head once the events have ended; return the stream's failure."""
        if self.failure is not None:
            return self.failure
        head, last = self._head, self._due - 1
        if head.version > last:
            return Failure(head.name, self._due, Reason.TAIL_CUT)
        if head.hash != self._hash:
            return Failure(head.name, head.version, Reason.HEAD_CHANGED)
        if head.category != head.name.partition("-")[0]:
            return Failure(head.name, head.version, Reason.CATEGORY_CHANGED)
        return None


def _log(connection: Connection) -> Iterator[Failure]:
    """Check that the log is dense and that its events are there."""
    gap, numbered, next_seq = connection.exec_driver_sql(query("verify_log")).one()
    if gap is not None:
        yield Failure(None, gap, Reason.LOG_GAP)
    elif numbered != next_seq:
        yield Failure(None, numbered, Reason.LOG_GAP)
    for row in connection.exec_driver_sql(query("verify_log_rows")):
        yield Failure(None, row.seq, Reason.LOG_EVENT_MISSING)
