"""How long a scatter to three agents takes, and how punctually one ends that cannot.

Prefork with three processes for the agents, Postgres and Valkey as in operation, and
one caller of ``execute``: one scatter after the other, each of three Celery tasks. In
the second part a fourth agent hangs and the deadline is 200 ms: what is told is the
time beyond it. The peer is a limit; the ratio says how much of it is used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Final

from benchmarks._bench import Bench, Row, fresh_database, redis_database
from benchmarks._sides.ours import migrate
from benchmarks._sides.side import processes, start_celery, wait_for_nodes
from orchestration.errors import MessageError
from orchestration.message_bus import Message, MessageBus
from orchestration.routing import ScatterGather

__all__ = ["run"]

# Read from the module that hosts them, they would be hosted here as well.
AGENTS: Final = "benchmarks._sides.scatter_agents"
ANSWERING: Final = ("agent-answers-1", "agent-answers-2", "agent-answers-3")
HUNG: Final = "agent-hung"

WARM_UP = 30
LIMIT_P50_MS, LIMIT_OVERRUN_MS = 25.0, 50.0
DEADLINE_MS = 200
_HOSTED_S: Final = 30.0


def run(bench: Bench) -> list[Row]:
    """Measure what is wanted, in a database that is dropped afterwards."""
    in_time = "a scatter to three agents, {}, against the limit"
    beyond = "time beyond the deadline with one of four hung, {}, against the limit"
    rows: list[Row] = []
    if not (bench.wants(in_time) or bench.wants(beyond)):
        return rows
    with _running(bench) as (loop, scatter):
        if bench.wants(in_time):
            count = 100 if bench.quick else 500
            took_ms = loop.run(_took_ms(scatter, count))
            rows += [_row(in_time, took_ms, share, LIMIT_P50_MS) for share in (50, 99)]
        if bench.wants(beyond):
            count = 10 if bench.quick else 50
            over_ms = loop.run(_beyond_ms(scatter, count))
            rows += [
                _row(beyond, over_ms, share, LIMIT_OVERRUN_MS) for share in (50, 99)
            ]
    return rows


async def _took_ms(scatter: ScatterGather, count: int) -> list[float]:
    """Return how long scatters took that all three answered, one after the other."""
    took_ms = []
    for n in range(WARM_UP + count):
        begin = time.perf_counter()
        value = await scatter.execute(_request(n), ANSWERING, "AVERAGE", 10_000)
        took_ms.append(1_000 * (time.perf_counter() - begin))
        if value != {"n": n}:
            raise RuntimeError(f"the average of {n}, {n} and {n} was {value}")
    return took_ms[WARM_UP:]


async def _beyond_ms(scatter: ScatterGather, count: int) -> list[float]:
    """Return by how much scatters overran their deadline, one agent having hung."""
    over_ms = []
    for n in range(count):
        begin = time.perf_counter()
        result = await scatter.execute_detailed(
            _request(n), (*ANSWERING, HUNG), "AVERAGE", DEADLINE_MS, min_responses=3
        )
        over_ms.append(1_000 * (time.perf_counter() - begin) - DEADLINE_MS)
        if result.missing != (HUNG,):
            raise RuntimeError(f"of {HUNG} alone nothing was to be heard: {result}")
    return over_ms


@contextmanager
def _running(bench: Bench) -> Iterator[tuple[asyncio.Runner, ScatterGather]]:
    """Start the agents' workers, and a producer; they end with the block."""
    urls = redis_database(bench.redis_url, 0), redis_database(bench.redis_url, 1)
    with fresh_database(bench.database_url) as database_url:
        migrate(database_url)
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": urls[0],
            "CELERY_BROKER_URL": urls[1],
        }
        with processes(*urls) as supervisor, asyncio.Runner() as loop:
            for queue, children in (("agents.default", "3"), ("agents.hung", "1")):
                node = queue.replace(".", "-")
                words = ["worker", "-I", AGENTS, "-Q", queue, "-c", children]
                words += ["-n", f"{node}@%h"]
                start_celery(supervisor, node, "tasks", *words, env=environment)
            wait_for_nodes(urls[1], 2)
            bus = MessageBus(
                {
                    "database_url": database_url,
                    "redis_url": urls[0],
                    "broker_url": urls[1],
                }
            )
            loop.run(bus.initialize())
            scatter = ScatterGather(SimpleNamespace(message_bus=bus))
            loop.run(_until_hosted(scatter))
            yield loop, scatter
            loop.run(bus.close())


async def _until_hosted(scatter: ScatterGather) -> None:
    """Return when the workers have said what they host, and all three answer."""
    deadline = time.monotonic() + _HOSTED_S
    while True:
        try:
            await scatter.execute(_request(0), (*ANSWERING, HUNG), "FIRST", 10_000)
            await scatter.execute(_request(0), ANSWERING)
        except MessageError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return


def _request(n: int) -> Message:
    return Message(
        sender_id="bench",
        recipient_id="calculator",
        message_type="REQUEST",
        payload={"n": n},
    )


def _row(name: str, figures_ms: Sequence[float], share: int, limit_ms: float) -> Row:
    """Return the figure that so many of a hundred stay below, beside the limit."""
    in_order = sorted(figures_ms)
    figure_ms = in_order[(len(in_order) - 1) * share // 100]
    told = name.format(f"p{share}")
    return Row(
        told, round(figure_ms, 2), limit_ms, round(figure_ms / limit_ms, 2), "ms"
    )
