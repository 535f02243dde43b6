"""Swarms for tests: a stack that moves them, and a producer beside it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.core.swarm.events import EventType, SwarmEvent
from orchestration.message_bus import MessageBus
from orchestration.settings import Settings
from orchestration.swarm import SwarmOrchestrator, SwarmReport
from tests.support.waiting import wait_until

CUBE = [(-5.12, 5.12)] * 3
AGENTS = "tests.support.swarm_fitnesses"


class Swarming:
    """One bus, used by one loop after the other."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.swarm = SwarmOrchestrator(bus)

    def start(self, fitness: Any = "rastrigin", **options: Any) -> str:
        return asyncio.run(self.swarm.start(fitness, CUBE, **told(options)))

    def optimize(self, fitness: Any = "rastrigin", **options: Any) -> SwarmReport:
        return self.wait(self.start(fitness, **options))

    def wait(self, swarm_id: str, timeout_s: float = 60.0) -> SwarmReport:
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
        log = self.bus.swarms.log
        wait_until(
            lambda: log.view(swarm_id).iteration >= at_least,
            f"swarm {swarm_id} is at iteration {at_least}",
        )


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


def switches(folder: Path) -> Callable[[str], Path]:
    """Return the files by which a test tells fitnesses something."""
    os.environ["SWITCHES"] = str(folder)
    return lambda name: folder / name
