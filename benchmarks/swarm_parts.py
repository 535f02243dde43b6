"""How much of the workers' time goes into partitions that a swarm shares out.

Two workers of two processes each, a chores worker and beat, Postgres and Valkey as in
operation. A thousand partitions of lognormal length (coefficient of variation 1) sleep,
so that four slots are four slots on fewer cores. Efficiency stands beside its bound,
which no order of work can be above: once undisturbed, and once with five attempts in a
hundred failing and one worker killed with -9 half-way, which is started again. Beside
it: what a split in four ahead would have come to with the same lengths; and how many
rows a second the first usage example handles, against the system's description.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from benchmarks._bench import Bench, Row, fresh_database, redis_database
from benchmarks._sides.ours import migrate
from benchmarks._sides.side import processes, start_celery, wait_for_nodes
from orchestration.adapters.embedded import Supervisor
from orchestration.errors import SwarmHandlerNotFound
from orchestration.message_bus import MessageBus
from orchestration.swarm import SwarmOrchestrator, SwarmTask

__all__ = ["run"]

AGENTS: Final = "benchmarks._sides.partition_agents"
SLOTS: Final = 4
MEAN_MS: Final = 100.0
FAILING: Final = 0.05
SUPPLIERS_PER_S: Final = 704.0
_HOSTED_S: Final = 30.0
_SIGMA: Final = math.sqrt(math.log(2.0))  # of a lognormal whose deviation is its mean

_UNDISTURBED: Final = "efficiency of partitions, 4 slots, beside its bound"
_DISTURBED: Final = "the same, 5 % failing, a worker killed, beside its bound"
_SPLIT: Final = "the same lengths split in four ahead, beside the bound"
_EXAMPLE: Final = "suppliers a second, 1,000 partitions, beside the example's"


def run(bench: Bench) -> list[Row]:
    """Measure what is wanted, in a database that is dropped afterwards."""
    names = (_UNDISTURBED, _DISTURBED, _SPLIT, _EXAMPLE)
    if not any(bench.wants(name) for name in names):
        return []
    with _running(bench) as running:
        return list(running.rows(bench))


class _Running:
    """A producer, and workers of which one may be killed."""

    def __init__(self, supervisor: Supervisor, environment: Mapping[str, str]) -> None:
        self._supervisor, self._environment = supervisor, dict(environment)
        self._numbers = itertools.count(1)
        self._workers = [self._start_worker(), self._start_worker()]
        words = ["worker", "-Q", "chores", "-c", "1", "-n", "parts-chores@%h"]
        start_celery(supervisor, "chores", "tasks", *words, env=self._environment)
        words = ["beat", "--pidfile=", "-s", str(supervisor.folder / "beat")]
        start_celery(
            supervisor, "beat", "tasks", *words, env=self._environment, stage=2
        )
        wait_for_nodes(environment["CELERY_BROKER_URL"], 3)
        self._bus = MessageBus(
            {
                "database_url": environment["DATABASE_URL"],
                "redis_url": environment["REDIS_URL"],
                "broker_url": environment["CELERY_BROKER_URL"],
            }
        )
        self._swarm = SwarmOrchestrator(self._bus)
        self._loop = asyncio.Runner()
        self._loop.run(self._bus.initialize())
        self._until_hosted()

    def rows(self, bench: Bench) -> Iterator[Row]:
        """Measure what is wanted."""
        count = 200 if bench.quick else 1_000
        if bench.wants(_UNDISTURBED) or bench.wants(_SPLIT):
            task = _naps(count, failing=0.0)
            result = self._loop.run(self._swarm.deploy(task))
            yield _row(_UNDISTURBED, result)
            yield _split_row(task, result)
        if bench.wants(_DISTURBED):
            result = self._loop.run(self._disturbed(_naps(count, failing=FAILING)))
            yield _row(_DISTURBED, result)
        if bench.wants(_EXAMPLE):
            figures = [self._suppliers() for _ in range(3)]
            ours = sorted(figures)[1]
            ratio = round(ours / SUPPLIERS_PER_S, 2)
            yield Row(_EXAMPLE, round(ours, 1), SUPPLIERS_PER_S, ratio, "rows/s")

    def close(self) -> None:
        """Let go of the connections."""
        self._loop.run(self._bus.close())
        self._loop.close()

    async def _disturbed(self, task: SwarmTask) -> dict[str, Any]:
        """Deploy a task, kill a worker half-way and start it again."""
        running = asyncio.ensure_future(self._swarm.deploy(task))
        while not running.done():
            await asyncio.sleep(0.2)
            done = len(await self._swarm.results(task.swarm_id))
            if done >= task.data_partitions // 2:
                self._supervisor.send_signal(self._workers.pop(0), signal.SIGKILL)
                self._workers.append(self._start_worker())
                break
        return await running

    def _suppliers(self) -> float:
        task = SwarmTask(
            "Calculate emissions of 100,000 suppliers",
            data_partitions=1_000,
            agents_required=100,
            handler="bench-suppliers",
            metadata={"factor": 0.41},
        )
        result = self._loop.run(self._swarm.deploy(task))
        if result["partitions"]["done"] != task.data_partitions:
            raise RuntimeError(f"not all partitions were done: {result}")
        return float(result["throughput"])

    def _start_worker(self) -> str:
        name = f"worker{next(self._numbers)}"
        words = ["worker", "-I", AGENTS, "-c", str(SLOTS // 2), "-n", f"{name}@%h"]
        start_celery(self._supervisor, name, "tasks", *words, env=self._environment)
        return name

    def _until_hosted(self) -> None:
        """Return when the workers have said what they host; deploys one swarm."""
        deadline = time.monotonic() + _HOSTED_S
        while True:
            try:
                self._loop.run(self._swarm.deploy(_naps(SLOTS, failing=0.0)))
            except SwarmHandlerNotFound:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


@contextmanager
def _running(bench: Bench) -> Iterator[_Running]:
    urls = redis_database(bench.redis_url, 0), redis_database(bench.redis_url, 1)
    with fresh_database(bench.database_url) as database_url:
        migrate(database_url)
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": urls[0],
            "CELERY_BROKER_URL": urls[1],
            "ORCHESTRATION_LEASE_S": "5",
        }
        with processes(*urls) as supervisor:
            running = _Running(supervisor, environment)
            try:
                yield running
            finally:
                running.close()


def _naps(count: int, *, failing: float) -> SwarmTask:
    dice = random.Random(7)
    mean = -_SIGMA * _SIGMA / 2
    lengths = [
        round(MEAN_MS * dice.lognormvariate(mean, _SIGMA), 3) for _ in range(count)
    ]
    fails = dice.sample(range(count), round(failing * count))
    return SwarmTask(
        "sleep",
        data_partitions=count,
        agents_required=100,
        handler="bench-naps",
        backoff_ms=100,
        weights=[round(length / MEAN_MS, 6) for length in lengths],
        metadata={"busy_ms": lengths, "failing": fails},
    )


def _row(name: str, result: Mapping[str, Any]) -> Row:
    count = sum(result["partitions"].values())
    if result["partitions"]["done"] != count:
        raise RuntimeError(f"not all of {count} partitions were done: {result}")
    ours, bound = result["efficiency"], result["efficiency_bound"]
    return Row(name, round(ours, 4), round(bound, 4), round(ours / bound, 3), "share")


def _split_row(task: SwarmTask, result: Mapping[str, Any]) -> Row:
    """Return what a split ahead comes to: all wait for the slot that has most."""
    lengths = task.metadata["busy_ms"]
    most = max(sum(lengths[slot::SLOTS]) for slot in range(SLOTS))
    ours, bound = sum(lengths) / (SLOTS * most), result["efficiency_bound"]
    return Row(_SPLIT, round(ours, 4), round(bound, 4), round(ours / bound, 3), "share")
