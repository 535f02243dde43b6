"""Call what takes a message, within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from orchestration.agents import Action, ActionContext, MessageContext
from orchestration.core.messaging.listening import Listener, handling
from orchestration.core.messaging.model import Message
from orchestration.engine.limits import RealTime
from orchestration.errors import NonRetryable, StepTimedOut

__all__ = ["Returned", "action_listener", "called"]

_ACTION_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Returned:
    """How a call ended: with a value, or with an error."""

    value: Any = None
    error: Exception | None = None


def called(
    listener: Listener,
    message: Message,
    context: MessageContext,
    limit_s: float,
    time: RealTime,
) -> Returned:
    """Call a function with a message.

    Args:
        listener: The function.
        message: The message.
        context: What it is told beside it.
        limit_s: How long it may take, seconds.
        time: What keeps it to that.
    """
    what = f"message {message.message_id}"
    arguments = (message, context) if listener.takes_context else (message,)
    try:
        with handling(message), time.limit(what, limit_s):
            value = listener.function(*arguments)
            if isawaitable(value):
                value = time.wait(_within(message, value), what, limit_s)
    except StepTimedOut as exc:
        late = f"agent {context.agent_id!r} took longer than {limit_s:g} s over {what}"
        timed_out = StepTimedOut(late)
        timed_out.__cause__ = exc
        return Returned(error=timed_out)
    except asyncio.CancelledError as exc:  # no Exception: it would end the process
        cancelled = RuntimeError(f"handling {what} was cancelled from within")
        cancelled.__cause__ = exc
        return Returned(error=cancelled)
    except Exception as exc:  # noqa: BLE001  the edge: a handler may raise anything
        return Returned(error=exc)
    return Returned(value)


async def _within(message: Message, value: Awaitable[Any]) -> Any:  # noqa: ANN401
    """Await what handles a message: a loop that is kept has a context of its own."""
    with handling(message):
        return await value


def action_listener(name: str, action: Action) -> Listener:
    """Return an action of an agent as what takes messages: the payload is its data.

    There is no saga then: ``context.saga_id`` is the message's correlation id, and the
    idempotency key its own id.
    """

    def act(message: Message, context: MessageContext) -> Any:  # noqa: ANN401  JSON
        if not isinstance(message.payload, Mapping):
            raise NonRetryable("the payload is no object")
        told = ActionContext(
            saga_id=message.correlation_id or message.message_id,
            step=name,
            direction="do",
            attempt=context.attempt,
            round=1,
            idempotency_key=message.message_id,
            deadline=context.deadline,
            is_cancelled=context.is_cancelled,
        )
        return action(dict(message.payload), told)

    return Listener(
        act, takes_context=True, timeout_ms=_ACTION_TIMEOUT_MS, max_attempts=3
    )
