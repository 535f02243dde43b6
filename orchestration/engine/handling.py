"""Messages as they come to a worker: handled, answered, tried again, or put aside.

A message may come twice, and is handled twice then: what a handler does, it has to make
harmless by the ``message_id``. Of two answers whoever asked takes the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eventstore import NotCanonical
from orchestration.adapters.dead_messages import DeadMessages
from orchestration.adapters.deliveries import Deliveries
from orchestration.adapters.message_sender import MessageSender
from orchestration.adapters.replies import ReplySender
from orchestration.adapters.saga_records import Because
from orchestration.agents import Action, Agent, MessageContext
from orchestration.contracts import MessageItem
from orchestration.core.messaging.delivery import (
    ACTION_HEADER,
    Dead,
    Reason,
    Retry,
    after_failure,
    answer,
    error_answer,
    is_expired,
)
from orchestration.core.messaging.listening import (
    MESSAGE_LISTENER,
    Listener,
    event_listener,
)
from orchestration.core.messaging.model import Message
from orchestration.core.saga.timing import whole_ms
from orchestration.engine.calling import action_listener, called
from orchestration.engine.error_text import told_error
from orchestration.engine.limits import RealTime
from orchestration.engine.payload import as_recorded
from orchestration.engine.ports import Clock
from orchestration.errors import NoHandler, NonRetryable, RetryLater

__all__ = ["Hosted", "Mailbox", "Taken"]

_REAL_TIME: Final = RealTime()
# Together with the longest handler below what Redis waits for an acknowledgement.
_BATCH_S: Final = 30.0
_MAX_DELIVERIES: Final = 5
# A worker of another release may host what this one lacks.
_SEEK_WAITS_MS: Final = (1_000, 2_000, 5_000, 10_000, 20_000)


@dataclass(slots=True)
class Taken:
    """What became of the messages of one task.

    Attributes:
        again: What is handled once more, by the wait before that, milliseconds.
        raised: The last error, for Celery to show.
    """

    handled: int = 0
    dead: int = 0
    failed: int = 0
    again: dict[int, list[MessageItem]] = field(default_factory=dict)
    raised: Exception | None = None

    def __str__(self) -> str:
        counts = {
            "handled": self.handled,
            "failed": self.failed,
            "again": sum(map(len, self.again.values())),
            "dead": self.dead,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


@dataclass(frozen=True, slots=True)
class Hosted:
    """What takes messages in this process.

    Attributes:
        agent: Returns an agent by its id.
        action: Returns an agent's action by the names of both.
    """

    agent: Callable[[str], Agent | None]
    action: Callable[[str, str], Action | None]

    def find(self, message: Message, agent_id: str, pattern: str) -> Listener | None:
        """Return what takes a message, if it is hosted here."""
        agent = self.agent(agent_id)
        if agent is None:
            return None
        if pattern:
            return agent.listener(event_listener(pattern))
        if name := message.headers.get(ACTION_HEADER):
            action = self.action(agent_id, name)
            return None if action is None else action_listener(name, action)
        return agent.listener(MESSAGE_LISTENER)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What one worker process does with messages."""

    hosted: Hosted
    letters: DeadMessages
    answers: ReplySender
    sender: MessageSender
    deliveries: Deliveries
    clock: Clock
    max_payload_bytes: int
    time: RealTime = _REAL_TIME

    def take(
        self,
        items: object,
        reply_to: str | None,
        because: Because,
        *,
        is_redelivered: bool = False,
    ) -> Taken:
        """Take what one task has brought.

        Args:
            items: The messages.
            reply_to: Where answers go to; None: nobody waits for any.
            because: The task.
            is_redelivered: Whether the broker gives it out once more.

        Raises:
            TransportError: Something could be neither sent again nor put aside: the
                task has to come again.
        """
        taken = Taken()
        given: list[Any] = items if isinstance(items, list) and items else [items]
        if is_redelivered and len(given) > 1:
            # One of them may have killed who handled it: each is on its own from here.
            for item in given:
                self.sender.send_again([item], 0, reply_to)
            taken.again[0] = given
            return taken
        kills = is_redelivered and self._kills(because)
        began = time.monotonic()
        for index, item in enumerate(given):
            if time.monotonic() > began + _BATCH_S:
                taken.again.setdefault(0, []).extend(given[index:])
                break
            one = _read(item, reply_to)
            if one is None:
                error = {"type": "Malformed", "message": "this is no message"}
                self._bury(taken, item, Reason.MALFORMED, error, because, 0)
            else:
                self._take(one, taken, because, kills=kills)
        for wait_ms, held in taken.again.items():
            self.sender.send_again(held, wait_ms, reply_to)
        return taken

    def close(self) -> None:
        """Let go of the connections that are its own."""
        self.sender.close()
        self.answers.close()
        self.deliveries.close()

    def _kills(self, because: Because) -> bool:
        return self.deliveries.count(because.task_id or "") >= _MAX_DELIVERIES

    def _take(
        self, one: _Delivered, taken: Taken, because: Because, *, kills: bool
    ) -> None:
        if one.message.deadline_ms is not None:
            self.sender.keep_time()
        now_ms = whole_ms(self.clock.now())
        if kills:
            text = f"its worker ended {_MAX_DELIVERIES} times while it had it"
            self._give_up(one, taken, Reason.KILLED, RuntimeError(text), because)
        elif is_expired(one.message, now_ms):
            text = (
                f"its deadline passed {now_ms - (one.message.deadline_ms or 0)} ms ago"
            )
            # Whoever waited for an answer waits no more.
            gone = replace(one, reply_to=None)
            self._give_up(gone, taken, Reason.EXPIRED, TimeoutError(text), because)
        elif (
            found := self.hosted.find(one.message, one.agent_id, one.pattern)
        ) is None:
            self._seek(one, taken, because)
        else:
            self._handle(one, found, taken, because, now_ms)

    def _handle(
        self,
        one: _Delivered,
        listener: Listener,
        taken: Taken,
        because: Because,
        now_ms: int,
    ) -> None:
        message = one.message
        limit_ms = listener.timeout_ms
        if message.deadline_ms is not None:
            limit_ms = min(limit_ms, message.deadline_ms - now_ms)
        answering = _Answering(self, one)
        returned = called(
            listener,
            message,
            self._context(one, answering),
            limit_ms / 1_000,
            self.time,
        )
        error = returned.error
        if error is None and one.reply_to is not None:
            error = answering.finally_reply(returned.value)
        if error is None:
            taken.handled += 1
        elif one.reply_to is not None:
            taken.failed += 1
            taken.raised = error
            answering.fail(error)
        else:
            self._fail(one, listener, taken, because, error)

    def _context(self, one: _Delivered, answering: _Answering) -> MessageContext:
        message = one.message
        return MessageContext(
            agent_id=one.agent_id,
            attempt=one.attempt,
            deadline=message.deadline,
            is_awaited=one.reply_to is not None,
            is_cancelled=lambda: is_expired(message, whole_ms(self.clock.now())),
            answer=answering.reply,
        )

    def _fail(
        self,
        one: _Delivered,
        listener: Listener,
        taken: Taken,
        because: Because,
        error: Exception,
    ) -> None:
        then = after_failure(
            one.message,
            one.attempt,
            listener.max_attempts,
            whole_ms(self.clock.now()),
            is_retryable=not isinstance(error, NonRetryable),
            wait_ms=error.retry_in_ms if isinstance(error, RetryLater) else None,
        )
        match then:
            case Retry(wait_ms):
                taken.raised = error
                again = MessageItem(**{**one.item, "attempt": one.attempt + 1})
                taken.again.setdefault(wait_ms, []).append(again)
            case Dead(reason):
                self._give_up(one, taken, reason, error, because)

    def _seek(self, one: _Delivered, taken: Taken, because: Because) -> None:
        """Offer it to other workers of the pool, for a while."""
        sought = one.item.get("sought", 0)
        if sought < len(_SEEK_WAITS_MS):
            again = MessageItem(**{**one.item, "sought": sought + 1})
            taken.again.setdefault(_SEEK_WAITS_MS[sought], []).append(again)
            return
        what = one.pattern or one.message.headers.get(ACTION_HEADER, "on_message")
        error = NoHandler(
            f"agent {one.agent_id!r} has no {what} in the workers of its pool",
            one.message.message_id,
        )
        self._give_up(one, taken, Reason.NO_HANDLER, error, because)

    def _give_up(
        self,
        one: _Delivered,
        taken: Taken,
        reason: Reason,
        error: Exception,
        because: Because,
    ) -> None:
        if one.reply_to is not None:
            _Answering(self, one).fail(error)
        self._bury(taken, one.item, reason, told_error(error), because, one.attempt)
        taken.raised = error

    def _bury(
        self,
        taken: Taken,
        item: object,
        reason: Reason,
        error: Mapping[str, str],
        because: Because,
        attempts: int,
    ) -> None:
        self.letters.bury(item, reason, error, because, attempts=attempts)
        taken.dead += 1


