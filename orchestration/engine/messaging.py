"""Messages on their way out: looked at first, then sent, then perhaps waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from eventstore import NotCanonical
from orchestration.adapters.announcements import Announcements, Subscription
from orchestration.adapters.message_sender import Addressed, MessageSender
from orchestration.adapters.replies import ReplyInbox
from orchestration.adapters.topic_channel import TopicChannel
from orchestration.contracts import MessageItem
from orchestration.core.messaging.delivery import ACTION_HEADER, is_expired
from orchestration.core.messaging.listening import MESSAGE_LISTENER
from orchestration.core.messaging.model import Message, MessageType, Priority
from orchestration.core.messaging.topics import check_topic, matches
from orchestration.core.saga.timing import whole_ms
from orchestration.engine.payload import as_recorded
from orchestration.engine.ports import Clock
from orchestration.errors import (
    AgentError,
    InvalidMessage,
    MessageExpired,
    NoHandler,
    PayloadTooLarge,
    RequestTimedOut,
    UnknownRecipient,
)

__all__ = ["MessageDesk", "answered", "check_content", "timed_out"]

_DEFAULT_TIMEOUT_MS: Final = 30_000
_NOT_SENT: Final = {
    MessageType.EVENT: "publish(topic, …)",
    MessageType.HEARTBEAT: "the registry's heartbeat()",
}


@dataclass(frozen=True, slots=True)
class MessageDesk:
    """Where a process's messages go out, and answers come in."""

    sender: MessageSender
    announcements: Announcements
    inbox: ReplyInbox
    topics: TopicChannel
    clock: Clock
    max_payload_bytes: int

    def send(self, messages: Sequence[Message], *, routed: bool = False) -> None:
        """Send messages, those of one pool and priority together.

        Args:
            messages: The messages.
            routed: EVENTs may be among them, as a router has chosen their agents.

        Raises:
            MessageError: One cannot be sent; nothing was.
            TransportError: The broker did not take some of them.
        """
        checked = self._checked(messages, routed=routed)
        if len(checked) == 1:
            self.sender.send(checked)
        else:
            self.sender.send_packed(checked)

    def publish(self, events: Sequence[Message]) -> None:
        """Publish to topics: to the agents that listen, and to whoever else does now.

        Args:
            events: Of type EVENT; the recipient of each is a topic.

        Raises:
            MessageError: One cannot be published; none was.
            InvalidTopic: A recipient is no topic; none was published.
            TransportError: The broker did not take some of what goes to agents.
        """
        now_ms = self.now_ms()
        subscriptions = self.announcements.subscriptions()
        checked: list[Addressed] = []
        for event in events:
            if event.message_type is not MessageType.EVENT:
                raise InvalidMessage(
                    f"message {event.message_id} is a {event.message_type}: only an "
                    "EVENT is published",
                    event.message_id,
                )
            check_topic(event.recipient_id)
            checked += self._for_each(event, subscriptions, now_ms)
        self.sender.send_packed(checked)
        self.topics.publish(events)

    def _for_each(
        self, event: Message, subscriptions: Iterable[Subscription], now_ms: int
    ) -> Iterator[Addressed]:
        """Yield an event as it goes to each agent that listens."""
        _check_time(event, now_ms)
        size = check_content(event, self.max_payload_bytes)
        told, priority = event.to_json(), Priority(event.priority)
        for one in subscriptions:
            if matches(one.pattern, event.recipient_id):
                item = MessageItem(
                    agent_id=one.agent_id, message=told, pattern=one.pattern
                )
                yield Addressed(item, priority, size)

    def ask(
        self, requests: Sequence[Message], *, group_id: str | None = None
    ) -> list[Future[Message]]:
        """Send requests; return a future for the first answer to each, in order.

        The futures know no deadline: whoever waits gives up, and cancels.

        Args:
            requests: Of type REQUEST.
            group_id: What Flower shows as the group of their tasks; None: several
                have one of their own.

        Raises:
            MessageError: One cannot be sent; nothing was.
            TransportError: The broker did not take one of them.
        """
        for one in requests:
            if one.message_type is not MessageType.REQUEST:
                raise InvalidMessage(
                    f"message {one.message_id} is a {one.message_type}: only a REQUEST "
                    "is answered",
                    one.message_id,
                )
        checked = self._checked(requests)
        futures: list[Future[Message]] = []
        try:
            # Before they are sent: an answer may be faster than this thread.
            futures.extend(self._expect(one.message_id) for one in requests)
            self.sender.send(checked, reply_to=self.inbox.address, group_id=group_id)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return futures

    def timed(self, message: Message, timeout_ms: float | None) -> Message:
        """Return a message with the earlier one of its deadline and a timeout.

        Args:
            message: The message.
            timeout_ms: From now; None: its deadline, or 30 seconds if it has none.
        """
        if timeout_ms is None and message.deadline_ms is not None:
            return message
        wait_ms = _DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms
        deadline_ms = self.now_ms() + round(wait_ms)
        if message.deadline_ms is not None:
            deadline_ms = min(deadline_ms, message.deadline_ms)
        return message.evolved(deadline_ms=deadline_ms)

    def left_s(self, message: Message) -> float | None:
        """Return how long it is until a message's deadline, seconds; None: for ever."""
        if message.deadline_ms is None:
            return None
        return max(0.0, (message.deadline_ms - self.now_ms()) / 1_000)

    def close(self) -> None:
        """Let go of the connections; who waits for an answer is told."""
        self.inbox.close()
        self.topics.close()
        self.sender.close()

    def now_ms(self) -> int:
        """Return the time that all agree on, epoch milliseconds."""
        return whole_ms(self.clock.now())

    def _expect(self, request_id: str) -> Future[Message]:
        try:
            return self.inbox.expect(request_id)
        except ValueError as exc:
            raise InvalidMessage(
                f"message {request_id} is waited for already: send another", request_id
            ) from exc

    def _checked(
        self, messages: Iterable[Message], *, routed: bool = False
    ) -> list[Addressed]:
        now_ms = self.now_ms()
        return [self._addressed(one, now_ms, routed=routed) for one in messages]

    def _addressed(self, message: Message, now_ms: int, *, routed: bool) -> Addressed:
        own_id, agent_id = message.message_id, message.recipient_id
        kind = MessageType(message.message_type)
        if kind in _NOT_SENT and not (routed and kind is MessageType.EVENT):
            raise InvalidMessage(
                f"message {own_id} is a {kind}: that is sent by {_NOT_SENT[kind]}",
                own_id,
            )
        _check_time(message, now_ms)
        self._check_recipient(message)
        size = check_content(message, self.max_payload_bytes)
        item = MessageItem(agent_id=agent_id, message=message.to_json())
        return Addressed(item, Priority(message.priority), size)

    def _check_recipient(self, message: Message) -> None:
        agent_id = message.recipient_id
        wanted = message.headers.get(ACTION_HEADER, MESSAGE_LISTENER)
        if not self.announcements.unknown([(agent_id, wanted)]):
            return
        if not self.announcements.knows(agent_id):
            raise UnknownRecipient(
                f"message {message.message_id}: no worker has ever announced agent "
                f"{agent_id!r}: start one that imports its module, or correct the name",
                message.message_id,
            )
        what = "handler (@agent.on_message)"
        if wanted is not MESSAGE_LISTENER:
            what = f"action {wanted!r}"
        raise NoHandler(
            f"message {message.message_id}: agent {agent_id!r} has no {what} in any "
            "worker: add it, or name one of its actions in the header 'action'",
            message.message_id,
        )


