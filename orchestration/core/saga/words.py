"""The words of a saga: its states, directions, strategies and policies."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CompensationStrategy",
    "Direction",
    "OnCompensationFailure",
    "OnFailure",
    "SagaState",
    "Teamwork",
    "UnknownPolicy",
]


class SagaState(StrEnum):
    """Where a saga stands; docs/sagas.md draws the transitions."""

    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    PAUSED = "PAUSED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether only an operator, or a late result, can move the saga on."""
        return self not in _MOVING

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self in _OVER


_OVER = {SagaState.COMPLETED, SagaState.COMPENSATED}
_MOVING = {SagaState.RUNNING, SagaState.WAITING, SagaState.COMPENSATING}


class CompensationStrategy(StrEnum):
    """In which order completed steps are undone."""

    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"
    PARALLEL = "PARALLEL"
    SELECTIVE = "SELECTIVE"
    CASCADE = "CASCADE"


class Direction(StrEnum):
    """What an attempt is for: to do a step, to undo it, or to ask what became of it."""

    DO = "do"
    UNDO = "undo"
    PROBE = "probe"


class UnknownPolicy(StrEnum):
    """What follows when nobody can tell whether a step took effect.

    RETRY tries again under the same idempotency key, at most ``max_recoveries``
    times, and then acts as COMPENSATE. COMPENSATE treats the step as done and
    undoes it. PROBE asks the agent, by the step's ``probe`` action, and acts as
    ESCALATE if that cannot tell. ESCALATE pauses the saga for a person. A pivot may
    have PROBE or ESCALATE only.
    """

    RETRY = "RETRY"
    COMPENSATE = "COMPENSATE"
    PROBE = "PROBE"
    ESCALATE = "ESCALATE"

    @property
    def is_undone(self) -> bool:
        """Whether an outcome that stays unknown is undone, not left to people."""
        return self in (UnknownPolicy.RETRY, UnknownPolicy.COMPENSATE)


class Teamwork(StrEnum):
    """How the agents of one step go about it.

    AT_ONCE: all at the same time; the step's output has that of each, by agent.
    MERGED: the same, and their outputs overlaid; a key on which they differ fails the
    step. IN_TURN: one after the other, each on the outputs of those before.
    """

    AT_ONCE = "AT_ONCE"
    MERGED = "MERGED"
    IN_TURN = "IN_TURN"


class OnFailure(StrEnum):
    """Whether a saga that gives up is undone, or halts as it stands: FAILED."""

    COMPENSATE = "COMPENSATE"
    HALT = "HALT"


class OnCompensationFailure(StrEnum):
    """Whether the other undos still run when one has failed for good."""

    HALT = "HALT"
    CONTINUE = "CONTINUE"
