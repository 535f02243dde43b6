"""The words in which the log of sagas is spoken to, and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Self
from uuid import UUID

from eventstore import canonical_bytes
from orchestration.core.messaging.listening import current_message
from orchestration.core.saga.events import EventType, NewFact, SagaEvent
from orchestration.core.saga.model import (
    Direction,
    SagaTransaction,
    definition_hash,
)
from orchestration.core.saga.view import Parent, SagaView

__all__ = [
    "AgentLimit",
    "Answer",
    "Because",
    "Lease",
    "LeaseChange",
    "Record",
    "Start",
    "Status",
]


class Status(StrEnum):
    """How the log answers a decision; ``0002_operations.sql`` says when."""

    OK = "ok"
    CONFLICT = "conflict"
    FENCED = "fenced"
    HELD = "held"
    BUSY = "busy"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class Because:
    """Which task recorded a fact, so that the tree of tasks can be rebuilt.

    Attributes:
        message_id: The message that was being handled, if it was one of an agent's.
        conversation: That message's correlation id.
    """

    task_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    actor: str = ""
    message_id: str | None = None
    conversation: str | None = None

    @classmethod
    def here(cls, actor: str) -> Self:
        """Return the message that is being handled here as the cause, if there is one.

        Args:
            actor: Who acts.
        """
        message = current_message()
        if message is None:
            return cls(actor=actor)
        return cls(
            actor=actor,
            message_id=message.message_id,
            conversation=message.correlation_id,
        )

    @cached_property
    def causation(self) -> str | None:
        """The message's or the task's id as the event's; None unless it is a UUID."""
        cause = self.message_id or self.task_id
        try:
            return str(UUID(cause)) if cause else None
        except ValueError:
            return None

    @cached_property
    def metadata(self) -> bytes:
        """The ids as the event's metadata."""
        ids = {
            "task": self.task_id,
            "parent": self.parent_id,
            "root": self.root_id,
            "message": self.message_id,
            "conversation": self.conversation,
        }
        return canonical_bytes({key: value for key, value in ids.items() if value})


@dataclass(frozen=True, kw_only=True)
class Start:
    """A saga about to begin.

    Attributes:
        parent: The step of another saga that it runs for.
        ends_by_ms: The latest end that its parent allows, epoch milliseconds.
        forked_from: The saga that it repeats.
        told: Who asked for it, and why, if a person did.
    """

    transaction: SagaTransaction
    initial_data: Mapping[str, Any]
    parent: Parent | None = None
    ends_by_ms: int | None = None
    forked_from: str | None = None
    told: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The definition as JSON."""
        return self.transaction.to_json()

    @property
    def fact(self) -> NewFact:
        """The saga's first event."""
        data: dict[str, Any] = {
            "definition": self.definition,
            "definition_hash": definition_hash(self.definition),
            "initial_data": self.initial_data,
        }
        if attributes := self.transaction.search_attributes:
            data["search_attributes"] = dict(attributes)
        if self.parent is not None:
            data["parent"] = {"saga_id": self.parent.saga_id, "step": self.parent.step}
        if self.ends_by_ms is not None:
            data["ends_by_ms"] = self.ends_by_ms
        if self.forked_from is not None:
            data["forked_from"] = self.forked_from
        data |= self.told
        return NewFact(EventType.SAGA_STARTED, data)


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt, as held or as left behind by a holder."""

    saga_id: str
    step: str
    direction: Direction
    attempt: int
    owner: str = ""


class LeaseChange(StrEnum):
    """What a decision does to its attempt's lease."""

    TAKE = "take"
    DROP = "drop"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True)
class AgentLimit:
    """How much an agent may be given at once, and how often, over all workers."""

    agent_id: str
    max_concurrent: int | None = None
    max_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A decision on its way into the log.

    Attributes:
        before: The saga as it was when the decision was taken, if it is known.
        expected: The version it was taken at.
        check_at: When to look at the saga again.
        lease: The attempt it is about, if any, and what becomes of its lease.
        lease_s: How long a lease lasts without renewal, seconds.
        limit_s: How long it may be renewed, seconds.
        limit: The limit of the agent that is about to be called.
        read_after: Answer with the events after this version, also when it was
            recorded; None: with none.
        beside: What else to record in the side tables; see ``orch.saga_beside``.
    """

    saga_id: str
    expected: int
    facts: Sequence[NewFact]
    state: str
    is_over: bool = False
    gives_up: bool = False
    check_at: datetime | None = None
    lease: Lease | None = None
    change: LeaseChange | None = None
    lease_s: float = 0.0
    limit_s: float = 0.0
    limit: AgentLimit | None = None
    read_after: int | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        before: SagaView,
        after: SagaView,
        facts: Sequence[NewFact],
        *,
        check_at: datetime | None,
        lease: Lease | None = None,
        change: LeaseChange | None = None,
        beside: Mapping[str, Any] | None = None,
    ) -> Record:
        """Return a decision that turns ``before`` into ``after``."""
        beside = dict(beside or {})
        if before.state.is_over:
            beside["reopen"] = {
                "name": before.transaction.name,
                "started_at": before.started_at.isoformat(),
                "parent": before.parent.saga_id if before.parent else None,
                "has_locks": bool(before.transaction.locks),
            }
            if after.state is before.state and before.ended_at is not None:
                beside["reopen"]["ended_at"] = before.ended_at.isoformat()
        return cls(
            saga_id=before.saga_id,
            expected=before.version,
            facts=facts,
            state=after.state,
            is_over=after.state.is_over,
            gives_up=after.cause is not None,
            check_at=check_at,
            lease=lease,
            change=change,
            beside=beside,
        )

    def has(self, *types: EventType) -> bool:
        """Whether one of its facts is of such a type."""
        return any(fact.type in types for fact in self.facts)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the log says.

    Attributes:
        now: The database's clock.
        events: Those that were asked for; all of the saga's, if the decision was not
            recorded.
        recorded_at: When the decision was recorded.
        wait_ms: How long a busy agent is likely to be so, milliseconds.
    """

    status: Status
    now: datetime
    events: tuple[SagaEvent, ...] = ()
    recorded_at: datetime | None = None
    wait_ms: int = 0

    @property
    def is_recorded(self) -> bool:
        """Whether the decision is in the log now."""
        return self.status is Status.OK
