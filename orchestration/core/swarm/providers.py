"""What a worker hosts for swarms: handlers of partitions, data sources, fitnesses.

    @partition_handler("supplier_database")
    def emissions(partition: Partition, metadata: dict) -> PartitionResult:
        return PartitionResult(rows=len(partition.rows), value=total(partition.rows))

What is defined here an app imports from ``orchestration.agents``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from orchestration.errors import ConfigurationError

if TYPE_CHECKING:  # most workers do without its arrays
    from orchestration.core.swarm.motion import Fitness

__all__ = [
    "DataSource",
    "Partition",
    "PartitionHandler",
    "PartitionResult",
    "Provided",
    "Provider",
    "announced_name",
    "data_source",
    "find_data_source",
    "find_fitness",
    "find_partition_handler",
    "fitness",
    "partition_handler",
    "providers",
]


class Provided(StrEnum):
    """What swarms can ask a worker for."""

    HANDLER = "handler"
    SOURCE = "source"
    FITNESS = "fitness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One share of the data, as its handler is given it.

    Attributes:
        index: Which one, from 0.
        of: How many there are.
        rows: What the data source returned for it; None if there is no source.
        attempt: Counts up with every try, from 1: an outside system that remembers the
            highest one seen can refuse what comes late.
        swarm_id: The swarm that it is of.
        agent: The agent that works on it.
    """

    index: int
    of: int
    rows: Any = None
    attempt: int = 1
    swarm_id: str = ""
    agent: int = 0

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this partition."""
        return f"{self.swarm_id}:{self.index}"


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """What came of one partition.

    Attributes:
        rows: How many rows were handled.
        quality: How good that is, 0.0 to 1.0.
        value: JSON, for whoever asks for the results.
    """

    rows: int = 0
    quality: float = 1.0
    value: Any = None


class DataSource(Protocol):
    """Where the rows of partitions come from."""

    def count(self) -> int:
        """Return how many rows there are in all."""

    def slice(self, index: int, of: int) -> Any:  # noqa: ANN401  the app's own
        """Return one slice of ``of``; they are disjoint, and together whole."""


PartitionHandler = Callable[[Partition, Mapping[str, Any]], Any]
_H = TypeVar("_H", bound=PartitionHandler)
_S = TypeVar("_S")
_F = TypeVar("_F", bound="Fitness")


@dataclass(frozen=True, slots=True)
class Provider:
    """One thing that this process hosts for swarms.

    Attributes:
        pool: The queue it is served from, as of an agent.
    """

    kind: Provided
    name: str
    pool: str
    target: Any

    @property
    def announced_as(self) -> str:
        """What it is called among all that workers announce."""
        return announced_name(self.kind, self.name)


_NAME: Final = re.compile(r"[\w.-]{1,200}")
_POOL: Final = re.compile(r"[\w-]+")
_HOSTED: dict[tuple[Provided, str], Provider] = {}


def partition_handler(name: str, *, pool: str = "default") -> Callable[[_H], _H]:
    """Make the decorated function the handler of that name.

    It takes ``(partition, metadata)``, may be ``async def``, and returns a
    ``PartitionResult``; what else it returns, such as a number or a dict, is the value
    of one. It may run more than once for one partition.

    Args:
        name: What swarms call it: letters, digits, ``_``, ``-`` and ``.``.
        pool: The queue that it is served from, as of an agent.

    Raises:
        ConfigurationError: A name is malformed, or taken.
    """

    def register(function: _H) -> _H:
        _host(Provider(Provided.HANDLER, name, pool, function))
        return function

    return register


def data_source(name: str, *, pool: str = "default") -> Callable[[_S], _S]:
    """Make the decorated class, or the object, the data source of that name.

    It has ``count() -> int`` and ``slice(index, of) -> rows``. A class is called
    without arguments, once in each process that needs it.

    Args:
        name: What swarms call it.
        pool: As for ``partition_handler``.

    Raises:
        ConfigurationError: A name is malformed or taken, or a method is missing.
    """

    def register(source: _S) -> _S:
        missing = [
            one
            for one in ("count", "slice")
            if not callable(getattr(source, one, None))
        ]
        if missing:
            raise ConfigurationError(
                f"data source {name!r} has no {' and no '.join(missing)}: give it "
                "count() and slice(index, of)"
            )
        _host(Provider(Provided.SOURCE, name, pool, _Source(source)))
        return source

    return register


def fitness(name: str, *, pool: str = "default") -> Callable[[_F], _F]:
    """Make the decorated function the fitness of that name.

    It takes positions, shape ``(n, d)``, and returns their values, shape ``(n,)``; the
    smaller, the better.

    Args:
        name: What swarms call it.
        pool: As for ``partition_handler``.

    Raises:
        ConfigurationError: A name is malformed, or taken.
    """

    def register(function: _F) -> _F:
        _host(Provider(Provided.FITNESS, name, pool, function))
        return function

    return register


def find_partition_handler(name: str) -> PartitionHandler | None:
    """Return the handler of that name, if this process has it."""
    found = _HOSTED.get((Provided.HANDLER, name))
    return None if found is None else cast(PartitionHandler, found.target)


def find_data_source(name: str) -> DataSource | None:
    """Return the data source of that name, if this process has it."""
    found = _HOSTED.get((Provided.SOURCE, name))
    return None if found is None else cast(_Source, found.target).get()


def find_fitness(name: str) -> Fitness | None:
    """Return the fitness of that name, if this process has it."""
    found = _HOSTED.get((Provided.FITNESS, name))
    return None if found is None else cast("Fitness", found.target)


def providers() -> tuple[Provider, ...]:
    """Return all that this process hosts for swarms, by kind and name."""
    return tuple(_HOSTED[key] for key in sorted(_HOSTED))


def announced_name(kind: Provided, name: str) -> str:
    """Return what such a thing is called among agents; none of them has an ``@``.

    A handler ``agent/action`` is an agent's action, and called so.
    """
    if kind is Provided.HANDLER and "/" in name:
        return name
    return f"@{kind}/{name}"


class _Source:
    """A data source that is made when it is needed first, hence after the fork."""

    def __init__(self, given: object) -> None:
        self._given, self._made = given, None

    def get(self) -> DataSource:
        if self._made is None:
            given: Any = self._given
            self._made = given() if isinstance(given, type) else given
        return cast(DataSource, self._made)


def _host(provider: Provider) -> None:
    kind, name = provider.kind, provider.name
    for what, value, pattern in (
        (f"name of a {kind}", name, _NAME),
        ("pool", provider.pool, _POOL),
    ):
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ConfigurationError(
                f"{what} {value!r}: use letters, digits, '_' and '-' only"
            )
    if (kind, name) in _HOSTED:
        raise ConfigurationError(
            f"{kind} {name!r} is defined twice in this process: rename one, or import "
            "its module once"
        )
    _HOSTED[kind, name] = provider
