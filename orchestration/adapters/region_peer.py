"""Reads another region's log, and never waits for it longer than it may."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

import psycopg2
from psycopg2 import extensions

from orchestration.adapters.queries import load_queries
from orchestration.core.registry.events import EventType, RegistryEvent
from orchestration.errors import TransportError

__all__ = ["PeerLog", "PeerPage", "Place", "open_peer"]

# What a region says of its own agents. What it copied from others it only passes by.
_TYPES: Final = [
    str(EventType.AGENT_REGISTERED),
    str(EventType.AGENT_UPDATED),
    str(EventType.AGENT_STATUS_CHANGED),
    str(EventType.AGENT_DEREGISTERED),
]
_PER_PAGE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Place:
    """How far a region's log has been read.

    Attributes:
        cursor: The last number; -1: nothing.
        leaf: What the log has there, to know it again.
        generation: Which reading from the beginning this is.
        is_building: It has not come to the end yet.
    """

    cursor: int
    leaf: bytes | None
    generation: int
    is_building: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPage:
    """Some of a log's events, in its order.

    Attributes:
        is_same_log: It has at the cursor what was read there.
        head: Its last number; None: it is empty.
        cursor: Up to where it is read with this page.
        leaf: What it has there.
        is_last: There is no more now.
        events: About that region's own agents.
    """

    is_same_log: bool
    head: int | None
    cursor: int
    leaf: bytes | None
    is_last: bool
    events: tuple[RegistryEvent, ...]


class PeerLog:
    """A connection to another region's database; all it does has one deadline."""

    def __init__(self, connection: extensions.connection, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def read(self, after: Place, *, limit: int = _PER_PAGE) -> PeerPage:
        """Return what follows a place.

        Raises:
            TransportError: The region did not answer in time, or refused.
        """
        sql = load_queries("regions.sql")["peer_page"]
        given = {"after": after.cursor, "limit": limit, "types": _TYPES}
        with peer_errors(), self._connection.cursor() as cursor:
            cursor.execute(sql, given)
            self.wait()
            rows = cursor.fetchall()
        return _page(after, rows, limit)

    def wait(self) -> None:
        """Wait until what was begun is done.

        Raises:
            TransportError: It is not, and the time is over.
        """
        # libpq's own timeouts end neither a server that stands still nor a network
        # that acknowledges and answers nothing.
        while (state := self._connection.poll()) != extensions.POLL_OK:
            left_s = max(0.0, self._deadline - time.monotonic())
            socket = [self._connection.fileno()]
            is_read = state == extensions.POLL_READ
            ready = select.select(
                socket if is_read else [], [] if is_read else socket, [], left_s
            )
            if not any(ready):
                raise TransportError("it did not answer in time")


@contextmanager
def open_peer(url: str, timeout_s: float) -> Iterator[PeerLog]:
    """Connect to another region's database.

    Args:
        url: Where it is.
        timeout_s: How long all that is done may take.

    Raises:
        TransportError: The region did not answer in time, or refused.
    """
    with peer_errors():
        # Asynchronous: each wait is our own.
        connection = psycopg2.connect(
            url, async_=1, application_name="orchestration region"
        )
        try:
            peer = PeerLog(connection, time.monotonic() + timeout_s)
            peer.wait()
            yield peer
        finally:
            connection.close()


@contextmanager
def peer_errors() -> Iterator[None]:
    """Raise the driver's errors as our own."""
    try:
        yield
    except psycopg2.Error as exc:
        # Its first line: the rest are hints of libpq for a terminal.
        text = str(exc).strip().partition("\n")[0]
        raise TransportError(text or type(exc).__name__) from exc


def _page(after: Place, rows: Sequence[Sequence[Any]], limit: int) -> PeerPage:
    here, head, head_leaf, count, last, last_leaf = rows[0][:6]
    is_last = count < limit
    cursor, leaf = (head, head_leaf) if is_last else (last, last_leaf)
    return PeerPage(
        is_same_log=after.leaf is None or _bytes(here) == after.leaf,
        head=head,
        cursor=after.cursor if cursor is None else cursor,
        leaf=_bytes(leaf),
        is_last=is_last,
        events=tuple(
            RegistryEvent(
                version, EventType(kind), json.loads(bytes(data)), at.astimezone(UTC)
            )
            for *_, version, kind, data, at in rows
            if version is not None
        ),
    )


def _bytes(given: memoryview | bytes | None) -> bytes | None:
    return None if given is None else bytes(given)
