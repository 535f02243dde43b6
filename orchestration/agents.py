"""What a worker hosts: agents and their actions, and what swarms work with.

    from orchestration.agents import ActionContext, Agent

    collector = Agent("agent-data-collector", agent_type="collector")

    @collector.action("collect_data")
    def collect(data: dict, context: ActionContext) -> dict:
        return {"readings": 12}

    @collector.on_message
    def answer(message: Message, context: MessageContext) -> dict:
        return {"asked": message.payload["question"]}

    @partition_handler("readings")
    def sum_up(partition: Partition, metadata: dict) -> PartitionResult:
        return PartitionResult(rows=len(partition.rows), value=sum(partition.rows))

``celery -A tasks worker -I myapp.agents`` imports the module and hosts the agent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from orchestration.core.messaging.listening import (
    MAX_TIMEOUT_MS,
    MESSAGE_LISTENER,
    Listener,
    MessageContext,
    MessageHandler,
    event_listener,
    takes_context,
)
from orchestration.core.messaging.model import Message
from orchestration.core.messaging.topics import check_pattern
from orchestration.core.swarm.providers import (
    Partition,
    PartitionResult,
    Provider,
    data_source,
    fitness,
    partition_handler,
)
from orchestration.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "Action",
    "ActionContext",
    "Agent",
    "Message",
    "MessageContext",
    "Partition",
    "PartitionResult",
    "data_source",
    "find_agent",
    "fitness",
    "hosted_agents",
    "partition_handler",
    "pool_hash",
]

Action = Callable[[dict[str, Any], "ActionContext"], Any]
_F = TypeVar("_F", bound=Action)
_H = TypeVar("_H", bound=MessageHandler)
_ID = re.compile(r"[\w-]+")
_HOSTED: dict[str, Agent] = {}


class Agent:
    """A named set of actions; every agent that a worker imports, it hosts.

    Args:
        agent_id: Letters, digits, ``_`` and ``-``; unique in the process.
        agent_type: What kind of agent it is, for people.
        version: Semantic version of its code.
        capabilities: What it can do; used by discovery.
        service_types: Names of service types; used by discovery.
        tags: Free words; used by discovery.
        pool: The queue it is served from, ``agents.<pool>``. Agents of one pool
            are hosted together by every worker of the pool.
        max_concurrent: At most so many attempts at its actions at once, over all
            workers; None: no limit.
        max_per_s: At most so many attempts begun a second, over all workers.
        metadata: JSON about it.

    Raises:
        ConfigurationError: The id or the pool is malformed, a limit is not above 0,
            or the id is taken.
    """

    def __init__(
        self,
        agent_id: str,
        agent_type: str = "",
        version: str = "0.0.0",
        capabilities: Sequence[str] = (),
        service_types: Sequence[str] = (),
        tags: Sequence[str] = (),
        *,
        pool: str = "default",
        max_concurrent: int | None = None,
        max_per_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        for what, value in (("agent_id", agent_id), ("pool", pool)):
            if not _ID.fullmatch(value):
                raise ConfigurationError(
                    f"{what} {value!r}: use letters, digits, '_' and '-' only"
                )
        for what, limit in (
            ("max_concurrent", max_concurrent),
            ("max_per_s", max_per_s),
        ):
            if limit is not None and not limit > 0:
                raise ConfigurationError(
                    f"agent {agent_id!r}: {what} is {limit}: give it more than 0"
                )
        if agent_id in _HOSTED:
            raise ConfigurationError(
                f"agent {agent_id!r} is defined twice in this process: "
                "rename one, or import its module once"
            )
        self.agent_id = agent_id
        self.agent_type = agent_type
        self.version = version
        self.capabilities = tuple(capabilities)
        self.service_types = tuple(service_types)
        self.tags = tuple(tags)
        self.pool = pool
        self.max_concurrent = max_concurrent
        self.max_per_s = max_per_s
        self.metadata = dict(metadata or {})
        self._actions: dict[str, Action] = {}
        self._listeners: dict[str, Listener] = {}
        _HOSTED[agent_id] = self

    def action(self, name: str | None = None) -> Callable[[_F], _F]:
        """Make the decorated function an action of this agent.

        The function takes ``(data, context)`` and returns JSON (or None); it may
        be ``async def``. It may run more than once for one idempotency key.

        Args:
            name: What steps call it; None: the function's name.

        Raises:
            ConfigurationError: The agent has an action of that name already.
        """

        def register(function: _F) -> _F:
            key = name or function.__name__
            if key in self._actions:
                raise ConfigurationError(
                    f"agent {self.agent_id!r} has two actions named {key!r}"
                )
            self._actions[key] = function
            return function

        return register

    @overload
    def on_message(self, function: _H) -> _H: ...

    @overload
    def on_message(
        self, *, timeout_ms: int = ..., max_attempts: int = ...
    ) -> Callable[[_H], _H]: ...

    def on_message(
        self,
        function: _H | None = None,
        *,
        timeout_ms: int = 30_000,
        max_attempts: int = 3,
    ) -> _H | Callable[[_H], _H]:
        """Have the decorated function take the messages that the agent is sent.

        It takes ``(message)`` or ``(message, context)`` and may be ``async def``. What
        it returns, JSON or None, answers a REQUEST. It may run more than once for one
        ``message_id``.

        Args:
            function: What is decorated, without parentheses.
            timeout_ms: How long it may take, at most four minutes; what takes longer
                is a saga's.
            max_attempts: So many attempts are made at most, except at a REQUEST:
                there the caller is told at once.

        Raises:
            ConfigurationError: The agent has such a function already, or a number is
                out of bounds.
        """

        def register(function: _H) -> _H:
            self._listen(MESSAGE_LISTENER, function, timeout_ms, max_attempts)
            return function

        return register if function is None else register(function)

    def on_event(
        self, pattern: str, *, timeout_ms: int = 30_000, max_attempts: int = 3
    ) -> Callable[[_H], _H]:
        """Have the decorated function take what is published to these topics.

        Args:
            pattern: A topic; ``*`` stands for one of its words, ``#`` for any number.
            timeout_ms: As for ``on_message``.
            max_attempts: As for ``on_message``.

        Raises:
            ConfigurationError: The agent listens to that pattern already, or a number
                is out of bounds.
            InvalidTopic: It is no pattern.
        """
        listener = event_listener(check_pattern(pattern))

        def register(function: _H) -> _H:
            self._listen(listener, function, timeout_ms, max_attempts)
            return function

        return register

    def _listen(
        self, name: str, function: MessageHandler, timeout_ms: int, max_attempts: int
    ) -> None:
        if name in self._listeners:
            raise ConfigurationError(
                f"agent {self.agent_id!r} has two functions for {name!r}"
            )
        if not 0 < timeout_ms <= MAX_TIMEOUT_MS or max_attempts < 1:
            raise ConfigurationError(
                f"agent {self.agent_id!r}, {name!r}: timeout_ms is {timeout_ms}, "
                f"max_attempts {max_attempts}: use 1 to {MAX_TIMEOUT_MS}, and 1 or "
                "more; what takes longer is a step of a saga"
            )
        self._listeners[name] = Listener(
            function, takes_context(function), timeout_ms, max_attempts
        )

    @property
    def listeners(self) -> tuple[str, ...]:
        """Names of what takes its messages: ``@message``, ``@event:orders.*``."""
        return tuple(sorted(self._listeners))

    def listener(self, name: str) -> Listener | None:
        """Return what takes its messages, by one of those names, or None."""
        return self._listeners.get(name)

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of its actions, sorted."""
        return tuple(sorted(self._actions))

    def find(self, action: str) -> Action | None:
        """Return the action of that name, or None."""
        return self._actions.get(action)


