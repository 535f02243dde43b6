"""The store: append events, read them back, number them.

An append is one statement and one round trip. Without a connection of the
caller's it commits by itself; with one it joins the caller's transaction, so that
business rows and event commit together or not at all.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, create_engine
from sqlalchemy.exc import ProgrammingError

from eventstore import sequencer
from eventstore.canonical import canonical_bytes
from eventstore.direct import Direct
from eventstore.errors import (
    EventIdConflict,
    InvalidAppend,
    LogGap,
    NotMigrated,
    WrongExpectedVersion,
)
from eventstore.event import ANY, AppendResult, NewEvent, RecordedEvent, StreamAppend
from eventstore.sql import query

MAX_NAME_CHARS: Final = 255

# undefined_table, undefined_function, invalid_schema_name
_NOT_MIGRATED: Final = frozenset({"42P01", "42883", "3F000"})


def driver_url(url: str) -> str:
    """Let plain ``postgres://`` and ``postgresql://`` URLs mean psycopg2."""
    scheme, separator, rest = url.partition("://")
    if scheme in {"postgres", "postgresql"}:
        scheme = "postgresql+psycopg2"
    return scheme + separator + rest


class EventStore:
    """An append-only, hash-chained event store in one Postgres database.

    Safe to share between threads; make it after a fork, not before.
    """

    def __init__(self, engine: Engine) -> None:
        """Use an engine of the caller's, which stays the caller's to dispose of.

        Appends and reads without a connection of the caller's go through a second
        pool with the settings of the first; :meth:`close` empties it.
        """
        self.engine = engine
        self._direct = Direct(engine)
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def connect(cls, url: str) -> Self:
        """Make a store with an engine of its own; nothing is opened yet."""
        return cls(create_engine(driver_url(url)))

    def close(self) -> None:
        """Close the connections of both pools; a later call opens new ones."""
        self._direct.close()
        self.engine.dispose()

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int = ANY,
        connection: Connection | None = None,
    ) -> AppendResult:
        """Append events to a stream, all or none, in one round trip.

        A retry with the same ids and content returns what the first attempt
        stored, with ``duplicate=True``, even if the stream has moved on since.

        Args:
            stream: Its name; what stands before the first ``-`` is its category.
            events: At least one.
            expected_version: The version the stream must be at, or ANY,
                NO_STREAM or EXISTS.
            connection: Joins this connection's transaction; the heads of the
                streams stay locked until it ends.

        Raises:
            WrongExpectedVersion: The stream is at another version.
            EventIdConflict: An id is stored with other content, or twice here.
            NotCanonical: Data or metadata cannot be written as JSON.
            InvalidAppend: No events, or a name is empty or too long.
            NotMigrated: The database lacks the schema.
        """
        if len(events) != 1:
            group = StreamAppend(stream, events, expected_version)
            return self.append_streams([group], connection=connection)[0]
        event = events[0]
        _check(stream, expected_version, events)
        parameters = (
            stream,
            expected_version,
            str(event.event_id),
            event.type,
            event.schema_version,
            _text(event.correlation_id),
            _text(event.causation_id),
            event.actor,
            canonical_bytes(event.metadata),
            canonical_bytes(event.data),
        )
        ((answer,),) = self._call("append_one", parameters, connection)
        outcome = json.loads(answer)
        if at := outcome["recorded_at"]:
            outcome["recorded_at"] = datetime.fromisoformat(at)
        append = StreamAppend(stream, events, expected_version)
        return _result(append, **outcome)

    def append_streams(
        self,
        appends: Sequence[StreamAppend],
        *,
        connection: Connection | None = None,
    ) -> tuple[AppendResult, ...]:
        """Append to several streams, all or nothing, in one round trip.

        Heads are locked in the order of the streams' names, so that two such
        appends never wait for each other in a circle.

        Raises:
            WrongExpectedVersion: One of the streams is at another version.
            EventIdConflict: An id is stored with other content, or some of the
                appends are stored already and others are not.
            NotCanonical: Data or metadata cannot be written as JSON.
            InvalidAppend: No appends or events, or a stream named twice.
            NotMigrated: The database lacks the schema.
        """
        rows = self._call("append_many", _arrays(appends), connection)
        pairs = [(append, row[1:]) for append, row in zip(appends, rows, strict=True)]
        if len({status for _, (status, *_) in pairs}) > 1:
            # Nothing was written. Report what stood in the way; a stream that is
            # stored already among others that are not is another append's.
            append, (status, *rest) = min(pairs, key=lambda p: _BLAME.index(p[1][0]))
            _result(append, status.replace("duplicate", "id_conflict"), *rest)
        return tuple(_result(append, *row) for append, row in pairs)

    def read_stream(
        self,
        stream: str,
        *,
        after_version: int = 0,
        limit: int | None = None,
        connection: Connection | None = None,
    ) -> tuple[RecordedEvent, ...]:
        """Read a stream in order; empty if it does not exist."""
        return self._read("read_stream", (stream, after_version, limit), connection)

    def read_all(
        self,
        *,
        after_seq: int = -1,
        limit: int | None = 1000,
        connection: Connection | None = None,
    ) -> tuple[RecordedEvent, ...]:
        """Read all events that are numbered, in dense order.

        Raises:
            LogGap: A number is missing, which only tampering can cause.
        """
        events = self._read("read_all", (after_seq, limit), connection)
        for due, event in enumerate(events, after_seq + 1):
            if event.seq is not None and event.seq != due:
                raise LogGap(expected_seq=due, found_seq=event.seq)
        return events

    def read_category(
        self,
        category: str,
        *,
        after_seq: int = -1,
        limit: int | None = 1000,
        connection: Connection | None = None,
    ) -> tuple[RecordedEvent, ...]:
        """Read the numbered events of one category, in the order of the log."""
        return self._read("read_category", (category, after_seq, limit), connection)

    def sequence(self) -> int:
        """Number what has been committed since the last tick.

        Returns:
            How many events this call numbered; 0 also if another process is at
            it this moment.
        """
        with _migrated():
            return sequencer.tick(self.engine) or 0

    def _read(
        self, name: str, parameters: tuple[Any, ...], connection: Connection | None
    ) -> tuple[RecordedEvent, ...]:
        return tuple(_recorded(row) for row in self._run(name, parameters, connection))

    def _run(
        self, name: str, parameters: tuple[Any, ...], connection: Connection | None
    ) -> Sequence[Row[Any]]:
        """Read by a named query, on the caller's connection if there is one."""
        with _migrated():
            if connection is not None:
                return connection.exec_driver_sql(query(name), parameters).all()
            with self._autocommit.connect() as own:
                return own.exec_driver_sql(query(name), parameters).all()

    def _call(
        self, name: str, parameters: tuple[Any, ...], connection: Connection | None
    ) -> Sequence[Sequence[Any]]:
        """Append by a named query, on the caller's connection if there is one."""
        with _migrated():
            if connection is not None:
                return connection.exec_driver_sql(query(name), parameters).all()
            return self._direct.rows(query(name), parameters)


