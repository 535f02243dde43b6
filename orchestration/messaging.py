"""What agents and apps do with messages, for asyncio code: part of ``MessageBus``."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from orchestration.adapters.dead_messages import DeadMessage
from orchestration.adapters.topic_channel import TopicSubscription
from orchestration.core.messaging.listening import current_message
from orchestration.core.messaging.model import Message, MessageType, Priority
from orchestration.core.messaging.topics import check_topic
from orchestration.engine.asking import who
from orchestration.engine.burying import LetterDesk
from orchestration.engine.messaging import MessageDesk, answered, timed_out

__all__ = ["Messaging"]


class Messaging(ABC):
    """Sends, asks, publishes, subscribes, and looks after dead letters."""

    @property
    @abstractmethod
    def messages(self) -> MessageDesk:
        """Where messages go out and answers come in, for code that blocks."""

    @property
    @abstractmethod
    def letters(self) -> LetterDesk:
        """Where dead letters are looked after, for code that blocks."""

    async def send(self, message: Message) -> None:
        """Send a message to the agent that it names; return once the broker has it.

        Args:
            message: A COMMAND, or a REQUEST whose answer nobody waits for.

        Raises:
            MessageError: It cannot be sent: its agent is unknown or takes no such
                message, its deadline has passed, it is no JSON. Nothing was sent.
            PayloadTooLarge: It is over the limit.
            TransportError: The broker did not confirm it; it may have arrived.
        """
        await self.send_many([message])

    async def send_many(self, messages: Sequence[Message]) -> None:
        """Send many messages, those of one pool and priority together.

        Raises:
            MessageError: One of them cannot be sent. None was.
            TransportError: The broker did not confirm some of them.
        """
        await asyncio.to_thread(self.messages.send, messages)

    async def request(
        self, message: Message, *, timeout_ms: float | None = None
    ) -> Message:
        """Send a request and return the first answer.

        Args:
            message: A REQUEST to an agent.
            timeout_ms: How long to wait, sending included; None: until its deadline,
                or 30 seconds if it has none.

        Raises:
            AgentError: The agent answered with an error.
            RequestTimedOut: No answer came by the deadline; the agent may yet have
                done what it was asked for.
            MessageError: It cannot be sent.
            TransportError: The broker did not confirm it.
        """
        desk = self.messages
        timed = desk.timed(message, timeout_ms)
        [pending] = await asyncio.to_thread(desk.ask, [timed])
        try:
            async with asyncio.timeout(desk.left_s(timed)):
                return answered(await asyncio.wrap_future(pending))
        except TimeoutError as exc:
            raise timed_out(timed) from exc
        finally:
            pending.cancel()

    async def ask(
        self, requests: Sequence[Message], *, timeout_ms: float | None = None
    ) -> list[asyncio.Future[Message]]:
        """Send requests at once; return a future for the first answer to each.

        An answer may be an ERROR: it is returned, not raised. A future ends by an
        answer only: whoever waits gives up when it wants to, and cancels it.

        Args:
            requests: REQUESTs to agents.
            timeout_ms: After that their deadline is over, and the agents may stop.

        Raises:
            MessageError: One of them cannot be sent. None was.
            TransportError: The broker did not confirm one of them.
        """
        desk = self.messages
        timed = [desk.timed(one, timeout_ms) for one in requests]
        pending = await asyncio.to_thread(desk.ask, timed)
        return [asyncio.wrap_future(one) for one in pending]

    @property
    def late_replies(self) -> int:
        """How many answers came to this process when nobody waited any more."""
        return self.messages.inbox.late

    # --- topics

    async def publish(
        self,
        topic: str,
        payload: Mapping[str, Any] | None = None,
        *,
        sender_id: str = "",
        priority: Priority | str = Priority.NORMAL,
        timeout_ms: float | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """Publish an event to a topic and return it, once the broker has it.

        Each agent that listens by ``@agent.on_event`` gets a message of its own, which
        waits for it. Whoever listens by ``subscribe`` at the moment gets it at once.

        Args:
            topic: Words between dots.
            payload: JSON.
            sender_id: Who publishes it.
            priority: How urgent it is to the agents.
            timeout_ms: After that it is of no use any more; None: it always is.
            correlation_id: Of the conversation; None: that of the message that is being
                handled, or the event's own id.
            causation_id: What led to it; None: the message that is being handled.
            headers: Short texts.

        Raises:
            InvalidTopic: It is no topic.
            MessageError: It cannot be published; nothing was.
            TransportError: The broker did not confirm what goes to agents.
        """
        cause = current_message()
        if cause is not None:
            correlation_id = correlation_id or cause.correlation_id
            causation_id = causation_id or cause.message_id
        event = Message(
            sender_id=sender_id,
            recipient_id=check_topic(topic),
            message_type=MessageType.EVENT,
            payload=payload or {},
            priority=priority,
            correlation_id=correlation_id,
            causation_id=causation_id,
            headers=headers or {},
        )
        if timeout_ms is not None:
            event = self.messages.timed(event, timeout_ms)
        await self.publish_many([event])
        return event

    async def publish_many(self, events: Sequence[Message]) -> None:
        """Publish many events; the recipient of each is a topic.

        Raises:
            InvalidTopic: A recipient is no topic. None was published.
            MessageError: One of them cannot be published. None was.
            TransportError: The broker did not confirm some of what goes to agents.
        """
        await asyncio.to_thread(self.messages.publish, events)

    def subscribe(self, pattern: str) -> TopicSubscription:
        """Return the events of topics that match, as they are published from now on.

            async with bus.subscribe("orders.#") as events:
                async for message in events:
                    ...

        Nothing is kept for whoever is not there: use ``@agent.on_event`` for that.

        Args:
            pattern: A topic; ``*`` stands for one of its words, ``#`` for any number.

        Raises:
            InvalidTopic: It is no pattern.
        """
        return self.messages.topics.subscribe(pattern)

    # --- dead letters

    async def dead_letters(self, **filters: Any) -> tuple[DeadMessage, ...]:  # noqa: ANN401
        """Return messages that could not be delivered, the newest first.

        Args:
            filters: Any of ``ids``, ``state`` (OPEN unless given; None: all),
                ``agent_id``, ``reason``, ``message_type``, ``message_id``,
                ``correlation_id``, ``since``, ``until``, ``after`` (the last one of
                the page before), ``below`` (its number) and ``limit`` (100).

        Raises:
            ValueError: There is no such reason, type or state.
        """
        return await asyncio.to_thread(partial(self.letters.letters.find, **filters))

    async def redrive(
        self,
        ids: Sequence[int] | None = None,
        *,
        timeout_ms: float | None = None,
        by: str = "",
        why: str = "",
        limit: int | None = None,
        **filters: Any,  # noqa: ANN401
    ) -> tuple[int, ...]:
        """Send dead letters again; return which were.

        Not those that are settled already, that somebody else takes at this moment, or
        that are MALFORMED. Nobody waits for the answer to a REQUEST any more.

        Args:
            ids: Which ones; None: those that the filters find.
            timeout_ms: Their new deadline, from now; None: that which they have, and
                none where it has passed.
            by: Who asks; empty: the user of this process.
            why: For the record.
            limit: At most so many, the newest.
            filters: As for ``dead_letters``.

        Raises:
            TransportError: The broker did not take some: they stay dead letters.
            ValueError: Neither ids nor a filter are given.
        """
        call = partial(
            self.letters.redrive,
            who(by, why),
            ids,
            timeout_ms=timeout_ms,
            limit=limit,
            **filters,
        )
        return await asyncio.to_thread(call)

    async def discard(
        self,
        ids: Sequence[int] | None = None,
        *,
        by: str = "",
        why: str = "",
        limit: int | None = None,
        **filters: Any,  # noqa: ANN401
    ) -> tuple[int, ...]:
        """Give dead letters up; return which were.

        Args:
            ids: Which ones; None: those that the filters find.
            by: Who asks; empty: the user of this process.
            why: For the record.
            limit: At most so many, the newest.
            filters: As for ``dead_letters``.

        Raises:
            ValueError: Neither ids nor a filter are given.
        """
        call = partial(self.letters.discard, who(by, why), ids, limit=limit, **filters)
        return await asyncio.to_thread(call)
