"""How fast messages are: many in batches, and requests that are waited for.

A worker of two processes over Redis, its producer in this process. Messages have a
payload of about 100 bytes and are counted where they are handled: the rate is from the
first that is sent to the last that is handled. A request's time is the caller's.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks._bench import Bench, Row, fresh_database, redis_database
from benchmarks._sides.agents import SLOTS
from benchmarks._sides.ours import migrate
from benchmarks._sides.side import processes, start_celery, wait_for_nodes
from orchestration.errors import MessageError
from orchestration.message_bus import Message, MessageBus

__all__ = ["run"]

LIMIT_PER_S: Final = 12_500.0
LIMIT_THREE_MS: Final = 25.0
LIMIT_ONE_MS: Final = 15.0
_AT_ONCE: Final = 5_000


def run(bench: Bench) -> list[Row]:
    """Measure everything that is wanted."""
    many = "messages in batches, handled, against the limit"
    lengths = {
        "one request, {}, against the limit": (1, LIMIT_ONE_MS),
        "three requests at once, {}, against the limit": (3, LIMIT_THREE_MS),
    }
    wanted = [name for name in lengths if bench.wants(name)]
    if not wanted and not bench.wants(many):
        return []
    rows = []
    with asyncio.Runner() as loop, _opened(bench, loop) as side:
        if bench.wants(many):
            rounds = 3 if bench.quick else 7
            rates = [loop.run(side.rate(4 * _AT_ONCE)) for _ in range(rounds)]
            rate = median(rates)
            rows.append(Row(many, rate, LIMIT_PER_S, rate / LIMIT_PER_S, "messages/s"))
        for name in wanted:
            width, limit_ms = lengths[name]
            count = 200 if bench.quick else 1_000
            times_ms = sorted(loop.run(side.times_ms(count, width)))
            for share in (50, 99):
                took_ms = times_ms[count * share // 100]
                shown = name.format(f"p{share}")
                rows.append(Row(shown, took_ms, limit_ms, took_ms / limit_ms, "ms"))
    return rows


class _Side:
    """A producer whose worker runs."""

    def __init__(self, bus: MessageBus, counters: Path) -> None:
        self._bus = bus
        with counters.open("rb") as file:
            self._counters = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _handled(self) -> int:
        return sum(struct.unpack(f"{SLOTS}q", self._counters[:]))

    async def rate(self, count: int) -> float:
        """Send so many and return how many were handled in a second."""
        messages = [_message("COMMAND", n) for n in range(count)]
        before, begin = self._handled(), time.perf_counter()
        for at in range(0, count, _AT_ONCE):
            await self._bus.send_many(messages[at : at + _AT_ONCE])
        while self._handled() - before < count:
            await asyncio.sleep(0.002)
        return count / (time.perf_counter() - begin)

    async def times_ms(self, count: int, width: int) -> list[float]:
        """Return how long requests took, each time so many at once."""
        times = []
        for n in range(count):
            requests = [_message("REQUEST", n) for _ in range(width)]
            begin = time.perf_counter()
            await asyncio.gather(*map(self._bus.request, requests))
            times.append(1_000 * (time.perf_counter() - begin))
        return times


def _message(kind: str, n: int) -> Message:
    payload = {"n": n, "text": "x" * 80}
    return Message(
        sender_id="bench",
        recipient_id="agent-bench",
        message_type=kind,
        payload=payload,
    )


@contextmanager
def _opened(bench: Bench, loop: asyncio.Runner) -> Iterator[_Side]:
    with fresh_database(bench.database_url) as url, tempfile.TemporaryDirectory() as at:
        migrate(url)
        counters = Path(at) / "counters"
        counters.write_bytes(bytes(8 * SLOTS))
        hot = redis_database(bench.redis_url, 0)
        broker = os.environ.get("BENCH_BROKER_URL") or redis_database(
            bench.redis_url, 1
        )
        environment = {
            "DATABASE_URL": url,
            "REDIS_URL": hot,
            "CELERY_BROKER_URL": broker,
            "BENCH_COUNTERS": str(counters),
        }
        words = ["worker", "-I", "benchmarks._sides.agents", "-c", "2", "-n", "bus@%h"]
        with processes(hot) as supervisor:
            start_celery(supervisor, "worker", "tasks", *words, env=environment)
            wait_for_nodes(broker, 1)
            bus = MessageBus(
                {"database_url": url, "redis_url": hot, "broker_url": broker}
            )
            loop.run(bus.initialize())
            try:
                loop.run(_hosted(lambda: bus.request(_message("REQUEST", 0))))
                yield _Side(bus, counters)
            finally:
                loop.run(bus.close())


async def _hosted(ask: Callable[[], Awaitable[Message]]) -> None:
    """Return once the worker has said what it hosts, and answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            await ask()
        except MessageError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return