@dataclass(slots=True, kw_only=True)
class ActionContext:
    """What an action is told beside its data.

    Attributes:
        saga_id: The saga; equal to ``transaction_id``.
        step: Name of the step.
        direction: ``"do"``, ``"undo"`` or ``"probe"``.
        attempt: Counts up with every try; the fencing token: an outside system
            that remembers the highest one seen can refuse what comes late.
        round: Counts up when a step is done again after having been undone.
        idempotency_key: The same for every attempt at one effect.
        deadline: When this attempt's time is over, or None.
        outputs: Output of each completed ancestor by the step's name.
        metadata: The step's own.
        locks: Fencing number of each lock that the saga holds: it grows with every
            holder, so that an outside system can refuse a former one.
    """

    saga_id: str
    step: str
    direction: str
    attempt: int
    round: int
    idempotency_key: str
    deadline: datetime | None = None
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    locks: Mapping[str, int] = field(default_factory=dict)
    is_cancelled: Callable[[], bool] = lambda: False
    renew: Callable[[], None] = lambda: None
    connect: Callable[[], Connection] | None = None

    @property
    def transaction_id(self) -> str:
        """The saga's id under the name that its definition uses."""
        return self.saga_id

    @property
    def cancelled(self) -> bool:
        """Whether the saga has given up meanwhile: stop early, undo nothing."""
        return self.is_cancelled()

    def heartbeat(self) -> None:
        """Say that the action is alive; raises StepTimedOut if its time is over."""
        self.renew()

    @property
    def connection(self) -> Connection:
        """A database connection whose work commits with the step's completion.

        Opened at first use. If the action fails, or another attempt has taken
        over meanwhile, its work is rolled back.

        Raises:
            ConfigurationError: The action runs outside a worker.
        """
        if self.connect is None:
            raise ConfigurationError("context.connection exists in a worker only")
        return self.connect()


def find_agent(agent_id: str) -> Agent | None:
    """Return the agent, if this process has defined it."""
    return _HOSTED.get(agent_id)


def hosted_agents() -> tuple[Agent, ...]:
    """Return every agent that this process has defined, by id."""
    return tuple(_HOSTED[key] for key in sorted(_HOSTED))


def pool_hash(agents: Sequence[Agent], provided: Sequence[Provider] = ()) -> str:
    """Return one hash of what a pool's agents can do, to compare workers by."""
    lines = sorted(
        (
            *(f"{a.agent_id}:{','.join((*a.actions, *a.listeners))}" for a in agents),
            *(one.announced_as for one in provided),
        )
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
