"""What becomes of a message that came to its agent's worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from orchestration.core.messaging.model import Message, MessageType

__all__ = [
    "ACTION_HEADER",
    "Dead",
    "Reason",
    "Retry",
    "after_failure",
    "answer",
    "error_answer",
    "is_expired",
    "redriven",
]

ACTION_HEADER: Final = "action"
"""Names the agent's action that is to take the message, in place of its handler."""

_FIRST_WAIT_MS: Final = 500
_GROWTH: Final = 4
_MAX_WAIT_MS: Final = 60_000


class Reason(StrEnum):
    """Why a message is a dead letter."""

    EXPIRED = "EXPIRED"
    NO_HANDLER = "NO_HANDLER"
    FAILED = "FAILED"
    MALFORMED = "MALFORMED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True)
class Retry:
    """It is handled once more, after a wait."""

    wait_ms: int


@dataclass(frozen=True, slots=True)
class Dead:
    """It is put aside, for somebody to look at."""

    reason: Reason


def is_expired(message: Message, now_ms: int) -> bool:
    """Return whether nobody has a use for a message any more."""
    return message.deadline_ms is not None and now_ms >= message.deadline_ms


def after_failure(
    message: Message,
    attempt: int,
    max_attempts: int,
    now_ms: int,
    *,
    is_retryable: bool = True,
    wait_ms: int | None = None,
) -> Retry | Dead:
    """Return what follows when handling a message that nobody waits for has failed.

    Args:
        message: What was handled.
        attempt: The first is 1.
        max_attempts: So many attempts are made at most.
        now_ms: The time, epoch milliseconds.
        is_retryable: Whether another attempt makes sense.
        wait_ms: The wait that the handler asked for; None: half a second, and four
            times as much after each further failure.
    """
    if not is_retryable or attempt >= max_attempts:
        return Dead(Reason.FAILED)
    if wait_ms is None:
        wait_ms = _FIRST_WAIT_MS * _GROWTH ** (attempt - 1)
    wait_ms = min(wait_ms, _MAX_WAIT_MS)
    if is_expired(message, now_ms + wait_ms):
        return Dead(Reason.FAILED)
    return Retry(wait_ms)


def redriven(message: Message, now_ms: int, timeout_ms: float | None) -> Message:
    """Return a message as it is sent again: a deadline that has passed is taken off.

    Args:
        message: What was put aside.
        now_ms: The time, epoch milliseconds.
        timeout_ms: Its new deadline, from now; None: none but that which it has.
    """
    if timeout_ms is not None:
        return message.evolved(deadline_ms=now_ms + round(timeout_ms))
    return message.evolved(deadline_ms=None) if is_expired(message, now_ms) else message


def answer(request: Message, sender_id: str, value: object) -> Message:
    """Return the RESPONSE to a request.

    Args:
        request: What is answered.
        sender_id: Who answers.
        value: JSON; what is no object is put under ``result``, None is no payload.
    """
    if value is None:
        payload: Mapping[str, Any] = {}
    elif isinstance(value, Mapping):
        payload = value
    else:
        payload = {"result": value}
    return _reply(request, sender_id, MessageType.RESPONSE, payload)


def error_answer(request: Message, sender_id: str, kind: str, text: str) -> Message:
    """Return the ERROR that tells of a request what went wrong."""
    payload = {"type": kind, "message": text}
    return _reply(request, sender_id, MessageType.ERROR, payload)


def _reply(
    request: Message, sender_id: str, kind: MessageType, payload: Mapping[str, Any]
) -> Message:
    return Message(
        sender_id=sender_id,
        recipient_id=request.sender_id,
        message_type=kind,
        payload=payload,
        priority=request.priority,
        # Derived, so that a second delivery's answer is the same message.
        message_id=f"{request.message_id}:{kind.lower()}",
        correlation_id=request.correlation_id,
        causation_id=request.message_id,
    )
