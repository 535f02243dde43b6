"""The words in which the log of sagas is spoken to, and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from eventstore import canonical_bytes
from orchestration.core.saga.events import NewFact, SagaEvent
from orchestration.core.saga.model import Direction, SagaState

__all__ = [
    "Answer",
    "Because",
    "Lease",
    "LeaseChange",
    "Record",
    "SagaSummary",
    "Status",
]


class Status(StrEnum):
    """How the log answers a decision; ``0001_sagas.sql`` says when."""

    OK = "ok"
    CONFLICT = "conflict"
    FENCED = "fenced"
    HELD = "held"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """Which task recorded a fact, so that the tree of tasks can be rebuilt."""

    task_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    actor: str = ""

    @property
    def causation(self) -> str | None:
        """The task's id as the event's causation; None unless it is a UUID."""
        try:
            return str(UUID(self.task_id)) if self.task_id else None
        except ValueError:
            return None

    @property
    def metadata(self) -> bytes:
        """The ids as the event's metadata."""
        ids = {"task": self.task_id, "parent": self.parent_id, "root": self.root_id}
        return canonical_bytes({key: value for key, value in ids.items() if value})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A decision on its way into the log.

    Attributes:
        expected: The version it was taken at.
        view: The saga once it is recorded.
        lease: The attempt it is about, if any, and what becomes of its lease.
        lease_s: How long a lease lasts without renewal, seconds.
        limit_s: How long it may be renewed, seconds.
        want_events: Answer with all the events, also when it was recorded.
    """

    saga_id: str
    expected: int
    facts: Sequence[NewFact]
    state: SagaState
    gives_up: bool = False
    check_at: datetime | None = None
    lease: Lease | None = None
    change: LeaseChange | None = None
    lease_s: float = 0.0
    limit_s: float = 0.0
    want_events: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the log says; ``events`` is whole, or empty if it was not wanted."""

    status: Status
    now: datetime
    events: tuple[SagaEvent, ...]

    @property
    def is_recorded(self) -> bool:
        """Whether the decision is in the log now."""
        return self.status is Status.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaSummary:
    """One line of a list of sagas."""

    saga_id: str
    name: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    waiting_for: str | None
