"""Committed vectors: the preimages never change without a new version tag."""

from uuid import UUID

from eventstore import chain

STORE = UUID("00112233-4455-6677-8899-aabbccddeeff")
EVENT = UUID("ffeeddcc-bbaa-9988-7766-554433221100")


def test_genesis() -> None:
    assert chain.genesis(STORE, "order-1").hex() == GENESIS


def test_payload_digest() -> None:
    assert payload().hex() == PAYLOAD


def test_meta_digest_tells_absent_ids_from_zero() -> None:
    assert chain.meta_digest(b"{}", None, EVENT.bytes, "me").hex() == META
    zero = chain.meta_digest(b"{}", bytes(16), EVENT.bytes, "me")
    assert zero.hex() != META


def test_event_hash_and_leaf() -> None:
    hashed = chain.event_hash(
        chain.genesis(STORE, "order-1"),
        chain.lp(b"order-1"),
        1,
        event_id=EVENT.bytes,
        event_type="PLACED",
        schema_version=1,
        recorded_us=1_767_225_600_000_000,
        meta=chain.meta_digest(b"{}", None, EVENT.bytes, "me"),
        payload=payload(),
    )
    assert hashed.hex() == HASH
    assert chain.leaf(hashed).hex() == LEAF


def payload() -> bytes:
    return chain.payload_digest(bytes(range(16)), "application/json", b'{"a":1}')


# Made by SQL, independently of chain.py (es.genesis, es.payload_digest, …).
GENESIS = "322a0d18690bd0f7ea6abeac1bc8a495cef87a8832682441f9b55e7f7ee11b60"
PAYLOAD = "2f2fdd2dabc6f4519c07e0848324c61a39b337068c2b4f1377dc77d32bc789c8"
META = "2744fa62eb9dff15f10c0581c6aef0448aaab196ca14f1aa0c36d0bd434dc046"
HASH = "4aa67e2b2e9107fdfd3af6109616e3b8e75c47e0f33bd4a391176dfe22e06638"
LEAF = "3817f5691eca97b8078ca70bd16207b7129da71f4c6a248042c781dbe0a7c0a8"
