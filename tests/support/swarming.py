"""Swarms for tests: a stack that moves them, and a producer beside it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestration.adapters.celery_bus import make_producer
from orchestration.core.swarm.events import EventType, SwarmEvent
from orchestration.message_bus import MessageBus
from orchestration.settings import Settings
from orchestration.swarm import SwarmOrchestrator, SwarmReport
from tests.support.shared import shared_stack, wait_all_ready
from tests.support.stack import Stack
from tests.support.waiting import wait_until

CUBE = [(-5.12, 5.12)] * 3
AGENTS = "tests.support.swarm_fitnesses"
RING: dict[str, object] = {
    "islands": [{}, {"algorithm": "SPSO_2011"}, {"topology": "RING"}],
    "migrate_every": 6,
}


class Swarming:
    """One bus, used by one loop after the other."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.swarm = SwarmOrchestrator(bus)

    def start(self, fitness: Any = "rastrigin", **options: Any) -> str:
        return asyncio.run(self.swarm.start(fitness, CUBE, **told(options)))

    def optimize(self, fitness: Any = "rastrigin", **options: Any) -> SwarmReport:
        return self.wait(self.start(fitness, **options))

    def wait(self, swarm_id: str, timeout_s: float = 200.0) -> SwarmReport:
        limit = round(timeout_s * 1_000)
        return asyncio.run(self.swarm.wait(swarm_id, timeout_ms=limit))

    def do(self, act: str, swarm_id: str) -> SwarmReport:
        return asyncio.run(getattr(self.swarm, act)(swarm_id))

    def status(self, swarm_id: str) -> SwarmReport:
        return asyncio.run(self.swarm.status(swarm_id))

    def events(self, swarm_id: str) -> tuple[SwarmEvent, ...]:
        return asyncio.run(self.swarm.events(swarm_id))

    def iterations(self, swarm_id: str) -> list[int]:
        """Every iteration in the order of the record."""
        return [
            nth
            for event in self.events(swarm_id)
            if event.type is EventType.SWARM_ITERATED
            for nth in range(
                event.data["first"], event.data["first"] + event.data["count"]
            )
        ]

    def await_iteration(self, swarm_id: str, at_least: int) -> None:
        """Return once a swarm has come so far, or is over."""

        def is_there() -> bool:
            view = self.bus.swarms.log.view(swarm_id)
            return view.iteration >= at_least or view.status.is_over

        what = f"swarm {swarm_id} is at iteration {at_least}"
        wait_until(is_there, what, timeout_s=200.0)


def told(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the defaults of tests."""
    return {"agents": 20, "iterations": 40, "seed": 11, **options}


@contextlib.contextmanager
def swarming(environment: Mapping[str, str]) -> Iterator[Swarming]:
    """Connect a producer to the servers that ``environment`` names."""
    names = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
    bus = MessageBus(
        Settings(
            database_url=environment[names[0]],
            redis_url=environment[names[1]],
            broker_url=environment.get(names[2], environment[names[1]]),
            key_prefix=environment.get("ORCHESTRATION_KEY_PREFIX", ""),
            swarm_still_s=float(environment.get("ORCHESTRATION_SWARM_STILL_S", "5")),
        )
    )
    bus.connect()
    try:
        yield Swarming(bus)
    finally:
        bus.disconnect()


@contextlib.contextmanager
def swarm_stack(
    postgres_server: str,
    redis_databases: tuple[str, str],
    *workers: tuple[str, ...],
    **settings: str,
) -> Iterator[Stack]:
    """Start a worker of two processes, such others, a chores worker and beat."""
    with shared_stack(postgres_server, redis_databases, **settings) as stack:
        for words in (("-I", AGENTS, "-c", "2", "-E"), *workers):
            stack.worker(*words, wait=False)
        stack.chores(wait=False)
        stack.beat(wait=False)
        yield wait_all_ready(stack)


def await_hosted(front: Swarming, *names: str) -> None:
    """Return once workers have said that they host such: they are ready before."""
    knows = front.bus.announcements.knows
    for name in names:
        wait_until(lambda name=name: knows(f"@fitness/{name}"), f"{name} is announced")


@contextlib.contextmanager
def listening(front: Swarming) -> Iterator[Callable[[str], int]]:
    """Count the tasks of swarms that workers tell of in Celery's own events."""
    seen: list[str] = []
    app = make_producer(front.bus.settings)
    with app.connection_for_read() as connection:
        ready = threading.Event()
        handlers = {
            "task-received": lambda event: seen.append(event["args"]),
            # Nothing is heard before the first of these, whatever Celery says of it.
            "worker-heartbeat": lambda _: ready.set(),
        }
        receiver = app.events.Receiver(connection, handlers=handlers)
        thread = threading.Thread(
            target=receiver.capture, kwargs={"timeout": 200, "wakeup": False}
        )
        thread.start()
        try:
            assert ready.wait(100)
            yield lambda swarm_id: sum(swarm_id in args for args in seen)
        finally:
            receiver.should_stop = True
            thread.join()
