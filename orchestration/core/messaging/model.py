"""What agents say to each other: a message, its kind, its priority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self
from uuid import uuid4

from orchestration.core.words import member
from orchestration.errors import InvalidMessage

__all__ = ["Message", "MessageType", "Priority"]


class MessageType(StrEnum):
    """What a message is for."""

    REQUEST = "REQUEST"
    RESPONSE = "RESPONSE"
    COMMAND = "COMMAND"
    EVENT = "EVENT"
    ERROR = "ERROR"
    HEARTBEAT = "HEARTBEAT"


class Priority(StrEnum):
    """How urgent a message is; what is more urgent is taken first, on every broker."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; it is never changed, ``evolved`` makes another.

    Attributes:
        sender_id: Who sends it.
        recipient_id: An agent, a logical target that the router resolves, or a topic.
        message_type: What it is for; a plain name is accepted.
        payload: JSON.
        priority: How urgent it is; a plain name is accepted.
        message_id: Unique; made at construction.
        correlation_id: Shared by all messages of one conversation; None: its own id.
        causation_id: The message or event that led to it.
        deadline_ms: When it is of no use any more, epoch milliseconds; None: never.
        headers: Short texts for routing: ``affinity_key``, ``location``, and others.

    Raises:
        InvalidMessage: All that is wrong with its fields.
    """

    sender_id: str
    recipient_id: str
    message_type: MessageType | str
    payload: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority | str = Priority.NORMAL
    message_id: str = field(default_factory=lambda: str(uuid4()))
    correlation_id: str | None = None
    causation_id: str | None = None
    deadline_ms: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        faults = []
        for name, kind in _WORDS:
            try:
                put(self, name, member(kind, getattr(self, name)))
            except ValueError as exc:
                faults.append(f"{name}: {exc}")
        faults += _faults(self)
        if faults:
            own_id = self.message_id if isinstance(self.message_id, str) else ""
            text = f"message {self.message_id!r} is none: {'; '.join(faults)}"
            raise InvalidMessage(text, own_id)
        if self.correlation_id is None:
            put(self, "correlation_id", self.message_id)

    @property
    def deadline(self) -> datetime | None:
        """When it is of no use any more."""
        if self.deadline_ms is None:
            return None
        return datetime.fromtimestamp(self.deadline_ms / 1_000, UTC)

    def evolved(self, **changes: Any) -> Self:  # noqa: ANN401
        """Return the same message with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; ``from_json`` takes it back."""
        return {
            "sender_id": self.sender_id,
            "recipient_id": self.recipient_id,
            "message_type": str(self.message_type),
            "payload": dict(self.payload),
            "priority": str(self.priority),
            "message_id": self.message_id,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "deadline_ms": self.deadline_ms,
            "headers": dict(self.headers),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Return the message that JSON tells of.

        Raises:
            TypeError: A field is missing, or there is no such field.
            InvalidMessage: All that is wrong with its fields.
        """
        return cls(**given)


_WORDS: Final[Sequence[tuple[str, type[StrEnum]]]] = (
    ("message_type", MessageType),
    ("priority", Priority),
)
_IDS: Final = ("recipient_id", "message_id")
_MORE_IDS: Final = ("correlation_id", "causation_id")
_SHOWN: Final = 40


def _faults(message: Message) -> list[str]:
    """Return a sentence for each field that is not of its kind."""
    faults = []
    for name in _IDS:
        given = getattr(message, name)
        if not isinstance(given, str) or not given:
            faults.append(f"{name} is {_short(given)}: give a text that is not empty")
    sender: object = message.sender_id
    if not isinstance(sender, str):
        faults.append(f"sender_id is {_short(sender)}: give a text; it may be empty")
    for name in _MORE_IDS:
        given = getattr(message, name)
        if given is not None and not isinstance(given, str):
            faults.append(f"{name} is {_short(given)}: give a text, or leave it out")
    payload: object = message.payload
    if not isinstance(payload, Mapping):
        faults.append(
            f"payload is a {type(payload).__name__}: give an object, with what "
            "it is now under a name"
        )
    deadline_ms = message.deadline_ms
    if deadline_ms is not None and type(deadline_ms) is not int:
        faults.append(
            f"deadline_ms is {_short(deadline_ms)}: give whole epoch milliseconds, or "
            "leave it out"
        )
    return faults + _header_faults(message.headers)


def _header_faults(headers: object) -> list[str]:
    if not isinstance(headers, Mapping):
        return [f"headers is a {type(headers).__name__}: give texts by name"]
    return [
        f"header {_short(name)} is {_short(text)}: give a text for both"
        for name, text in headers.items()
        if not (isinstance(name, str) and isinstance(text, str))
    ]


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
