"""An append-only, hash-chained event store on Postgres, usable alone."""

from eventstore.canonical import canonical_bytes
from eventstore.errors import (
    EventIdConflict,
    EventStoreError,
    InvalidAppend,
    LogGap,
    MigrationError,
    NotCanonical,
    NotMigrated,
    PayloadTooLarge,
    SubscriptionBusy,
    WrongExpectedVersion,
)
from eventstore.event import (
    ANY,
    EXISTS,
    NO_STREAM,
    AppendResult,
    NewEvent,
    RecordedEvent,
    StreamAppend,
)
from eventstore.store import EventStore

__all__ = [
    "ANY",
    "EXISTS",
    "NO_STREAM",
    "AppendResult",
    "EventIdConflict",
    "EventStore",
    "EventStoreError",
    "InvalidAppend",
    "LogGap",
    "MigrationError",
    "NewEvent",
    "NotCanonical",
    "NotMigrated",
    "PayloadTooLarge",
    "RecordedEvent",
    "StreamAppend",
    "SubscriptionBusy",
    "WrongExpectedVersion",
    "canonical_bytes",
]
