"""The words in which the queue of a swarm's partitions is spoken to, and answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchestration.core.swarm.model import AgentRole

__all__ = [
    "Answer",
    "Claim",
    "Held",
    "Layout",
    "Pace",
    "QueueState",
    "Settling",
]


class QueueState(StrEnum):
    """Whether partitions are given out."""

    OPEN = "open"
    PAUSED = "paused"
    OVER = "over"


class Answer(StrEnum):
    """What an agent is told that asks for a partition."""

    LEASED = "leased"
    ABSENT = "absent"
    STALE = "stale"
    DEAD = "dead"
    IDLE = "idle"
    PAUSED = "paused"
    OVER = "over"
    LATE = "late"


class Settling(StrEnum):
    """What is to become of a partition after an attempt."""

    OVER = "over"
    RETRY = "retry"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Claim:
    """What an agent was told; but for the first, of a lease only.

    Attributes:
        turn: The agent's next one.
        failures: How many attempts at the partition came to nothing before.
    """

    answer: Answer
    partition: int = -1
    attempt: int = 0
    turn: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A partition that an agent has."""

    partition: int
    attempt: int
    agent: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What a queue looks like from afar.

    Attributes:
        state: Whether partitions are given out; None: there is no queue.
        left: How many partitions are neither done nor given up.
        ready: How many of them may be taken.
        due: How many may be tried again now.
        next_due_ms: When the next one may be, from now; None: there is none.
        held: How many are at work.
        idle: Agents that do not ask.
        unseen_ms: How long ago each agent asked that is neither idle nor at work.
        still_ms: How long nothing has been taken or settled.
    """

    state: QueueState | None
    left: int = 0
    ready: int = 0
    due: int = 0
    next_due_ms: int | None = None
    held: int = 0
    idle: tuple[int, ...] = ()
    unseen_ms: Mapping[int, int] = field(default_factory=dict)
    still_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All that a queue is built from.

    Attributes:
        roles: Of the agents that live.
        orders: For ``work``, ``forage`` and ``scout``: the worth of each partition.
        ready: Partitions that nobody has tried.
        retry: Partitions that somebody has, with the attempts and failures so far, and
            who had it last.
        over: Partitions that are done or given up.
        deadline_ms: When the swarm's time is over, epoch milliseconds; 0: never.
    """

    roles: Mapping[int, AgentRole]
    orders: Mapping[str, Sequence[float]]
    ready: Sequence[int]
    retry: Mapping[int, tuple[int, int, int]]
    over: Collection[int]
    deadline_ms: int
