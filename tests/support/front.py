"""A producer for tests: the async front door, called from plain test functions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.message_bus import MessageBus
from orchestration.saga import (
    HistoryEvent,
    SagaExecution,
    SagaOrchestrator,
    SagaStep,
    SagaTransaction,
)
from orchestration.settings import Settings
from tests.support.world import World


class Front:
    """One bus, used by one loop after the other."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.saga = SagaOrchestrator(bus)

    def start(self, transaction: SagaTransaction, **data: Any) -> str:
        return asyncio.run(self.saga.start(transaction, data))

    def execute(self, transaction: SagaTransaction, **data: Any) -> dict[str, Any]:
        return asyncio.run(self.saga.execute(transaction, data))

    def wait(self, saga_id: str, *, timeout_s: float = 60) -> SagaExecution:
        return asyncio.run(self.saga.wait(saga_id, timeout_ms=round(timeout_s * 1_000)))

    def run(self, transaction: SagaTransaction, **data: Any) -> SagaExecution:
        """Start a saga and return its status at its end, whatever that is."""
        return self.wait(self.start(transaction, **data))

    def status(self, saga_id: str) -> SagaExecution:
        return asyncio.run(self.saga.get_execution_status(saga_id))

    def history(self, saga_id: str) -> tuple[HistoryEvent, ...]:
        return asyncio.run(self.saga.history(saga_id))

    def types(self, saga_id: str) -> list[str]:
        return [event.type for event in self.history(saga_id)]


@contextlib.contextmanager
def front_door(environment: Mapping[str, str]) -> Iterator[Front]:
    """Connect a producer to the servers that ``environment`` names."""
    bus = MessageBus(
        Settings(
            database_url=environment["DATABASE_URL"],
            redis_url=environment["REDIS_URL"],
            broker_url=environment["CELERY_BROKER_URL"],
            key_prefix=environment.get("ORCHESTRATION_KEY_PREFIX", ""),
        )
    )
    asyncio.run(bus.initialize())
    try:
        yield Front(bus)
    finally:
        asyncio.run(bus.close())


def step(name: str, *after: str, **options: Any) -> SagaStep:
    """Return a step of the effects agent that can be undone."""
    metadata = {k: options.pop(k) for k in list(options) if k in _BEHAVIOUR}
    given = {"action": "work", "compensation": "unwork"} | options
    retry = {"max_attempts": 2, "backoff_ms": 50, "jitter": 0.0}
    given.setdefault("retry_policy", retry)
    given.setdefault("compensation_retry_policy", retry)
    return SagaStep(name, "agent-effects", depends_on=after, metadata=metadata, **given)


_BEHAVIOUR = {
    "sleep_s",
    "fail",
    "undo_fail",
    "rest_s",
    "undo_sleep_s",
    "undo_rest_s",
    "wait_for_file",
    "rest_at_file",
    "look_at_file",
    "kind",
    "compensate",
}


def linear(count: int = 5, **options: Any) -> SagaTransaction:
    """Return a saga of steps s1, s2, … in list order."""
    per_step = {f"s{n}": options.pop(f"s{n}", {}) for n in range(1, count + 1)}
    steps = [step(name, **given) for name, given in per_step.items()]
    return SagaTransaction("linear", steps, **options)


class Effects:
    """The file that the test agents write their effects to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, saga_id: str, what: str) -> list[str]:
        """Return the steps with such an effect for a saga, in order."""
        if not self.path.exists():
            return []
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [row[2] for row in rows if row[0] == what and row[1] == saga_id]

    def pids(self, saga_id: str, what: str, name: str) -> list[int]:
        """Return the processes in which a step had such an effect."""
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [int(r[4]) for r in rows if r[:3] == [what, saga_id, name]]

    def left(self, saga_id: str) -> set[str]:
        """Return the steps whose last effect has not been undone after it."""
        return World.read(self.path).left(saga_id)
