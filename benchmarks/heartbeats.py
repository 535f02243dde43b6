"""How many heartbeats one worker takes, all the way from the agents' process.

This process sends heartbeats of 10,000 agents; they go by Redis to a worker of one
process, as tasks, and from there into the hot state. A heartbeat counts when the feed
tells of it; the rate is from the first that is sent to the last that is told. Each
figure is beside the level that we hold ourselves to.

    python -m benchmarks heartbeats
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from benchmarks._bench import Bench, Row, fresh_database, redis_database
from benchmarks._sides.ours import migrate
from benchmarks._sides.side import processes, start_celery, wait_for_nodes
from orchestration.adapters.database import Database
from orchestration.adapters.registry_feed import Position
from orchestration.agent_registry import AgentRegistry
from orchestration.message_bus import MessageBus
from tests.support.many_agents import enroll, fresh_agents

__all__ = ["run"]

AGENTS, QUICK_AGENTS = 10_000, 1_000
LIMIT_PER_S: Final = 20_000.0
_STALLED_S: Final = 30.0
METRICS: Final = {
    "cpu_usage": 0.45,
    "memory_usage": 0.62,
    "error_rate": 0.01,
    "response_time_ms": 234.0,
    "queue_size": 12,
}


def run(bench: Bench) -> list[Row]:
    """Measure everything that is wanted."""
    sent = "heartbeats sent and confirmed, {}"
    taken = "heartbeats end to end, one worker, {}"
    ways = ("by a thread", "awaited one by one")
    names = [text.format(way) for text in (sent, taken) for way in ways]
    if not any(map(bench.wants, names)):
        return []
    size = QUICK_AGENTS if bench.quick else AGENTS
    rounds = 3 if bench.quick else 7
    rows = []
    with asyncio.Runner() as loop, _opened(bench, loop, size) as side:
        by_way: dict[str, Callable[[], None]] = {
            ways[0]: side.send,
            ways[1]: lambda: loop.run(side.await_each()),
        }
        for way, send in by_way.items():
            side.rates(send)  # connections are opened
            figures = [side.rates(send) for _ in range(rounds)]
            for text, rates in zip(
                (sent, taken), zip(*figures, strict=True), strict=True
            ):
                rate = round(median(rates))
                row = Row(
                    text.format(way), rate, LIMIT_PER_S, rate / LIMIT_PER_S, "1/s"
                )
                rows.append(row)
    return [row for row in rows if bench.wants(row.name)]


class _Side:
    """A process of agents whose worker runs."""

    def __init__(self, bus: MessageBus, agent_ids: list[str]) -> None:
        self._client = bus.registry
        self._registry = AgentRegistry(bus)
        self._agent_ids = agent_ids

    def send(self) -> None:
        """Send a heartbeat of each agent; return when the broker has them all."""
        sent = [self._client.heartbeat(one, METRICS) for one in self._agent_ids]
        for future in sent:
            future.result(_STALLED_S)

    async def await_each(self) -> None:
        """Do the same as an app does it, with a call of its own for each agent."""
        beats = (self._registry.heartbeat(one, METRICS) for one in self._agent_ids)
        await asyncio.gather(*beats)

    def rates(self, send: Callable[[], None]) -> tuple[float, float]:
        """Return how many a second were confirmed, and how many taken in."""
        count = len(self._agent_ids)
        position = self._end_of_feed()
        begin = moved = time.perf_counter()
        send()
        sent_s = time.perf_counter() - begin
        told = 0
        while told < count:
            _, deltas = self._client.desk.hot.read(position, block_ms=100)
            for delta in deltas:
                told += len(delta.agent_ids)
                position = Position(position.epoch, delta.position, delta.nth)
                moved = time.perf_counter()
            if time.perf_counter() > moved + _STALLED_S:
                raise RuntimeError(f"{count - told} of {count} heartbeats did not come")
        return count / sent_s, count / (time.perf_counter() - begin)

    def _end_of_feed(self) -> Position:
        snapshot = self._client.desk.hot.snapshot()
        if snapshot is None:
            raise RuntimeError("the hot state is not there: was Redis wiped?")
        return snapshot.position


@contextmanager
def _opened(bench: Bench, loop: asyncio.Runner, size: int) -> Iterator[_Side]:
    with fresh_database(bench.database_url) as url:
        migrate(url)
        hot = redis_database(bench.redis_url, 0)
        broker = os.environ.get("BENCH_BROKER_URL") or redis_database(
            bench.redis_url, 1
        )
        environment = {
            "DATABASE_URL": url,
            "REDIS_URL": hot,
            "CELERY_BROKER_URL": broker,
        }
        words = ["worker", "-Q", "heartbeats", "-c", "1", "-n", "heartbeats@%h"]
        # Nobody is told of agents put in like this: before the hot state is built.
        database = Database(url, name="benchmark")
        enroll(database, fresh_agents(size))
        database.close()
        with processes(hot) as supervisor:
            start_celery(supervisor, "worker", "tasks", *words, env=environment)
            wait_for_nodes(broker, 1)
            bus = MessageBus(
                {"database_url": url, "redis_url": hot, "broker_url": broker}
            )
            loop.run(bus.initialize())
            try:
                loop.run(AgentRegistry(bus).initialize())
                yield _Side(bus, [one.agent_id for one in fresh_agents(size)])
            finally:
                loop.run(bus.close())
