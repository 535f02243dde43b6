"""What can go wrong in the event store.

    EventStoreError
    ├── NotCanonical            a value has no canonical JSON form (also ValueError)
    │   └── PayloadTooLarge     its canonical JSON is beyond the limit
    ├── InvalidAppend           the arguments of an append are refused (also ValueError)
    ├── WrongExpectedVersion    the stream is at another version
    ├── EventIdConflict         an event id is stored with other content
    ├── LogGap                  the numbered log lacks a number: it was tampered with
    ├── SubscriptionBusy        another consumer holds the subscription
    └── MigrationError          migrations and database do not fit together
        └── NotMigrated         the database lacks the schema, or part of it

Whatever the database itself reports (connection lost, statement cancelled)
arrives as SQLAlchemy's own errors.
"""

from collections.abc import Sequence
from uuid import UUID


class EventStoreError(Exception):
    """Any error that the event store raises itself."""


class NotCanonical(EventStoreError, ValueError):
    """A value cannot be written as canonical JSON.

    Attributes:
        path: Where the value stands, such as ``$.items[3].price``.
    """

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class PayloadTooLarge(NotCanonical):
    """The canonical JSON of a value is larger than the store takes.

    Attributes:
        size_bytes: Size of the refused JSON.
        limit_bytes: The largest size that is taken.
    """

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{size_bytes} bytes of JSON are over the limit of {limit_bytes} bytes "
            "(1 MiB) per event; store the bulk elsewhere and append a reference to it"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class InvalidAppend(EventStoreError, ValueError):
    """The arguments of an append are refused before anything is sent."""


class WrongExpectedVersion(EventStoreError):
    """The stream is not at the version that the append expected.

    Attributes:
        stream: Name of the stream.
        expected: The expected version, or ANY, NO_STREAM, EXISTS.
        actual: The stream's version; 0 if it has no events.
    """

    def __init__(self, stream: str, *, expected: int, actual: int) -> None:
        wanted = {-2: "to exist", 0: "to be new"}.get(expected, f"at {expected}")
        super().__init__(
            f"stream {stream!r} is at version {actual}, expected {wanted}; "
            "read it again and decide anew"
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class EventIdConflict(EventStoreError):
    """An event id of the append is stored with other content.

    Attributes:
        stream: Name of the stream.
        event_ids: The ids of the append, at least one of which is taken.
    """

    def __init__(self, stream: str, event_ids: Sequence[UUID]) -> None:
        ids = tuple(event_ids)
        shown = ", ".join(str(i) for i in ids[:3]) + (", …" if len(ids) > 3 else "")  # noqa: PLR2004 - enough to look up
        super().__init__(
            f"stream {stream!r} holds an event with one of the ids {shown} and other "
            "content; a retry must repeat the whole append, a new event needs a new id"
        )
        self.stream = stream
        self.event_ids = ids


class LogGap(EventStoreError):
    """The log lacks a number that it must have.

    Attributes:
        expected_seq: The number that should have come.
        found_seq: The number that came.
    """

    def __init__(self, *, expected_seq: int, found_seq: int) -> None:
        super().__init__(
            f"es.log goes on with seq {found_seq} where {expected_seq} is due; the "
            "sequencer leaves no gaps, so rows were removed: run "
            "`python -m eventstore verify`"
        )
        self.expected_seq = expected_seq
        self.found_seq = found_seq


class SubscriptionBusy(EventStoreError):
    """Another consumer is working on the subscription.

    Attributes:
        name: Name of the subscription.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"another consumer is at work on subscription {name!r}")
        self.name = name


class MigrationError(EventStoreError):
    """The migration files and what the database has applied do not fit together."""


class NotMigrated(MigrationError):
    """The database lacks the event store's schema, or its newer parts."""
