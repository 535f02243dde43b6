"""Handle events one after the other, each exactly once as far as the database sees.

The subscription's place and what the handler writes through its connection
commit together: after a crash both are there or neither is. Effects outside that
database (a mail, a message) happen at least once.
"""

from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import Connection

from eventstore.errors import SubscriptionBusy
from eventstore.event import RecordedEvent
from eventstore.sql import query
from eventstore.store import EventStore

Handler: TypeAlias = Callable[[Connection, RecordedEvent], None]


class Subscription:
    """A named place in the order of all events, or of one category's.

    Any number of processes may serve one name; one works at a time.
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        *,
        category: str | None = None,
        batch_size: int = 100,
    ) -> None:
        """Describe the subscription; nothing is read or written yet.

        Args:
            store: Where the events are.
            name: Under which the place is kept. It starts before the first event.
            category: Only these events; a name keeps its category for good.
            batch_size: How many events to handle in one transaction.
        """
        self._store = store
        self._name = name
        self._category = category
        self._batch_size = batch_size

    def position(self) -> int:
        """The number of the last event that was handled; -1 before the first."""
        with self._store.engine.connect() as connection:
            row = connection.exec_driver_sql(
                query("subscription_position"), (self._name,)
            ).first()
        return -1 if row is None else int(row.last_seq)

    def run_once(self, handler: Handler) -> int:
        """Handle the next batch of numbered events in one transaction.

        If the handler raises, the whole batch is rolled back, its place included,
        and the error goes on to the caller; the next call starts there again.

        Args:
            handler: Gets the transaction's connection and one event at a time.

        Returns:
            How many events were handled; 0 means none are waiting.

        Raises:
            SubscriptionBusy: Another consumer is at work; call again later.
            LogGap: The log was tampered with.
        """
        self._make()
        with self._store.engine.begin() as connection:
            row = connection.exec_driver_sql(
                query("lock_subscription"), (self._name,)
            ).first()
            if row is None:
                raise SubscriptionBusy(self._name)
            events = self._next(connection, after_seq=row.last_seq)
            for event in events:
                handler(connection, event)
            if events:
                connection.exec_driver_sql(
                    query("move_subscription"), (events[-1].seq, self._name)
                )
        return len(events)

    def run_all(self, handler: Handler) -> int:
        """Handle batches until no numbered events are waiting; return how many."""
        total = 0
        while handled := self.run_once(handler):
            total += handled
        return total

    def _next(
        self, connection: Connection, *, after_seq: int
    ) -> tuple[RecordedEvent, ...]:
        if self._category is None:
            return self._store.read_all(
                after_seq=after_seq, limit=self._batch_size, connection=connection
            )
        return self._store.read_category(
            self._category,
            after_seq=after_seq,
            limit=self._batch_size,
            connection=connection,
        )

    def _make(self) -> None:
        """Make the row beforehand: made in the batch it would make others wait."""
        with self._store.engine.begin() as connection:
            name = (self._name,)
            if not connection.exec_driver_sql(
                query("subscription_exists"), name
            ).scalar_one():
                connection.exec_driver_sql(query("make_subscription"), name)
