r"""The hashes of a stream, computed a second time outside the database.

Version 1 of the preimages. Integers are big-endian; ``lp(x)`` is the length of
``x`` in four bytes and then ``x``; ``opt(id)`` is 00, or 01 and the id::

    payload = SHA256("es1/payload\0" salt[16] lp(content_type) lp(data))
    meta    = SHA256("es1/meta\0" lp(metadata)
                     opt(correlation) opt(causation) lp(actor))
    hash_0  = SHA256("es1/genesis\0" store_id[16] lp(stream))
    hash_v  = SHA256("es1/event\0" hash_(v-1)[32] lp(stream) u64 version event_id[16]
                     lp(type) u32 schema_version i64 recorded_us meta payload)
    leaf    = SHA256(00 hash_v)

The stream's name in every event stops rows from moving between streams, the
store's id from moving between stores; the salt stops an erased payload from
being guessed. ``position`` is not hashed: a restore may number anew.
"""

from hashlib import sha256
from struct import Struct
from uuid import UUID

_U32 = Struct(">I")
_ENVELOPE_TAIL = Struct(">Iq")
_U64 = Struct(">Q")


def lp(data: bytes) -> bytes:
    """Prefix bytes with their length."""
    return _U32.pack(len(data)) + data


def payload_digest(salt: bytes, content_type: str, data: bytes) -> bytes:
    """Digest of what an event says."""
    return sha256(
        b"es1/payload\0" + salt + lp(content_type.encode()) + lp(data)
    ).digest()


def meta_digest(
    metadata: bytes, correlation: bytes | None, causation: bytes | None, actor: str
) -> bytes:
    """Digest of where an event comes from; ids as their 16 bytes."""
    return sha256(
        b"es1/meta\0"
        + lp(metadata)
        + (b"\0" if correlation is None else b"\1" + correlation)
        + (b"\0" if causation is None else b"\1" + causation)
        + lp(actor.encode())
    ).digest()


def genesis(store_id: UUID, stream: str) -> bytes:
    """Head of a stream before its first event."""
    return sha256(b"es1/genesis\0" + store_id.bytes + lp(stream.encode())).digest()


def event_hash(
    previous: bytes,
    stream: bytes,
    version: int,
    *,
    event_id: bytes,
    event_type: str,
    schema_version: int,
    recorded_us: int,
    meta: bytes,
    payload: bytes,
) -> bytes:
    """Hash of an event, which is the stream's head after it.

    Args:
        previous: Hash of the event before, or :func:`genesis`.
        stream: Name of the stream, UTF-8 and length-prefixed by :func:`lp`.
        version: Number of the event in its stream, from 1.
        event_id: Its 16 bytes.
        event_type: Name of the type.
        schema_version: Version of the type.
        recorded_us: Microseconds since 1970, UTC.
        meta: From :func:`meta_digest`.
        payload: From :func:`payload_digest`.
    """
    return sha256(
        b"es1/event\0"
        + previous
        + stream
        + _U64.pack(version)
        + event_id
        + lp(event_type.encode())
        + _ENVELOPE_TAIL.pack(schema_version, recorded_us)
        + meta
        + payload
    ).digest()


def leaf(event: bytes) -> bytes:
    """Merkle leaf of an event's hash (RFC 6962)."""
    return sha256(b"\0" + event).digest()