@dataclass(frozen=True, slots=True)
class _Delivered:
    """One message that came, and can be read."""

    item: MessageItem
    message: Message
    agent_id: str
    pattern: str
    attempt: int
    reply_to: str | None


def _read(item: Any, reply_to: str | None) -> _Delivered | None:  # noqa: ANN401
    """Return what came; None if it is no message."""
    try:
        message = Message.from_json(item["message"])
        agent_id, pattern = item["agent_id"], item.get("pattern", "")
        attempt = item.get("attempt", 1)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if all(isinstance(one, str) for one in (agent_id, pattern)) and all(
        isinstance(one, int) for one in (attempt, item.get("sought", 0))
    ):
        return _Delivered(item, message, agent_id, pattern, attempt, reply_to)
    return None


@dataclass(slots=True)
class _Answering:
    """Sends one answer to a request, and no second one."""

    mailbox: Mailbox
    one: _Delivered
    has_answered: bool = False

    def reply(self, value: object) -> bool:
        """Answer; raises ValueError if it is no JSON, or too much of it."""
        if self.has_answered or self.one.reply_to is None:
            return False
        reply = answer(self.one.message, self.one.agent_id, value)
        limit = self.mailbox.max_payload_bytes
        try:
            plain, size = as_recorded(reply.payload)
        except NotCanonical as exc:
            raise ValueError(f"the answer is no JSON ({exc})") from exc
        if size > limit:
            raise ValueError(
                f"the answer has {size} bytes, the limit is {limit} "
                "(ORCHESTRATION_MAX_PAYLOAD_BYTES): return a reference instead"
            )
        return self._send(reply.evolved(payload=plain))

    def finally_reply(self, value: object) -> Exception | None:
        """Answer with what the handler returned; return what is wrong with it."""
        try:
            self.reply(value)
        except ValueError as exc:
            return exc
        return None

    def fail(self, error: Exception) -> None:
        """Answer with an error, unless it is answered."""
        if self.has_answered:
            return
        told = told_error(error)
        self._send(
            error_answer(
                self.one.message, self.one.agent_id, told["type"], told["message"]
            )
        )

    def _send(self, reply: Message) -> bool:
        self.has_answered = True
        return self.mailbox.answers.send(self.one.reply_to or "", reply)
