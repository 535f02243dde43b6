"""From events to how far the partitions of a swarm are, and how its agents fare.

Partitions are settled as their events come. Agents live from tick to tick: what was
settled up to the version that a tick looked at pays or charges them there, and whoever
folds the events gets the same agents as the one who ticked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np

from orchestration.core.swarm.events import EventType, SwarmEvent
from orchestration.core.swarm.partitions.agents import Agents, Happened
from orchestration.core.swarm.partitions.facts import KIND
from orchestration.core.swarm.partitions.trails import Orders, Trails
from orchestration.core.swarm.state import Counts, Floats
from orchestration.core.swarm.task import SwarmTask

__all__ = ["Colony", "Done", "Plan", "Settled"]

_BACKOFF_MOST_MS: Final = 60_000
_TICKS: Final = 20
"""About so many ticks a run has at least, if it has as many partitions."""

_TURNS: Final = 3
"""About so many turns each agent has."""


@dataclass(frozen=True)
class Plan:
    """A task, and what follows from it.

    Attributes:
        swarm_id: Of the swarm that it is told.
    """

    task: SwarmTask
    swarm_id: str

    @classmethod
    def of(cls, swarm_id: str, spec: Mapping[str, Any]) -> Plan:
        """Return the plan of a swarm that was told so."""
        return cls(SwarmTask.from_json(spec, swarm_id=swarm_id), swarm_id)

    @property
    def count(self) -> int:
        """How many partitions there are."""
        return self.task.data_partitions

    @cached_property
    def weights(self) -> Floats:
        """How much work each partition is, shape ``(count,)``."""
        given = self.task.weights
        return np.ones(self.count) if given is None else np.array(given, np.float64)

    @cached_property
    def groups(self) -> Counts:
        """The group of each partition, shape ``(count,)``."""
        return np.array(self.task.group_of, np.int64)

    @property
    def tick_every(self) -> int:
        """After how many settled attempts there is a tick."""
        return max(1, min(self.task.agents_required, -(-self.count // _TICKS)))

    @property
    def turn_size(self) -> int:
        """How many partitions an agent may do in a row: few of its share."""
        return max(1, self.count // (_TURNS * self.task.agents_required))

    def retry_in_ms(self, failures: int) -> int | None:
        """Return how long a partition waits after so many failures; None: for ever."""
        if failures >= self.task.max_attempts:
            return None
        wait_ms: int = self.task.backoff_ms << min(failures - 1, 30)
        return min(wait_ms, max(_BACKOFF_MOST_MS, self.task.backoff_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A partition that is done.

    Attributes:
        digest: SHA-256 of what came of it.
    """

    agent: int
    attempt: int
    rows: int
    quality: float
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An attempt that has ended.

    Attributes:
        version: Of the event that tells of it.
        quality: Of what was done; None: it came to nothing.
        busy_ms: How long its agent was at it.
        at: When it was recorded.
    """

    version: int
    partition: int
    agent: int
    quality: float | None
    busy_ms: float
    at: datetime


@dataclass(slots=True)
class Colony:
    """A swarm that shares out partitions, as its events tell of it.

    Attributes:
        version: Of the last event that it knows of.
        started_at: When it began.
        agents: Who lives, and what they have.
        trails: What is known of groups.
        known: Of how many something was known when it began.
        done: Partitions that are done.
        failures: How many attempts at each came to nothing.
        attempts: The highest number of an attempt at each that is on record.
        given_up: Partitions that nobody tries any more.
        settled: All attempts that have ended, oldest first.
        repeated: How often a partition was done once more, in vain.
        ticks: How many ticks there were.
        upto: The version that the last one looked at.
    """

    plan: Plan
    started_at: datetime
    agents: Agents
    trails: Trails
    known: int = 0
    version: int = 1
    done: dict[int, Done] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    last_agent: dict[int, int] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    settled: list[Settled] = field(default_factory=list)
    repeated: int = 0
    ticks: int = 0
    upto: int = 1
    _lived_to: int = 0

    @classmethod
    def of(cls, swarm_id: str, event: SwarmEvent) -> Colony:
        """Return a swarm that has just begun.

        Raises:
            ValueError: The event does not begin such a swarm.
        """
        if event.type is not EventType.SWARM_STARTED or event.data["kind"] != KIND:
            raise ValueError(f"swarm {swarm_id} does not share out partitions")
        plan = Plan.of(swarm_id, event.data["spec"])
        standing = event.data.get("standing", {})
        return cls(
            plan=plan,
            started_at=event.recorded_at,
            agents=Agents.new(plan.task),
            trails=Trails.new(plan.groups, standing),
            known=len(standing.get("pace_ms", ())),
        )

    def fold(self, events: Iterable[SwarmEvent]) -> None:
        """Take in events, each of them once, in their order."""
        for event in events:
            self.apply(event)

    def apply(self, event: SwarmEvent) -> None:
        """Take in one more event."""
        data = event.data
        match event.type:
            case EventType.PARTITION_COMMITTED:
                self._commit(event)
            case EventType.PARTITION_FAILED:
                partition = data["partition"]
                self._settle(event, None)
                self.failures[partition] = self.failures.get(partition, 0) + 1
                if data["retry_in_ms"] is None and partition not in self.done:
                    self.given_up.add(partition)
            case EventType.PARTITION_REPEATED:
                self.repeated += 1
            case EventType.SWARM_TICKED:
                self.tick(data["upto"])
            case _:  # of other events the view of the swarm tells
                pass
        self.version = event.version

    @property
    def pending(self) -> int:
        """How many partitions are neither done nor given up."""
        return self.plan.count - len(self.done) - len(self.given_up)

    @property
    def convergence(self) -> float:
        """The share of all weight that is done, 0.0 to 1.0."""
        if len(self.done) == self.plan.count:
            return 1.0
        weights = self.plan.weights
        return float(weights[sorted(self.done)].sum() / weights.sum())

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        task = self.plan.task
        enough = not task.drain and self.convergence >= task.convergence_threshold
        return self.pending == 0 or enough

    @property
    def has_news(self) -> bool:
        """Whether anything was settled since the last tick looked."""
        return self._lived_to < len(self.settled)

    def tick(self, upto: int) -> Happened:
        """Have agents live on, by what was settled up to a version.

        Args:
            upto: The version; what was settled later is for the next tick.

        Returns:
            What has become of them.
        """
        news = []
        while self._lived_to < len(self.settled):
            one = self.settled[self._lived_to]
            if one.version > upto:
                break
            news.append(one)
            self._lived_to += 1
        self.ticks += 1
        self.upto = upto
        weights, groups = self.plan.weights, self.plan.groups
        self.trails.tick(news, groups, weights)
        return self.agents.tick(self.ticks, news, weights)

    @property
    def orders(self) -> Orders:
        """How much each partition is worth to whom, by what is known now."""
        plan = self.plan
        return self.trails.orders(plan.groups, plan.weights, plan.task.behavior)

    @property
    def untried(self) -> list[int]:
        """The partitions of which no attempt has ended, in their order."""
        return [p for p in range(self.plan.count) if p not in self.attempts]

    def _commit(self, event: SwarmEvent) -> None:
        data = event.data
        partition = data["partition"]
        self.done[partition] = Done(
            agent=data["agent"],
            attempt=data["attempt"],
            rows=data["rows"],
            quality=float(data["quality"]),
            digest=data["digest"],
        )
        # An attempt that was taken for lost may still come true.
        self.given_up.discard(partition)
        self._settle(event, float(data["quality"]))

    def _settle(self, event: SwarmEvent, quality: float | None) -> None:
        data = event.data
        partition, attempt = data["partition"], data["attempt"]
        self.attempts[partition] = max(attempt, self.attempts.get(partition, 0))
        self.last_agent[partition] = data["agent"]
        self.settled.append(
            Settled(
                version=event.version,
                partition=partition,
                agent=data["agent"],
                quality=quality,
                busy_ms=data["timing"]["busy_ms"],
                at=event.recorded_at,
            )
        )
