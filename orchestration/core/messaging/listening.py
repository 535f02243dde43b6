"""What takes messages, what it is told beside them, and which message is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from inspect import Parameter, signature
from typing import Any, Final

from orchestration.core.messaging.model import Message

__all__ = [
    "MAX_TIMEOUT_MS",
    "MESSAGE_LISTENER",
    "Listener",
    "MessageContext",
    "MessageHandler",
    "current_message",
    "event_listener",
    "event_pattern",
    "handling",
    "takes_context",
]

MessageHandler = Callable[..., Any]

MESSAGE_LISTENER: Final = "@message"
"""The name of what takes the messages that an agent is sent."""

MAX_TIMEOUT_MS: Final = 240_000
"""Over Redis a message is given out again if it is not acknowledged for 5 minutes."""

_EVENT: Final = "@event:"


@dataclass(frozen=True, slots=True)
class Listener:
    """A function that takes messages.

    Attributes:
        takes_context: Whether it wants the context beside the message.
        timeout_ms: How long it may take.
        max_attempts: How often a message is tried at most.
    """

    function: MessageHandler
    takes_context: bool
    timeout_ms: int
    max_attempts: int


@dataclass(slots=True, kw_only=True)
class MessageContext:
    """What a handler is told beside its message.

    Attributes:
        agent_id: The agent that the message came to.
        attempt: Counts up with every try.
        deadline: When the message is of no use any more, or None.
        is_awaited: Whether somebody waits for an answer.
    """

    agent_id: str
    attempt: int = 1
    deadline: datetime | None = None
    is_awaited: bool = False
    is_cancelled: Callable[[], bool] = lambda: False
    answer: Callable[[Any], bool] = lambda _: False

    @property
    def cancelled(self) -> bool:
        """Whether the deadline has passed, and whoever asked has gone: stop early."""
        return self.is_cancelled()

    def reply(self, value: Any = None) -> bool:  # noqa: ANN401  JSON
        """Answer the request now, before the handler ends; what it returns is dropped.

        Returns:
            Whether this was the answer: not if nobody waits for one, or had one.
        """
        return self.answer(value)


_CURRENT: ContextVar[Message | None] = ContextVar("message", default=None)


def current_message() -> Message | None:
    """Return the message that is being handled here, if any."""
    return _CURRENT.get()


@contextmanager
def handling(message: Message) -> Iterator[None]:
    """Have everything in the block know which message it is done for."""
    token = _CURRENT.set(message)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def event_listener(pattern: str) -> str:
    """Return the name under which an agent listens to a pattern of topics."""
    return f"{_EVENT}{pattern}"


def event_pattern(listener: str) -> str | None:
    """Return the pattern that a listener's name tells of; None: it is no such name."""
    is_one = listener.startswith(_EVENT)
    return listener.removeprefix(_EVENT) if is_one else None


def takes_context(function: MessageHandler) -> bool:
    """Return whether a function has room for the context beside the message."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    given = signature(function).parameters.values()
    return sum(p.kind in kinds for p in given) > 1 or any(
        p.kind is Parameter.VAR_POSITIONAL for p in given
    )
