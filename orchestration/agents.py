"""What a worker hosts: agents and their actions.

    from orchestration.agents import ActionContext, Agent

    collector = Agent("agent-data-collector", agent_type="collector")

    @collector.action("collect_data")
    def collect(data: dict, context: ActionContext) -> dict:
        return {"readings": 12}

``celery -A tasks worker -I myapp.agents`` imports the module and hosts the agent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from orchestration.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "Action",
    "ActionContext",
    "Agent",
    "find_agent",
    "hosted_agents",
    "pool_hash",
]

Action = Callable[[dict[str, Any], "ActionContext"], Any]
_F = TypeVar("_F", bound=Action)
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


def pool_hash(agents: Sequence[Agent]) -> str:
    """Return one hash of what a pool's agents can do, to compare workers by."""
    lines = sorted(f"{a.agent_id}:{','.join(a.actions)}" for a in agents)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
