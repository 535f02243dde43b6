"""Swarms that share out partitions, told event by event, without any server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestration.core.swarm.events import EventType, NewFact, SwarmEvent
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.control import ticked
from orchestration.core.swarm.partitions.facts import (
    How,
    committed,
    failed,
    repeated,
    started,
)
from orchestration.core.swarm.partitions.outcome import outcome
from orchestration.core.swarm.providers import PartitionResult
from orchestration.core.swarm.task import SwarmTask

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Story:
    """A swarm and all its events; each is told at a time of its own."""

    def __init__(self, count: int = 20, agents: int = 10, **told: Any) -> None:
        task = SwarmTask("test", count, agents, handler="h", swarm_id="s", **told)
        assert task.faults(10_000) == ()
        self.events = [
            SwarmEvent(1, EventType.SWARM_STARTED, started(task).data, BEGAN)
        ]
        self.colony = Colony.of("s", self.events[0])

    def tell(self, fact: NewFact, at_ms: float | None = None) -> None:
        version = len(self.events) + 1
        at = BEGAN + timedelta(milliseconds=100 * version if at_ms is None else at_ms)
        self.events.append(SwarmEvent(version, fact.type, fact.data, at))
        self.colony.apply(self.events[-1])

    def commit(
        self,
        partition: int,
        agent: int = 5,
        *,
        quality: float = 1.0,
        value: object = None,
        busy_ms: float = 50.0,
        attempt: int = 1,
        at_ms: float | None = None,
        rows: int = 1,
    ) -> None:
        result = PartitionResult(rows, quality, value)
        timing = {"busy_ms": busy_ms, "worker": "w"}
        self.tell(committed(partition, agent, attempt, result, timing), at_ms)

    def fail(self, partition: int, agent: int = 5, *, attempt: int = 1) -> None:
        failures = self.colony.failures.get(partition, 0) + 1
        self.tell(
            failed(
                partition,
                agent,
                attempt,
                how=How.FAILED,
                error={"type": "ValueError", "message": "no"},
                retry_in_ms=self.colony.plan.retry_in_ms(failures),
                timing={"busy_ms": 10.0, "worker": "w"},
            )
        )

    def repeat(self, partition: int, agent: int = 5) -> None:
        self.tell(repeated(partition, agent, 1))

    def tick(self) -> dict[str, Any]:
        fact = ticked(self.colony)
        self.tell(fact)
        return dict(fact.data)

    def told_again(self) -> Colony:
        """The swarm as somebody else folds it."""
        other = Colony.of("s", self.events[0])
        other.fold(self.events[1:])
        return other

    def outcome(self, at_ms: float | None = None) -> dict[str, Any]:
        last = self.events[-1].recorded_at
        end = last if at_ms is None else BEGAN + timedelta(milliseconds=at_ms)
        return outcome(self.colony, end)
