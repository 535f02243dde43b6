"""Messages to agents as Celery tasks: one each, or many of one pool in one task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from celery import Celery

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.celery_bus import queue_of
from orchestration.adapters.publishing import Publisher
from orchestration.contracts import AGENT_MESSAGE, MessageItem, message_label
from orchestration.core.messaging.model import Priority
from orchestration.core.messaging.packing import Parcel, Way, packed
from orchestration.core.messaging.priority import priority_number
from orchestration.errors import TransportError

__all__ = ["Addressed", "MessageSender"]

_IF_NOT = "send it again; with the same message_id, since it may have arrived after all"
_TRANSIENT, _PERSISTENT = 1, 2


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message that has been looked at and may go.

    Attributes:
        item: As it goes.
        priority: How urgent it is.
        size: Bytes of its payload.
    """

    item: MessageItem
    priority: Priority
    size: int


class MessageSender:
    """Sends messages, and returns once the broker has them.

    Args:
        app: A producer that has each message confirmed.
        announcements: Which pool an agent is served from.
    """

    def __init__(self, app: Celery, announcements: Announcements) -> None:
        self._app = app
        self._announcements = announcements
        self._publisher = Publisher(app, _IF_NOT)

    def send(
        self,
        messages: Iterable[Addressed],
        *,
        reply_to: str | None = None,
        group_id: str | None = None,
    ) -> None:
        """Send each message by a task of its own.

        Args:
            messages: The messages.
            reply_to: Where answers go to.
            group_id: The tasks' group; None: several have one of their own.

        Raises:
            TransportError: The broker did not take one; those before it are sent.
        """
        given = tuple(messages)
        group = group_id or (str(uuid4()) if len(given) > 1 else None)
        for one in given:
            self._publish(self._way(one), [one.item], reply_to=reply_to, group_id=group)

    def send_packed(self, messages: Iterable[Addressed]) -> None:
        """Send messages, those of one pool and priority together.

        Raises:
            TransportError: The broker did not take some; others may be sent.
        """
        ways = ((self._way(one), one.item, one.size) for one in messages)
        for parcel in packed(ways):
            self._publish_parcel(parcel)

    def send_again(
        self, items: Sequence[MessageItem], wait_ms: int, reply_to: str | None
    ) -> None:
        """Have items of one pool handled once more.

        Raises:
            TransportError: The broker did not take them.
        """
        priority = Priority(items[0]["message"]["priority"])
        way = Way(queue_of(items[0]["agent_id"], self._announcements), priority)
        self._publish(way, items, reply_to=reply_to, countdown=wait_ms / 1_000 or None)

    def keep_time(self) -> None:
        """Hear the database's time again, if it has not been told for a while."""
        with suppress(TransportError):  # the last offset will do
            self._announcements.subscriptions()

    def close(self) -> None:
        """Give the connections to the broker back, and the app up."""
        self._publisher.close()
        self._app.close()

    def _way(self, one: Addressed) -> Way:
        return Way(queue_of(one.item["agent_id"], self._announcements), one.priority)

    def _publish_parcel(self, parcel: Parcel) -> None:
        self._publish(parcel.way, parcel.items)

    def _publish(
        self,
        way: Way,
        items: Sequence[MessageItem],
        *,
        reply_to: str | None = None,
        **options: Any,  # noqa: ANN401  Celery's own
    ) -> None:
        broker_url = self._app.conf.broker_url
        # A request is of no use after its deadline, so no disk is waited for.
        is_lasting = reply_to is None
        self._publisher.publish(
            {
                "task": AGENT_MESSAGE,
                "kwargs": {"items": items, "reply_to": reply_to},
                "options": {
                    "queue": way.queue,
                    "priority": priority_number(way.priority, broker_url),
                    "delivery_mode": _PERSISTENT if is_lasting else _TRANSIENT,
                    "task_id": _task_id(items),
                    "argsrepr": message_label(items),
                    "kwargsrepr": "{}",
                    **{key: given for key, given in options.items() if given},
                },
            },
            args=(),
        )


def _task_id(items: Sequence[MessageItem]) -> str | None:
    """Return a lone message's id; others get one that is made up."""
    first, *rest = items
    if rest or "pattern" in first or first.get("attempt", 1) > 1:
        return None
    return str(first["message"]["message_id"])
