"""Routing decisions on record: many in one event, written by a thread of their own.

A decision takes microseconds and a commit milliseconds, so the two never meet: what was
decided waits in memory, in bounds. What is over them is dropped and counted; a decision
is never held up, and never fails because it could not be recorded.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import uuid4

from eventstore import EventStore, EventStoreError, NewEvent, RecordedEvent
from orchestration.adapters.database import DATABASE_ERRORS, Database
from orchestration.core.routing.decision import Decision
from orchestration.core.routing.record import DecisionRecord

__all__ = ["RecordedDecision", "RouteLog", "RouteRecorder"]

_LOG: Final = logging.getLogger(__name__)
CATEGORY: Final = "routing"
EVENT: Final = "ROUTES_DECIDED"
_EVERY_S: Final = 0.2
_MAX_WAITING: Final = 20_000
_PER_EVENT: Final = 200  # decisions
_LOOKED_AT: Final = 4_000  # agents, of which the decisions of an event tell
_PER_APPEND: Final = 10  # events
_AT_EXIT_S: Final = 1.0
_PAGE: Final = 500  # events


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision as the event store holds it.

    Attributes:
        stream: Of the router that decided.
        version: Of the event that holds it.
        record: What was decided, and from what.
    """

    stream: str
    version: int
    record: DecisionRecord


class RouteLog:
    """Decisions in the event store.

    Args:
        db: Where it is.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._store = EventStore(db.engine)

    def append(self, stream: str, events: list[NewEvent]) -> None:
        """Append events; again with the same ones changes nothing.

        Raises:
            TransportError: The database stayed away.
            EventStoreError: The store does not take them.
        """
        self._db.patiently(lambda: self._store.append(stream, events))

    def read(self, *, after_seq: int = -1) -> Iterator[RecordedDecision]:
        """Yield all recorded decisions, in the order of the log.

        Raises:
            TransportError: The database stayed away.
        """
        self._db.patiently(self._store.sequence)
        while True:
            page = self._db.patiently(partial(self._page, after_seq))
            if not page:
                return
            for event in page:
                after_seq = after_seq if event.seq is None else event.seq
                if event.type == EVENT:
                    for one in event.data["decisions"]:
                        record = DecisionRecord.from_json(one)
                        yield RecordedDecision(event.stream, event.version, record)

    def _page(self, after_seq: int) -> tuple[RecordedEvent, ...]:
        return self._store.read_category(CATEGORY, after_seq=after_seq, limit=_PAGE)


class RouteRecorder:
    """Takes decisions, and records them a little later.

    Args:
        log: Where to.
        actor: Who decides, for the events.

    Attributes:
        stream: Where this router's decisions are.
        recorded: Decisions that are on record.
        dropped: Decisions that are not, and will not be.
    """

    def __init__(
        self, log: RouteLog, actor: str = "", *, max_waiting: int = _MAX_WAITING
    ) -> None:
        self.stream = f"{CATEGORY}-{uuid4().hex}"
        self.recorded = self.dropped = 0
        self._log, self._actor, self._max_waiting = log, actor, max_waiting
        self._waiting: deque[Decision] = deque()
        self._unsent: list[tuple[NewEvent, int]] = []
        self._closed = threading.Event()
        self._writing = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, decision: Decision) -> None:
        """Take a decision, unless too many wait already."""
        if len(self._waiting) >= self._max_waiting or self._closed.is_set():
            self.dropped += 1
            return
        self._waiting.append(decision)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Record what waits, now.

        Raises:
            TransportError: The database stayed away; it is tried again later.
        """
        with self._writing:
            while self._unsent or self._waiting:
                while len(self._unsent) < _PER_APPEND and self._waiting:
                    self._unsent.append(self._next_event())
                self._append()

    def close(self, timeout_s: float = 5.0) -> None:
        """Record what waits, if that is done in time, and end the thread."""
        atexit.unregister(self._at_exit)
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        left = len(self._waiting) + sum(count for _, count in self._unsent)
        if left:
            self.dropped += left
            _LOG.warning("%d routing decisions were not recorded any more", left)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="route-recorder", daemon=True
                )
                self._thread.start()
                atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        self.close(_AT_EXIT_S)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closed.wait(_EVERY_S)
            try:
                self.flush()
            except DATABASE_ERRORS as exc:
                _LOG.warning("routing decisions not recorded yet: %s", exc)
            except Exception:  # noqa: BLE001  the edge of a thread
                _LOG.warning("routing decisions not recorded", exc_info=True)

    def _next_event(self) -> tuple[NewEvent, int]:
        """Return an event of what waits, and how many decisions it holds."""
        told: list[Mapping[str, Any]] = []
        looked_at = 0
        while self._waiting and len(told) < _PER_EVENT and looked_at < _LOOKED_AT:
            record = DecisionRecord.of(self._waiting.popleft())
            looked_at += len(record.seen)
            told.append(record.to_json())
        return NewEvent(EVENT, {"decisions": told}, actor=self._actor), len(told)

    def _append(self) -> None:
        events = [event for event, _ in self._unsent]
        count = sum(held for _, held in self._unsent)
        try:
            self._log.append(self.stream, events)
        except EventStoreError:
            # None of them is stored: it would be refused again.
            _LOG.exception("%d routing decisions cannot be recorded", count)
            self.dropped += count
        else:
            self.recorded += count
        self._unsent = []
