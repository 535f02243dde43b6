"""What a swarm is told to share out: partitions of data, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self, cast
from uuid import uuid4

from orchestration.core.jsonable import is_number, is_whole, json_fault, shown
from orchestration.core.swarm.model import AgentRole, SwarmBehavior
from orchestration.core.swarm.roles import RoleShares
from orchestration.core.words import member

__all__ = ["MOST_PARTITIONS", "SwarmTask"]

MOST_PARTITIONS: Final = 100_000
LEAST_AGENTS: Final = 10

_MAX_TEXT: Final = 1_000  # characters
_DAY_MS: Final = 86_400_000
_MOST_ATTEMPTS: Final = 100
_MOST_GROUPS: Final = 1_000
_MOST_WEIGHT: Final = 1e6
_NAME: Final = re.compile(r"[\w.-]{1,200}")
_HANDLER: Final = re.compile(r"[\w.-]{1,200}(/[\w.:-]{1,200})?")
_BLOCKS: Final = 32
"""Groups that partitions are in if nobody says: neighbours are alike, more or less."""


@dataclass(frozen=True, slots=True)
class SwarmTask:
    """Work on data that comes in partitions, shared out among the agents of a swarm.

    Attributes:
        objective: What it is for, for people.
        data_partitions: How many partitions there are.
        agents_required: How many agents, 10 to ORCHESTRATION_MAX_SWARM_AGENTS.
        behavior: How they go about it; in which order partitions are taken is the same
            for all but FORAGING, in which foragers prefer what has proved good.
        convergence_threshold: The share of all weight that is to be done, above 0.0, at
            most 1.0.
        timeout_ms: After which time it ends as it stands, milliseconds.
        metadata: JSON that handlers are given. Where there is no data source, a list in
            it under ``items`` is shared out in its place.
        handler: Name of the handler, or ``agent/action`` for an agent's action; None:
            ``metadata["handler"]``, or ``metadata["data_source"]``.
        drain: Whether all partitions are done, or only as many as the threshold asks.
        max_attempts: So often a partition is tried, each time by another agent.
        backoff_ms: How long it waits after the first failure, milliseconds; twice as
            long after each further one, at most a minute.
        partition_timeout_ms: How long one attempt may take, milliseconds.
        weights: How much work each partition is, relative to others; None: 1 each.
        groups: Which group each partition belongs to, numbers from 0: partitions of one
            group are alike, so that some tell of the others; None: neighbours are.
        roles: Which part of the agents has a role, by its name, for the roles whose
            usual part is not wanted.
        seed: Of its random numbers.
        swarm_id: Made when it is not given.
    """

    objective: str
    data_partitions: int = 100
    agents_required: int = 10
    behavior: SwarmBehavior = SwarmBehavior.FORAGING
    convergence_threshold: float = 0.95
    timeout_ms: int = 300_000
    metadata: Mapping[str, Any] = field(default_factory=dict)
    handler: str | None = None
    drain: bool = field(default=True, kw_only=True)
    max_attempts: int = field(default=3, kw_only=True)
    backoff_ms: int = field(default=200, kw_only=True)
    partition_timeout_ms: int = field(default=60_000, kw_only=True)
    weights: Sequence[float] | None = field(default=None, kw_only=True)
    groups: Sequence[int] | None = field(default=None, kw_only=True)
    roles: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    swarm_id: str = field(default_factory=lambda: str(uuid4()), kw_only=True)

    def __post_init__(self) -> None:
        with suppress(ValueError):  # ``faults`` tells of it
            behavior = member(SwarmBehavior, cast(Any, self.behavior))
            object.__setattr__(self, "behavior", behavior)

    @property
    def handler_name(self) -> str | None:
        """The handler's name, wherever it is told."""
        metadata = self.metadata
        return self.handler or metadata.get("handler") or metadata.get("data_source")

    @property
    def source_name(self) -> str | None:
        """The data source's name; it may be that there is none of it."""
        source: str | None = self.metadata.get("data_source") or self.handler_name
        return source

    @property
    def needs_source(self) -> bool:
        """Whether a data source was asked for, and not just looked for."""
        source = self.metadata.get("data_source")
        return source is not None and source != self.handler_name

    @property
    def role_shares(self) -> RoleShares:
        """Which part of the agents has which role."""
        given = {str(name).lower(): part for name, part in self.roles.items()}
        return replace(RoleShares(), **given)

    @property
    def group_of(self) -> Sequence[int]:
        """The group of each partition."""
        if self.groups is not None:
            return tuple(self.groups)
        count = self.data_partitions
        blocks = min(count, _BLOCKS)
        return tuple(p * blocks // count for p in range(count))

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        told = {name: getattr(self, name) for name in _names()}
        for name in ("weights", "groups"):
            if told[name] is not None:
                told[name] = list(told[name])
        return {**told, "behavior": str(self.behavior), "metadata": {**self.metadata}}

    @classmethod
    def from_json(cls, given: object, *, swarm_id: str = "") -> Self:
        """Return the task that JSON tells of, whoever wrote it; it may have faults.

        Raises:
            ValueError: A field is missing, or there is no such field.
        """
        if not isinstance(given, Mapping):
            raise ValueError(f"{shown(given)} is no task: give an object")  # noqa: TRY004
        if unknown := sorted(shown(one) for one in set(given) - set(_names())):
            raise ValueError(
                f"a task has no {', '.join(unknown)}: use {', '.join(_names())}"
            )
        if "objective" not in given:
            raise ValueError("objective is missing: say what the task is for")
        named = {"swarm_id": swarm_id} if swarm_id else {}
        return cls(**{**given, **named})

    def faults(self, most_agents: int) -> tuple[str, ...]:
        """Return all that is wrong with it, each with its way out.

        Args:
            most_agents: How many agents a swarm may have.
        """
        return tuple(_faults(self, most_agents))


def _names() -> tuple[str, ...]:
    return tuple(one.name for one in fields(SwarmTask))


def _faults(task: SwarmTask, most_agents: int) -> Iterator[str]:
    if not _is_text(task.objective):
        yield (
            f"objective is {shown(task.objective)}: give it 1 to {_MAX_TEXT:,} "
            "printable characters"
        )
    yield from _whole("data_partitions", task.data_partitions, 1, MOST_PARTITIONS)
    for fault in _whole(
        "agents_required", task.agents_required, LEAST_AGENTS, most_agents
    ):
        yield f"{fault} (ORCHESTRATION_MAX_SWARM_AGENTS)"
    behavior: object = task.behavior
    if not isinstance(behavior, SwarmBehavior):
        yield f"behavior is {shown(behavior)}: use {', '.join(SwarmBehavior)}"
    yield from _above_zero("convergence_threshold", task.convergence_threshold, 1.0)
    yield from _whole("timeout_ms", task.timeout_ms, 1, 7 * _DAY_MS)
    yield from _about_handler(task)
    drain: object = task.drain
    if not isinstance(drain, bool):
        yield f"drain is {shown(drain)}: use True or False"
    yield from _whole("max_attempts", task.max_attempts, 1, _MOST_ATTEMPTS)
    yield from _whole("backoff_ms", task.backoff_ms, 0, _DAY_MS)
    yield from _whole("partition_timeout_ms", task.partition_timeout_ms, 1, _DAY_MS)
    yield from _about_each(task)
    yield from _about_roles(task)
    yield from _whole("seed", task.seed, 0, 2**53 - 1)
    swarm_id: object = task.swarm_id
    if not isinstance(swarm_id, str) or not _NAME.fullmatch(swarm_id):
        yield (
            f"swarm_id is {shown(swarm_id)}: use letters, digits, '_', '-' and "
            "'.', at most 200"
        )


def _about_handler(task: SwarmTask) -> Iterator[str]:
    metadata: object = task.metadata
    if not isinstance(metadata, Mapping):
        yield f"metadata is {shown(metadata)}: give a dict of JSON"
        return
    if fault := json_fault(metadata, "metadata"):
        yield fault
        return
    places = {
        "handler": task.handler,
        "metadata['handler']": metadata.get("handler"),
        "metadata['data_source']": metadata.get("data_source"),
    }
    given = {place: name for place, name in places.items() if name is not None}
    for place, name in given.items():
        if not isinstance(name, str) or not _HANDLER.fullmatch(name):
            yield f"{place} is {shown(name)}: give the name of one that a worker hosts"
    if not given:
        yield (
            "nobody is named who handles partitions: give handler, "
            "metadata['handler'] or metadata['data_source']"
        )


def _about_each(task: SwarmTask) -> Iterator[str]:
    """Judge what is told of each partition."""
    count = task.data_partitions
    for name, values in (("weights", task.weights), ("groups", task.groups)):
        if values is None:
            continue
        if not isinstance(values, Sequence) or isinstance(values, str | bytes):
            yield f"{name} is {shown(values)}: give a list, one for each partition"
        elif len(values) != count:
            yield f"{name} has {len(values)} entries: give {count}, one a partition"
        elif name == "weights":
            wrong = (at for at, one in enumerate(values) if not _is_weight(one))
            if (at := next(wrong, None)) is not None:
                yield (
                    f"weights[{at}] is {shown(values[at])}: give a number above 0, at "
                    "most 1e6"
                )
        else:
            odd = (at for at, one in enumerate(values) if not _is_group(one))
            if (at := next(odd, None)) is not None:
                yield (
                    f"groups[{at}] is {shown(values[at])}: give a whole number from 0 "
                    f"to {_MOST_GROUPS - 1}"
                )


def _about_roles(task: SwarmTask) -> Iterator[str]:
    roles: object = task.roles
    if not isinstance(roles, Mapping):
        yield f"roles is {shown(roles)}: give parts by the names of roles"
        return
    shared = [role for role in AgentRole if role not in _NOT_SHARED]
    unknown = [name for name in roles if str(name).upper() not in shared]
    for name in unknown:
        yield f"roles has {shown(name)}: use {', '.join(shared)}"
    if not unknown:
        yield from (f"roles: {fault}" for fault in task.role_shares.faults())


_NOT_SHARED: Final = (AgentRole.QUEEN, AgentRole.WORKER)
"""There is one queen, and workers are all the rest."""


def _whole(name: str, value: object, least: int, most: int) -> Iterator[str]:
    if not is_whole(value) or not least <= value <= most:  # type: ignore[operator]
        yield f"{name} is {shown(value)}: give a whole number, {least:,} to {most:,}"


def _above_zero(name: str, value: object, most: float) -> Iterator[str]:
    if not is_number(value) or not 0 < value <= most:  # type: ignore[operator]
        yield f"{name} is {shown(value)}: give a number above 0.0, at most {most}"


def _is_weight(value: object) -> bool:
    return is_number(value) and 0 < value <= _MOST_WEIGHT  # type: ignore[operator]


def _is_group(value: object) -> bool:
    return is_whole(value) and 0 <= value < _MOST_GROUPS  # type: ignore[operator]


def _is_text(value: object) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()
    )
