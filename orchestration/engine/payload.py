"""What may be recorded: JSON, and not too much of it."""

from __future__ import annotations

from eventstore import PayloadTooLarge as OverTheStoresLimit
from eventstore import canonical_bytes
from orchestration.errors import PayloadTooLarge

__all__ = ["check_payload", "json_size"]


def json_size(value: object) -> int:
    """Return how many bytes a value takes in an event.

    Raises:
        NotCanonical: It is no JSON; the text says where.
    """
    try:
        return len(canonical_bytes(value))
    except OverTheStoresLimit as exc:
        return exc.size_bytes


def check_payload(what: str, value: object, max_bytes: int) -> None:
    """Return if a value may be recorded.

    Args:
        what: What it is, for the error.
        value: Something that is to be JSON.
        max_bytes: The limit.

    Raises:
        NotCanonical: It is no JSON; the text says where.
        PayloadTooLarge: It is over the limit.
    """
    if (size := json_size(value)) > max_bytes:
        raise PayloadTooLarge(
            f"{what}: {size} bytes, the limit is {max_bytes} "
            "(ORCHESTRATION_MAX_PAYLOAD_BYTES): pass a reference to the data"
        )
