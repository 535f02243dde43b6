"""What producers and workers share: task names, queues, and how a message reads.

A producer needs nothing but these names and JSON; see docs/sagas.md for a bare
Celery client that starts a saga.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from orchestration.core.saga.model import Direction

__all__ = [
    "CHORES_QUEUE",
    "DEFAULT_QUEUE",
    "PROVENANCE_SEQUENCE",
    "SAGA_COMPENSATE",
    "SAGA_START",
    "SAGA_STEP",
    "SAGA_SWEEP",
    "STEP_TASKS",
    "Hint",
    "StepMessage",
    "pool_queue",
    "start_message",
    "step_label",
]

SAGA_START: Final = "saga.start"
SAGA_STEP: Final = "saga.step"
SAGA_COMPENSATE: Final = "saga.compensate"
SAGA_SWEEP: Final = "saga.sweep"
PROVENANCE_SEQUENCE: Final = "provenance.sequence"

STEP_TASKS: Final[Mapping[Direction, str]] = {
    Direction.DO: SAGA_STEP,
    Direction.UNDO: SAGA_COMPENSATE,
}

# Celery's own default, so that a bare client needs no routing of its own.
DEFAULT_QUEUE: Final = "celery"
CHORES_QUEUE: Final = "chores"


def pool_queue(pool: str) -> str:
    """Return the name of the queue that a pool's agents are served from."""
    return f"agents.{pool}"


class Hint(TypedDict):
    """What a sender knew of a saga: lets a worker read and claim in one round trip.

    ``version`` is the stream's when the message was sent; ``check_at_ms`` when the
    sweep should look again once the step is claimed, epoch milliseconds. A hint that
    is no longer true costs a second round trip and nothing else.
    """

    version: int
    check_at_ms: int | None


class StepMessage(TypedDict):
    """The keyword arguments of a step's task; its one positional is a ``Hint``."""

    saga_id: str
    step: str
    agent_id: str
    action: str
    timeout_ms: int


def step_label(
    saga: str, saga_id: str, step: str, direction: Direction, attempt: int
) -> str:
    """Return what Flower shows as a step's arguments; no payload is in it."""
    return f"{saga} {saga_id} · {step} · {direction} · attempt {attempt}"


def start_message(
    definition: Mapping[str, Any], initial_data: Mapping[str, Any], saga_id: str
) -> dict[str, Sequence[Any] | Mapping[str, Any] | str]:
    """Return the keyword arguments of ``saga.start``."""
    return {
        "definition": definition,
        "initial_data": initial_data,
        "transaction_id": saga_id,
    }
