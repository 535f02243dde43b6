"""What producers and workers share: task names, queues, and how a message reads.

A producer needs nothing but these names and JSON; see docs/sagas.md for a bare
Celery client that starts a saga.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict

from orchestration.core.saga.model import Direction

__all__ = [
    "AGENT_MESSAGE",
    "AGENT_RETIRE",
    "CHORES",
    "CHORES_QUEUE",
    "DEFAULT_QUEUE",
    "HEARTBEATS_QUEUE",
    "PIPELINE_RUN",
    "PROVENANCE_SEQUENCE",
    "REGISTRY_DEREGISTER",
    "REGISTRY_FOLLOW",
    "REGISTRY_HEARTBEAT",
    "REGISTRY_REGISTER",
    "REGISTRY_REPLICATE",
    "REGISTRY_SWEEP",
    "REGISTRY_TOKEN_HEADER",
    "ROUTING_DISPATCH",
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
    "SWARM_DEPLOY",
    "SWARM_EVAPORATE",
    "SWARM_ISLAND",
    "SWARM_ITERATE",
    "SWARM_JOIN",
    "SWARM_PARTITION",
    "SWARM_PATROL",
    "SWARM_RETIRE",
    "SWARM_SWEEP",
    "SWARM_TICK",
    "SWARM_VALUE",
    "HeartbeatItem",
    "Hint",
    "MessageItem",
    "Moved",
    "StepMessage",
    "SwarmHint",
    "is_pool_queue",
    "message_label",
    "pool_queue",
    "start_message",
    "step_label",
]

AGENT_MESSAGE: Final = "agent.message"
AGENT_RETIRE: Final = "agent.retire"
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
PIPELINE_RUN: Final = "pipeline.run"
PROVENANCE_SEQUENCE: Final = "provenance.sequence"
REGISTRY_REGISTER: Final = "registry.register"
REGISTRY_HEARTBEAT: Final = "registry.heartbeat"
REGISTRY_DEREGISTER: Final = "registry.deregister"
REGISTRY_SWEEP: Final = "registry.sweep"
REGISTRY_REPLICATE: Final = "registry.replicate"
REGISTRY_FOLLOW: Final = "registry.follow"
# The header of a message that has a registration's token: Celery shows no headers.
REGISTRY_TOKEN_HEADER: Final = "registry_token"  # noqa: S105  a name, no secret
ROUTING_DISPATCH: Final = "routing.dispatch"
SWARM_DEPLOY: Final = "swarm.deploy"
SWARM_EVAPORATE: Final = "swarm.evaporate"
SWARM_ISLAND: Final = "swarm.island"
SWARM_ITERATE: Final = "swarm.iterate"
SWARM_JOIN: Final = "swarm.join"
SWARM_PARTITION: Final = "swarm.partition"
SWARM_PATROL: Final = "swarm.patrol"
SWARM_RETIRE: Final = "swarm.retire"
SWARM_SWEEP: Final = "swarm.sweep"
SWARM_TICK: Final = "swarm.tick"
SWARM_VALUE: Final = "swarm.value"

# What the chores worker does, so that agents' load never delays it.
CHORES: Final = (
    AGENT_RETIRE,
    SAGA_ATTEND,
    SAGA_CANCEL,
    SAGA_LETTERS,
    SAGA_NOTIFY,
    SAGA_RETIRE,
    SAGA_SCHEDULES,
    SAGA_SWEEP,
    PROVENANCE_SEQUENCE,
    REGISTRY_DEREGISTER,
    REGISTRY_FOLLOW,
    REGISTRY_REGISTER,
    REGISTRY_REPLICATE,
    REGISTRY_SWEEP,
    SWARM_EVAPORATE,
    SWARM_PATROL,
    SWARM_RETIRE,
    SWARM_SWEEP,
)

STEP_TASKS: Final[Mapping[Direction, str]] = {
    Direction.DO: SAGA_STEP,
    Direction.UNDO: SAGA_COMPENSATE,
    Direction.PROBE: SAGA_PROBE,
}

# Celery's own default, so that a bare client needs no routing of its own.
DEFAULT_QUEUE: Final = "celery"
CHORES_QUEUE: Final = "chores"
# Apart from chores, so that many of them never delay one; whoever serves chores serves
# heartbeats too, and a worker of their own may help.
HEARTBEATS_QUEUE: Final = "heartbeats"
_POOL: Final = "agents."


def pool_queue(pool: str) -> str:
    """Return the name of the queue that a pool's agents are served from."""
    return f"{_POOL}{pool}"


def is_pool_queue(queue: str) -> bool:
    """Return whether a queue is that of a pool's agents."""
    return queue.startswith(_POOL)


class MessageItem(TypedDict):
    """One message on its way to an agent; a task carries one or many.

    ``message`` is ``Message.to_json()``; ``pattern`` the subscription for which an
    EVENT is delivered; ``attempt`` counts up with each try, the first is 1; ``sought``
    with each worker that did not host what takes it.
    """

    agent_id: str
    message: Mapping[str, Any]
    pattern: NotRequired[str]
    attempt: NotRequired[int]
    sought: NotRequired[int]


def message_label(items: Sequence[MessageItem]) -> str:
    """Return what Flower shows as the arguments of messages; no payload is in it."""
    first, *rest = items
    message = first["message"]
    what = f"{message['message_type']} {message['message_id']}"
    ends = f"{message['sender_id']} → {first['agent_id']}"
    return f"{what} · {ends}" + (f" · and {len(rest)} more" if rest else "")


class HeartbeatItem(TypedDict):
    """One heartbeat; ``registry.heartbeat`` carries up to 1,000 as ``heartbeats``.

    ``metrics`` may have ``cpu_usage``, ``memory_usage`` and ``error_rate`` (0-1),
    ``response_time_ms`` and ``queue_size``. When it was sent it does not say: what
    counts is when it arrives. After ``until_ms``, epoch milliseconds by Redis' time, it
    does not count: one that has waited in the queue for long tells nothing of now. A
    sender that says who it is (``sender``, letters and digits, the same for its life)
    and numbers its messages (``number``) has one that comes twice counted once, as long
    as no other sender tells of the same agents in between.
    """

    agent_id: str
    metrics: NotRequired[Mapping[str, float]]
    until_ms: NotRequired[int]


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


class SwarmHint(TypedDict):
    """What a sender knew of a swarm that moves, so that its task need not ask.

    All of it is of the event with that ``version``; what the task records is refused if
    the swarm does not stand there.

    ``state`` and ``link`` are the hashes after ``iteration``; ``kept_ms`` says when a
    snapshot was last taken, ``listed_ms`` when lists last heard of the swarm, and
    ``deadline_ms`` when its time is over, all in epoch milliseconds; ``attempts`` how
    often the next iteration has failed; ``sends`` how often the sweep has sent it.
    """

    version: int
    iteration: int
    link: str
    state: str
    best: float | None
    convergence: float
    deadline_ms: int | None
    kept_ms: int
    listed_ms: int
    attempts: int
    sends: int


class Moved(TypedDict):
    """An iteration whose positions are being valued, or to which islands move.

    ``digest`` is the SHA-256 of the state with these positions, or from which the
    islands set out; ``at_ms`` says when all was sent, epoch milliseconds.
    """

    iteration: int
    digest: str
    at_ms: int


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
