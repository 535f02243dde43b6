"""What commands read: one database connection, sagas by id, their events."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestration.errors import SagaNotFound, TransportError

if TYPE_CHECKING:
    from eventstore import EventStore, RecordedEvent
    from orchestration.adapters.announcements import Announcements
    from orchestration.adapters.database import Database
    from orchestration.adapters.saga_index import SagaIndex, SagaSummary
    from orchestration.adapters.saga_log import SagaLog
    from orchestration.core.saga.events import SagaEvent
    from orchestration.core.saga.execution import SagaExecution
    from orchestration.settings import Settings

__all__ = ["SagaFacts", "Session", "expect_server", "meant", "session"]

_CONNECT_S = 3.0
_MIN_PREFIX = 4
_SEARCHED = 1_000


@dataclass(frozen=True, slots=True)
class SagaFacts:
    """A saga as read at one moment.

    Attributes:
        recorded: Its events as the store holds them, hashes included.
        events: The same as the fold takes them.
        status: What they amount to.
    """

    recorded: tuple[RecordedEvent, ...]
    events: tuple[SagaEvent, ...]
    status: SagaExecution


@dataclass(frozen=True, slots=True)
class Session:
    """One command's access to the database."""

    settings: Settings
    db: Database
    log: SagaLog
    index: SagaIndex
    store: EventStore
    announcements: Announcements

    def facts(self, saga_id: str, *, after: SagaFacts | None = None) -> SagaFacts:
        """Read a saga's events, or those that came after an earlier reading.

        Raises:
            SagaNotFound: There is no such saga.
        """
        from orchestration.core.saga.events import EventType, SagaEvent, stream_of
        from orchestration.core.saga.execution import execution_of
        from orchestration.core.saga.fold import fold

        known = after.recorded if after else ()
        stream = stream_of(saga_id)
        recorded = known + self.db.patiently(
            lambda: self.store.read_stream(stream, after_version=len(known))
        )
        events = tuple(
            SagaEvent(e.version, EventType(e.type), e.data, e.recorded_at)
            for e in recorded
        )
        view = fold(saga_id, events)
        if view is None:
            raise SagaNotFound(f"there is no saga {saga_id}", saga_id)
        waits = None if view.state.is_over else self.log.waiting_for(saga_id)
        return SagaFacts(recorded, events, execution_of(view, waits))

    def find(self, wanted: str | None) -> str:
        """Return the id that someone means: whole, its beginning, or the newest.

        Raises:
            SagaNotFound: None fits, or several do; the text says how to list them.
        """
        if wanted is not None:
            return meant(
                wanted, self.index.find, lambda one: bool(self.log.read(one).events)
            )
        newest = self.index.find(limit=1)
        if not newest:
            raise SagaNotFound("there are no sagas yet: start one", "")
        return newest[0].saga_id


def meant(
    wanted: str,
    find: Callable[..., Sequence[SagaSummary]],
    exists: Callable[[str], bool],
) -> str:
    """Return the id that someone means who gives it whole, or its beginning.

    Args:
        wanted: What was given.
        find: Returns the newest sagas, at most ``limit``.
        exists: Tells whether there is a saga of that very id, however old.

    Raises:
        SagaNotFound: None fits, or several do; the text says how to list them.
    """
    ids = [one.saga_id for one in find(limit=_SEARCHED)]
    if wanted in ids or exists(wanted):
        return wanted
    fits = [one for one in ids if one.startswith(wanted)]
    if len(wanted) >= _MIN_PREFIX and len(fits) == 1:
        return fits[0]
    why = f"{len(fits)} sagas begin with" if len(fits) > 1 else "there is no saga"
    raise SagaNotFound(f"{why} {wanted}: `orchestration saga list` shows ids", wanted)


@contextlib.contextmanager
def session(settings: Settings | None = None) -> Iterator[Session]:
    """Open the database that settings, or the environment, name; check its schema.

    Raises:
        ConfigurationError: DATABASE_URL or REDIS_URL is missing or wrong.
        TransportError: Nothing answers at the address.
        SchemaOutdated: A migration is missing.
    """
    from eventstore import EventStore
    from orchestration.adapters.announcements import Announcements
    from orchestration.adapters.database import Database
    from orchestration.adapters.saga_index import SagaIndex
    from orchestration.adapters.saga_log import SagaLog
    from orchestration.adapters.schema import check_schema
    from orchestration.settings import Settings

    settings = settings or Settings.from_env()
    expect_server("DATABASE_URL", settings.database_url, 5432)
    db = Database(settings.database_url, pool_size=1, name="cli")
    store = EventStore(db.engine)
    try:
        db.patiently(lambda: check_schema(db.engine))
        announcements = Announcements(db, settings.announce_interval_s)
        yield Session(settings, db, SagaLog(db), SagaIndex(db), store, announcements)
    finally:
        store.close()


def expect_server(variable: str, url: str, port: int) -> None:
    """See that something listens, since a person should not wait for a timeout.

    Args:
        variable: Names the address in the error.
        url: The address; one without a host (a local socket) is taken on trust.
        port: Where the address names none.

    Raises:
        TransportError: Nothing does.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        return
    try:
        address = (parts.hostname, parts.port or port)
        socket.create_connection(address, _CONNECT_S).close()
    except OSError as exc:
        raise TransportError(
            f"nothing answers at {parts.hostname}:{parts.port or port}, which "
            f"{variable} names ({exc.strerror or exc}): start the server, or "
            "`orchestration up` for local ones"
        ) from exc