def _check_time(message: Message, now_ms: int) -> None:
    if is_expired(message, now_ms):
        raise MessageExpired(
            f"message {message.message_id}: its deadline passed "
            f"{now_ms - (message.deadline_ms or 0)} ms ago",
            message.message_id,
        )


def check_content(message: Message, max_bytes: int) -> int:
    """Return the size of a message's payload, bytes.

    Raises:
        InvalidMessage: Its payload or headers are no JSON.
        PayloadTooLarge: They are over the limit.
    """
    content = {"payload": message.payload, "headers": message.headers}
    try:
        _, size = as_recorded(content)
    except NotCanonical as exc:
        raise InvalidMessage(
            f"message {message.message_id} is no JSON ({exc})", message.message_id
        ) from exc
    if size > max_bytes:
        raise PayloadTooLarge(
            f"message {message.message_id}: {size} bytes, the limit is {max_bytes} "
            "(ORCHESTRATION_MAX_PAYLOAD_BYTES): pass a reference to the data"
        )
    return size


def timed_out(request: Message) -> RequestTimedOut:
    """Return the error of a request that was not answered in time."""
    return RequestTimedOut(
        f"agent {request.recipient_id!r} did not answer request {request.message_id} "
        "by its deadline: it is offline, busy, or slower than that; whether it did "
        "anything is unknown",
        request.message_id,
    )


def answered(reply: Message) -> Message:
    """Return an answer that is no error.

    Raises:
        AgentError: It is one.
    """
    if reply.message_type is not MessageType.ERROR:
        return reply
    kind = str(reply.payload.get("type", "Error"))
    text = str(reply.payload.get("message", ""))
    raise AgentError(
        f"agent {reply.sender_id!r} answered request {reply.causation_id} with {kind}: "
        f"{text}",
        reply.causation_id or "",
        kind,
        text,
    )
