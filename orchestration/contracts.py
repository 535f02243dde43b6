"""What producers and workers share: task names, queues, and how a message reads.

A producer needs nothing but these names and JSON; see docs/sagas.md for a bare
Celery client that starts a saga.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict

from orchestration.core.saga.model import Direction

__all__ = [
    "CHORES",
    "CHORES_QUEUE",
    "DEFAULT_QUEUE",
    "PROVENANCE_SEQUENCE",
    "SAGA_ATTEND",
    "SAGA_CANCEL",
    "SAGA_COMPENSATE",
    "SAGA_LETTERS",
    "SAGA_NOTIFY",
    "SAGA_PROBE",
    "SAGA_RETIRE",
    "SAGA_SCHEDULES",
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
SAGA_PROBE: Final = "saga.probe"
SAGA_CANCEL: Final = "saga.cancel"
SAGA_ATTEND: Final = "saga.attend"
SAGA_SWEEP: Final = "saga.sweep"
SAGA_LETTERS: Final = "saga.letters"
SAGA_NOTIFY: Final = "saga.notify"
SAGA_SCHEDULES: Final = "saga.schedules"
SAGA_RETIRE: Final = "saga.retire"
PROVENANCE_SEQUENCE: Final = "provenance.sequence"

# What the chores worker does, so that agents' load never delays it.
CHORES: Final = (
    SAGA_ATTEND,
    SAGA_CANCEL,
    SAGA_LETTERS,
    SAGA_NOTIFY,
    SAGA_RETIRE,
    SAGA_SCHEDULES,
    SAGA_SWEEP,
    PROVENANCE_SEQUENCE,
)

STEP_TASKS: Final[Mapping[Direction, str]] = {
    Direction.DO: SAGA_STEP,
    Direction.UNDO: SAGA_COMPENSATE,
    Direction.PROBE: SAGA_PROBE,
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
    sweep should look again once the step is claimed, epoch milliseconds; ``gives_up``
    whether the saga has given up. A hint that is no longer true costs a second round
    trip and nothing else.
    """

    version: int
    check_at_ms: int | None
    gives_up: NotRequired[bool]


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
