"""What may be recorded: JSON, and not too much of it; and how it reads from then on."""

from __future__ import annotations

import json
from typing import Any

from eventstore import PayloadTooLarge as OverTheStoresLimit
from eventstore import canonical_bytes
from orchestration.errors import PayloadTooLarge

__all__ = ["as_recorded", "checked_payload"]


def as_recorded(value: object) -> tuple[Any, int]:
    """Return a value as it is read back from an event, and its size there in bytes.

    A tuple is a list then, ``1.0`` is ``1``, an enum's member its value: what goes on
    in the process that recorded it must not differ from what goes on in others. Of a
    small dict this takes two or three microseconds more than its size alone. Of a
    value that is over the store's own limit only the size is told.

    Raises:
        NotCanonical: It is no JSON; the text says where.
    """
    try:
        encoded = canonical_bytes(value)
    except OverTheStoresLimit as exc:
        return None, exc.size_bytes
    return json.loads(encoded.decode()), len(encoded)


def checked_payload(what: str, value: object, max_bytes: int) -> Any:  # noqa: ANN401  JSON
    """Return a value that may be recorded, as it is read back.

    Args:
        what: What it is, for the error.
        value: Something that is to be JSON.
        max_bytes: The limit.

    Raises:
        NotCanonical: It is no JSON; the text says where.
        PayloadTooLarge: It is over the limit.
    """
    plain, size = as_recorded(value)
    if size > max_bytes:
        raise PayloadTooLarge(
            f"{what}: {size} bytes, the limit is {max_bytes} "
            "(ORCHESTRATION_MAX_PAYLOAD_BYTES): pass a reference to the data"
        )
    return plain
