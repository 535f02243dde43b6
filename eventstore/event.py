"""What goes into the store and what comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

ANY: Final = -1
"""Append whatever the stream's version is."""

NO_STREAM: Final = 0
"""Append only if the stream has no events yet."""

EXISTS: Final = -2
"""Append only if the stream has events."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append.

    Appending it again with the same id and content is a retry and changes
    nothing, so an id made before the first attempt makes a retry safe.

    Attributes:
        type: Name of what happened, such as ``SAGA_STARTED``.
        data: What happened, JSON-like (see :mod:`eventstore.canonical`).
        event_id: Unique in its stream.
        schema_version: Version of the shape of ``data``, from 1.
        metadata: About the event rather than in it, such as the task's ids.
        correlation_id: What the whole activity shares.
        causation_id: The event or message that caused this one.
        actor: Who did it.
    """

    type: str
    data: Mapping[str, Any]
    event_id: UUID = field(default_factory=uuid4, kw_only=True)
    schema_version: int = field(default=1, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    correlation_id: UUID | None = field(default=None, kw_only=True)
    causation_id: UUID | None = field(default=None, kw_only=True)
    actor: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class StreamAppend:
    """The events of one stream in an append to several."""

    stream: str
    events: Sequence[NewEvent]
    expected_version: int = ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendResult:
    """Where the events of an append stand.

    Attributes:
        stream: Name of the stream.
        first_version: Version of the first of them.
        last_version: Version of the last of them.
        recorded_at: When they were recorded, on the database's clock.
        duplicate: Whether an earlier append had stored them.
    """

    stream: str
    first_version: int
    last_version: int
    recorded_at: datetime
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """An event as the store holds it.

    Attributes:
        stream: Name of the stream.
        version: Number in the stream, from 1.
        event_id: Unique in the stream.
        type: Name of what happened.
        schema_version: Version of the shape of ``data``.
        recorded_at: When it was recorded; never goes back within a stream.
        correlation_id: What the whole activity shares.
        causation_id: What caused it.
        actor: Who did it.
        metadata: About the event.
        data: What happened.
        hash: Its hash in the stream's chain.
        seq: Its dense number among all events; None where events are read by
            stream, for that order is there before the sequencer has run.
    """

    stream: str
    version: int
    event_id: UUID
    type: str
    schema_version: int
    recorded_at: datetime
    correlation_id: UUID | None
    causation_id: UUID | None
    actor: str
    metadata: Mapping[str, Any]
    data: Mapping[str, Any]
    hash: bytes
    seq: int | None = None
