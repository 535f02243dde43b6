"""Messages that could not be delivered: put aside in Postgres, and recorded there.

Messages themselves are no events. That one died is: in the stream ``message-<id>``,
together with what was done about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from eventstore import NotCanonical, PayloadTooLarge, canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import Because
from orchestration.core.messaging.delivery import Reason
from orchestration.core.messaging.model import Message, MessageType
from orchestration.core.words import member

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["DeadMessage", "DeadMessages", "Settled", "stream_of_message"]

_NAMESPACE: Final = UUID("2f1b2b0e-7c56-4c43-9f0e-6c8f1d6c9a51")
_MAX_ID_CHARS: Final = 500
_MAX_RAW_CHARS: Final = 20_000
_COLUMNS: Final = (
    "letter_id", "message_id", "agent_id", "pattern", "message_type", "sender_id",
    "correlation_id", "reason", "error", "item", "attempts", "deaths", "state",
    "first_died_at", "died_at", "settled_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage:
    """One message that could not be delivered.

    Attributes:
        letter_id: What it is acted upon by.
        agent_id: Whom it was for.
        pattern: The subscription for which it came; empty if it was sent to the agent.
        reason: EXPIRED, NO_HANDLER, FAILED, MALFORMED or KILLED.
        error: The last error's ``type`` and ``message``.
        item: The message as it travelled.
        attempts: How often it was tried since it was last sent.
        deaths: How often it has come here.
        state: OPEN, REDRIVEN or DISCARDED.
    """

    letter_id: int
    message_id: str
    agent_id: str
    pattern: str
    message_type: str
    sender_id: str
    correlation_id: str
    reason: str
    error: Mapping[str, Any]
    item: Any
    attempts: int
    deaths: int
    state: str
    first_died_at: datetime
    died_at: datetime
    settled_at: datetime | None

    @property
    def message(self) -> Message | None:
        """The message; None if it is none, being MALFORMED."""
        try:
            return Message.from_json(self.item["message"])
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Settled:
    """A letter that was just taken out.

    Attributes:
        size: Of what travelled, bytes or so.
    """

    letter_id: int
    message_id: str
    item: Mapping[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class DeadMessages:
    """The dead letters of one database."""

    db: Database
    sql: Mapping[str, str] = field(
        default_factory=lambda: load_queries("dead_messages.sql")
    )

    def bury(
        self,
        item: object,
        reason: Reason,
        error: Mapping[str, str],
        because: Because,
        *,
        attempts: int,
    ) -> bool:
        """Put a message aside; return whether it is new here.

        Args:
            item: As it travelled, whatever that is.
            reason: Why.
            error: ``type`` and ``message``.
            because: Which task found it.
            attempts: How often it was tried.
        """
        head = _Head.of(item, because)
        told = {
            "agent_id": head.agent_id,
            "reason": str(reason),
            "error": dict(error),
            "attempts": attempts,
            "item": item,
        }
        parameters = (
            head.message_id,
            head.agent_id,
            head.pattern,
            head.message_type,
            head.sender_id,
            head.correlation_id,
            str(reason),
            json.dumps(dict(error)),
            json.dumps(item),
            attempts,
            stream_of_message(head.message_id),
            _uuid(head.correlation_id),
            because.causation,
            because.actor,
            because.metadata,
            _recorded(told),
        )
        return bool(self.db.rows(self.sql["bury"], parameters)[0][0])

    def find(
        self,
        *,
        ids: Sequence[int] | None = None,
        state: str | None = "OPEN",
        agent_id: str | None = None,
        reason: Reason | str | None = None,
        message_type: MessageType | str | None = None,
        message_id: str | None = None,
        correlation_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: DeadMessage | None = None,
        below: int | None = None,
        limit: int = 100,
    ) -> tuple[DeadMessage, ...]:
        """Return dead letters, the newest first.

        Args:
            ids: Only these.
            state: Only OPEN, REDRIVEN or DISCARDED ones; None: all.
            agent_id: Only those for this agent.
            reason: Only those that are here for this reason.
            message_type: Only those of this type.
            message_id: Only this message, for whichever agents.
            correlation_id: Only those of this conversation.
            since: Only those that died then or later.
            until: Only those that died earlier.
            after: Only those that follow this one in the list: the next page.
            below: The same, by its number.
            limit: At most so many.

        Raises:
            ValueError: There is no such reason or type.
        """
        parameters = {
            "ids": None if ids is None else [*ids],
            "state": state.upper() if state else None,
            "agent_id": agent_id,
            "reason": member(Reason, reason),
            "message_type": member(MessageType, message_type),
            "message_id": message_id,
            "correlation_id": correlation_id,
            "since": since,
            "until": until,
            "after": after.letter_id if after else below,
            "limit": limit,
        }
        rows = self.db.rows(self.sql["list"], parameters)
        return tuple(
            DeadMessage(**dict(zip(_COLUMNS, row, strict=True))) for row in rows
        )

    @contextmanager
    def taking_out(
        self, ids: Sequence[int], state: str, told: Mapping[str, str]
    ) -> Iterator[tuple[Settled, ...]]:
        """Take open letters out for the block; an error in it leaves them here.

        Args:
            ids: Which ones.
            state: REDRIVEN or DISCARDED.
            told: Who asked for it, and why.
        """
        connection = self.db.begin()
        try:
            rows = self.db.rows(
                self.sql["settle"], ([*ids], state), connection=connection
            )
            settled = tuple(Settled(*row) for row in rows)
            for one in settled:
                self._record(one, state, told, connection)
            yield settled
            connection.commit()
        finally:
            connection.close()

    def retire(self, older_than_s: float, limit: int) -> int:
        """Forget letters that are older, settled or not; return how many."""
        return int(self.db.rows(self.sql["retire"], (older_than_s, limit))[0][0])

    def _record(
        self,
        one: Settled,
        state: str,
        told: Mapping[str, str],
        connection: Connection,
    ) -> None:
        message = one.item.get("message") if isinstance(one.item, Mapping) else None
        shared = message.get("correlation_id") if isinstance(message, Mapping) else None
        parameters = (
            stream_of_message(one.message_id),
            f"MESSAGE_{state}",
            _uuid(str(shared)),
            told.get("by", ""),
            canonical_bytes({}),
            canonical_bytes({"letter_id": one.letter_id, **told}),
        )
        self.db.rows(self.sql["record"], parameters, connection=connection)


def stream_of_message(message_id: str) -> str:
    """Return the stream that tells what became of a message that died."""
    own = _uuid(message_id) or str(uuid5(_NAMESPACE, message_id))
    return f"message-{own}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What a letter is found by, of whatever was sent."""

    message_id: str
    agent_id: str
    pattern: str
    message_type: str
    sender_id: str
    correlation_id: str

    @classmethod
    def of(cls, item: object, because: Because) -> _Head:
        given = item if isinstance(item, Mapping) else {}
        message = given.get("message")
        message = message if isinstance(message, Mapping) else {}

        def text(of: Mapping[str, Any], name: str, default: str = "") -> str:
            value = of.get(name)
            given = value[:_MAX_ID_CHARS] if isinstance(value, str) else ""
            # What a column of Postgres cannot hold: NUL, and halves of characters.
            clean = given.replace("\0", "").encode("utf-8", "replace").decode()
            return clean or default

        own = text(message, "message_id", because.task_id or "")
        return cls(
            message_id=own,
            agent_id=text(given, "agent_id"),
            pattern=text(given, "pattern"),
            message_type=text(message, "message_type"),
            sender_id=text(message, "sender_id"),
            correlation_id=text(message, "correlation_id", own),
        )


def _recorded(told: Mapping[str, Any]) -> bytes:
    try:
        return canonical_bytes(told)
    except (
        NotCanonical,
        PayloadTooLarge,
    ):  # of a malformed message: as much of it as can be told
        raw = repr(told["item"])[:_MAX_RAW_CHARS]
        clean = raw.encode("utf-8", "backslashreplace").decode()
        return canonical_bytes({**told, "item": clean})


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