# Whose status explains best why an append to several streams was refused.
_BLAME: Final = ("id_conflict", "conflict", "duplicate", "aborted")


@contextmanager
def _migrated() -> Iterator[None]:
    """Say what to do when the schema is not there."""
    try:
        yield
    except ProgrammingError as exc:
        if getattr(exc.orig, "pgcode", None) not in _NOT_MIGRATED:
            raise
        message = (
            "the database lacks the event store's schema, or its newer parts: run "
            f"`python -m eventstore migrate` ({exc.orig})"
        )
        raise NotMigrated(message) from exc


def _check(stream: str, expected: int, events: Sequence[NewEvent]) -> None:
    """Refuse what the database would refuse less clearly."""
    if not events:
        message = f"append to {stream!r} has no events; pass at least one"
        raise InvalidAppend(message)
    if expected < -2:  # noqa: PLR2004 - EXISTS is the lowest
        message = f"expected_version {expected} is neither a version nor ANY, EXISTS"
        raise InvalidAppend(message)
    _check_name("stream", stream)
    for event in events:
        _check_name("event type", event.type)
        if "\0" in event.actor:
            message = f"actor {event.actor!r} holds a NUL character; remove it"
            raise InvalidAppend(message)
        if event.schema_version < 1:
            message = f"schema_version {event.schema_version} must be at least 1"
            raise InvalidAppend(message)


def _check_name(what: str, name: str) -> None:
    if not name or len(name) > MAX_NAME_CHARS or "\0" in name:
        message = f"{what} {name!r} must have 1 to {MAX_NAME_CHARS} characters, no NUL"
        raise InvalidAppend(message)


def _arrays(appends: Sequence[StreamAppend]) -> tuple[Any, ...]:
    """The parameters of es.append_many, one array per column."""
    names = [append.stream for append in appends]
    if not names or len(set(names)) != len(names):
        message = f"append needs one or more streams, each named once: {names}"
        raise InvalidAppend(message)
    events: list[NewEvent] = []
    lasts = []
    for append in appends:
        _check(append.stream, append.expected_version, append.events)
        events += append.events
        lasts.append(len(events))
    return (
        names,
        [append.expected_version for append in appends],
        lasts,
        _literal(event.event_id.hex for event in events),
        _literal(_quoted(event.type) for event in events),
        _literal(str(event.schema_version) for event in events),
        _literal(str(event.correlation_id or "NULL") for event in events),
        _literal(str(event.causation_id or "NULL") for event in events),
        _literal(_quoted(event.actor) for event in events),
        _literal(_hex(canonical_bytes(event.metadata)) for event in events),
        [canonical_bytes(event.data) for event in events],
    )


# Arrays go out as one literal each. The driver's ARRAY[...] makes Postgres parse
# and type every element by itself, which takes longer than writing the events.


def _literal(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _hex(data: bytes) -> str:
    return f'"\\\\x{data.hex()}"'


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _result(
    append: StreamAppend, status: str, version: int, recorded_at: datetime
) -> AppendResult:
    """Turn a status of the SQL functions into a result or an error."""
    if status == "conflict":
        raise WrongExpectedVersion(
            append.stream, expected=append.expected_version, actual=version
        )
    if status == "id_conflict":
        ids = [event.event_id for event in append.events]
        raise EventIdConflict(append.stream, ids)
    return AppendResult(
        stream=append.stream,
        first_version=version - len(append.events) + 1,
        last_version=version,
        recorded_at=recorded_at,
        duplicate=status == "duplicate",
    )


def _recorded(row: Row[Any]) -> RecordedEvent:
    """The one place where stored bytes become an event again."""
    return RecordedEvent(
        stream=row.stream,
        version=row.version,
        event_id=row.event_id,
        type=row.type,
        schema_version=row.schema_version,
        recorded_at=row.recorded_at,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
        actor=row.actor,
        metadata=json.loads(bytes(row.metadata)),
        data=json.loads(bytes(row.data)),
        hash=bytes(row.hash),
        seq=row.seq,
    )
