"""Read all stored events as fast as the driver lets us: binary COPY.

Reading a hundred thousand events through a cursor takes longer than checking
them, for the driver makes an object of every column. COPY hands over each row as
bytes, in the binary form that the hashes are made of anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from sqlalchemy import Connection

from eventstore.sql import query

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES: Final = len(_SIGNATURE) + 8
_TRAILER: Final = b"\xff\xff"

# Column count, then each column behind its length: stream_id, version, event_id,
# schema_version, recorded_at, meta_digest, payload_digest, hash.
_FIXED: Final = Struct(">hiqiqi16siiiqi32si32si32s")
_FIXED_LENGTHS: Final = (8, 8, 16, 4, 8, 32, 32, 32)
_COLUMNS: Final = 23
_HEAD_COLUMNS: Final = 4

_LENGTH: Final = Struct(">i")
_BIGINT: Final = Struct(">q")
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000


@dataclass(frozen=True, slots=True)
class Head:
    """What a stream's row says: name, category, version, hash of the last event."""

    name: str
    category: str
    version: int
    hash: bytes


@dataclass(slots=True)
class StoredEvent:
    """One row of es.events with its rows in es.log and es.streams, undecoded."""

    stream_id: int
    version: int
    event_id: bytes
    schema_version: int
    recorded_us: int
    meta_digest: bytes
    payload_digest: bytes
    hash: bytes
    type: str
    actor: str
    metadata: bytes
    content_type: str
    data: bytes | None
    salt: bytes | None
    correlation_id: bytes | None
    causation_id: bytes | None
    seq: int | None
    category: str | None
    leaf: bytes | None
    rest: tuple[bytes, int]

    def head(self) -> Head | None:
        """The stream's row, if there is one; read only where a stream begins."""
        name, category, version, head = _columns(*self.rest, _HEAD_COLUMNS)[0]
        if name is None or category is None or version is None or head is None:
            return None
        return Head(name.decode(), category.decode(), _BIGINT.unpack(version)[0], head)


def scan(
    connection: Connection,
    receive: Callable[[StoredEvent], None],
    *,
    stream: str | None = None,
) -> None:
    """Pass every event, or one stream's, in the order of streams and versions."""
    driver = connection.connection.cursor()
    try:
        copy = driver.mogrify(query("verify_events"), (stream, stream)).decode()
        driver.copy_expert(copy, _Receiver(receive), size=0)
    finally:
        driver.close()


class _Receiver:
    """The file that COPY writes to; the driver writes one row at a time."""

    def __init__(self, receive: Callable[[StoredEvent], None]) -> None:
        self._receive = receive
        self._begun = False

    def write(self, data: bytes) -> None:
        """Take one row; the first comes behind the header, the last is a mark."""
        start = 0
        if not self._begun:
            self._begun = True
            start = _HEADER_BYTES
        if data[start : start + 2] != _TRAILER:
            self._receive(_event(data, start))


def _event(data: bytes, start: int) -> StoredEvent:
    """Cut a row into its columns."""
    fixed = _FIXED.unpack_from(data, start)
    if fixed[1::2] == _FIXED_LENGTHS:
        columns, end = _columns(data, start + _FIXED.size, _COLUMNS - 8 - 4)
        _, _, stream_id, _, version, _, event_id, _, schema, _, at = fixed[:11]
        meta, payload, stored = fixed[12::2]
    else:
        # A digest of another length, which no append writes: read it all the same.
        every, end = _columns(data, start + 2, _COLUMNS - 4)
        stream_id, version, at = (_bigint(every[i]) for i in (0, 1, 4))
        event_id, meta, payload, stored = (every[i] or b"" for i in (2, 5, 6, 7))
        schema = _LENGTH.unpack(every[3] or b"")[0]
        columns = every[8:]
    kind, actor, metadata, content_type, content, salt = columns[:6]
    correlation, causation, seq, category, leaf = columns[6:]
    return StoredEvent(
        stream_id,
        version,
        event_id,
        schema,
        at + _POSTGRES_EPOCH_US,
        meta,
        payload,
        stored,
        (kind or b"").decode(),
        (actor or b"").decode(),
        metadata or b"",
        (content_type or b"").decode(),
        content,
        salt,
        correlation,
        causation,
        None if seq is None else _bigint(seq),
        None if category is None else category.decode(),
        leaf,
        (data, end),
    )


def _bigint(data: bytes | None) -> int:
    value: int = _BIGINT.unpack(data or b"")[0]
    return value


def _columns(data: bytes, start: int, count: int) -> tuple[list[bytes | None], int]:
    """Read columns behind their lengths; return where the next one begins."""
    columns: list[bytes | None] = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, start)
        start += 4
        if length < 0:
            columns.append(None)
        else:
            columns.append(data[start : start + length])
            start += length
    return columns, start
