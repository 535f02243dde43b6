"""A producer for tests: the async front door, called from plain test functions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.core.saga.events import SagaEvent
from orchestration.message_bus import MessageBus
from orchestration.saga import (
    HistoryEvent,
    SagaClient,
    SagaExecution,
    SagaOrchestrator,
    SagaStep,
    SagaTransaction,
)
from orchestration.settings import Settings
from tests.support.waiting import wait_until
from tests.support.world import Effect, World


class Front:
    """One bus, used by one loop after the other."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.saga = SagaOrchestrator(bus)
        self.client = SagaClient(bus)

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

    def act(self, act: str, saga_id: str, *args: Any, **options: Any) -> SagaExecution:
        """Do as an operator does: pause, cancel, retry, …"""
        method = getattr(self.saga, act)
        return asyncio.run(method(saga_id, *args, **options))

    def told(self, saga_id: str, kind: str) -> list[Mapping[str, Any]]:
        """Return the data of a saga's events of one type."""
        return [e.data for e in self.client.history(saga_id) if e.type == kind]

    def await_event(self, saga_id: str, kind: str, **data: Any) -> SagaEvent:
        """Return the first event of that type with such data, once it is there."""
        found: list[SagaEvent] = []

        def look() -> bool:
            found[:] = [
                event
                for event in self.bus.sagas.read(saga_id).events
                if event.type == kind and data.items() <= event.data.items()
            ]
            return bool(found)

        wait_until(look, f"{kind} of saga {saga_id} with {data}")
        return found[0]

    def await_time(self, at_s: float) -> None:
        """Return once it is past a time (seconds since 1970) by every clock here."""
        wait_until(lambda: time.time() > at_s + 0.1, f"it is past {at_s}")

    def await_state(self, saga_id: str, state: str) -> SagaExecution:
        """Return the saga's status once it is in that state."""

        def is_there() -> bool:
            return self.client.get_execution_status(saga_id).state == state

        wait_until(is_there, f"saga {saga_id} is {state}")
        return self.status(saga_id)


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
    "undo_waits_for",
    "wait_for_file",
    "rest_at_file",
    "kind",
    "compensate",
    "mended_by",
    "undo_mended_by",
    "returns",
    "shows",
    "probe_says",
    "probe_waits_for",
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
        return [effect.step for effect in self.all(saga_id, what=what)]

    def all(self, *saga_ids: str, what: str = "") -> list[Effect]:
        """Return everything that these sagas have done, in order."""
        return [
            effect
            for effect in World.read(self.path).effects
            if effect.saga_id in saga_ids
            and (effect.what == what or (not what and effect.what != "unbegin"))
        ]

    def pids(self, saga_id: str, what: str, name: str) -> list[int]:
        """Return the processes in which a step had such an effect."""
        found = self.all(saga_id, what=what)
        return [effect.pid for effect in found if effect.step == name]

    def await_begin(self, saga_id: str, step: str, *, count: int = 1) -> None:
        """Return once a step's action runs, for the count-th time."""

        def has_begun() -> bool:
            return self.lines(saga_id, "begin").count(step) >= count

        wait_until(has_begun, f"{step} of saga {saga_id} runs")

    def left(self, saga_id: str) -> set[str]:
        """Return the steps whose last effect has not been undone after it."""
        return World.read(self.path).left(saga_id)
