"""How fast swarms move through Celery, beside PySwarms in one process.

One worker of one process over Redis, Postgres with fsync on,
chores and beat beside: the product as shipped. A rate is from a swarm's first event to
its last, by the database's clock. PySwarms runs rastrigin with bounds in this process,
with the same coefficients, in turn with ours. Other figures are beside the level that
we hold ourselves to; of times and of memory the ratio is level / ours, so that more is
always better.

    python -m benchmarks swarm_runs
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from pyswarms.single import GlobalBestPSO

from benchmarks._bench import Bench, Row, fresh_database, redis_database
from benchmarks._sides.ours import migrate
from benchmarks._sides.side import processes, start_celery, wait_for_nodes
from orchestration.core.swarm.functions import STANDARD
from orchestration.message_bus import MessageBus
from orchestration.swarm import SwarmOrchestrator

__all__ = ["Side", "opened", "run"]

BOUND: Final = STANDARD["rastrigin"].bound
COEFFICIENTS: Final = {"w": 0.72984, "c1": 1.49618, "c2": 1.49618}
FUNCTIONS: Final = ("sphere", "rastrigin", "rosenbrock", "griewank", "ackley")
_MANY: Final = 100
_MANY_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class _Cell:
    """A swarm beside PySwarms, and by how much it is to be faster."""

    agents: int
    per_task: int
    iterations: int


CELLS: Final = (_Cell(1_000, 10, 2_000), _Cell(100, 50, 10_000))


def run(bench: Bench) -> list[Row]:
    """Measure everything that is wanted."""
    measures: dict[str, Callable[[Side], list[Row]]] = {
        "iterations": lambda side: [*_beside_pyswarms(side, bench), *_one_by_one(side)],
        "standard functions": _standard,
        "many": _many,
        "memory": _memory,
    }
    wanted = {name: one for name, one in measures.items() if bench.wants(name)}
    if not wanted:
        return []
    rows: list[Row] = []
    with asyncio.Runner() as loop, opened(bench, loop) as side:
        side.optimize("rastrigin", 3, agents=100, iterations=200)  # all is loaded
        for measure in wanted.values():
            rows += measure(side)
    return rows


class Side:
    """A producer whose workers run."""

    def __init__(self, loop: asyncio.Runner, bus: MessageBus, worker: int) -> None:
        self.loop = loop
        self.swarm = SwarmOrchestrator(bus)
        self.worker = worker

    def optimize(self, name: str, dims: int, **options: Any) -> float:  # noqa: ANN401  as the front door's
        """Run a search; return how long it took, seconds."""
        bound = STANDARD[name].bound
        bounds = [(-bound, bound)] * dims
        report = self.loop.run(self.swarm.optimize(name, bounds, seed=1, **options))
        assert report.duration_ms is not None
        return report.duration_ms / 1_000


def _beside_pyswarms(side: Side, bench: Bench) -> list[Row]:
    rows = []
    for cell in CELLS:
        count = cell.iterations // (10 if bench.quick else 1)
        ours, theirs = [], []
        for _ in range(3):
            took_s = side.optimize(
                "rastrigin",
                30,
                agents=cell.agents,
                iterations=count,
                iterations_per_task=cell.per_task,
            )
            ours.append(count / took_s)
            theirs.append(_pyswarms_rate(cell.agents, max(50, count // 10)))
        rate, peer = median(ours), median(theirs)
        name = f"iterations of {cell.agents} agents in 30-D, {cell.per_task} a task"
        rows.append(Row(f"{name}, PySwarms", rate, peer, rate / peer, "1/s"))
    return rows


def _pyswarms_rate(agents: int, iterations: int) -> float:
    values = STANDARD["rastrigin"].values
    bounds = (np.full(30, -BOUND), np.full(30, BOUND))
    swarm = GlobalBestPSO(agents, 30, COEFFICIENTS, bounds=bounds)
    began = time.perf_counter()
    swarm.optimize(values, iterations, verbose=False)
    return iterations / (time.perf_counter() - began)


def _one_by_one(side: Side) -> list[Row]:
    times = [
        side.optimize("rastrigin", 3, agents=100, iterations=1_000) for _ in range(3)
    ]
    took_s = median(times)
    gaps = _gaps_ms(side)
    level = 5.0
    return [
        Row("iterations of 100 agents in 3-D, one a task", 1_000 / took_s, 330.0,
            1_000 / took_s / 330.0, "1/s"),
        Row("1,000 iterations, one a task", took_s, level, level / took_s, "s"),
        Row("from one iteration to the next, p99", gaps, level, level / gaps, "ms"),
    ]  # fmt: skip


def _gaps_ms(side: Side) -> float:
    """Return the 99th percentile of the time between two iterations of the last run."""

    async def events() -> list[float]:
        (newest,) = await side.swarm.list(limit=1)
        told = await side.swarm.events(newest.swarm_id)
        return [event.recorded_at.timestamp() for event in told]

    gaps = np.diff(side.loop.run(events())) * 1_000
    return float(np.percentile(gaps, 99))


def _standard(side: Side) -> list[Row]:
    slowest = max(side.optimize(name, 10, iterations=1_000) for name in FUNCTIONS)
    name = "standard functions in 10-D by default, the slowest"
    return [Row(name, slowest, 5.0, 5.0 / slowest, "s")]


def _many(side: Side) -> list[Row]:
    """Run a hundred swarms at once, and compare how far each has come."""

    async def start_all() -> list[str]:
        bounds = [(-BOUND, BOUND)] * 3
        options: dict[str, Any] = {"agents": 100, "iterations": 10_000_000}
        return [
            await side.swarm.start("rastrigin", bounds, seed=nth, **options)
            for nth in range(_MANY)
        ]

    async def stop_all(ids: list[str]) -> list[int]:
        done = [(await side.swarm.status(one)).iterations for one in ids]
        for one in ids:
            await side.swarm.stop(one)
        for one in ids:
            await side.swarm.wait(one)
        return done

    ids = side.loop.run(start_all())
    time.sleep(_MANY_S)
    done = side.loop.run(stop_all(ids))
    share = min(done) / max(done)
    name = f"{_MANY} swarms at once, fewest iterations / most"
    return [Row(name, share, 0.7, share / 0.7, "")]


def _memory(side: Side) -> list[Row]:
    """Compare what the worker's processes hold after swarms of few and many agents."""

    def held() -> int:
        children = Path(f"/proc/{side.worker}/task/{side.worker}/children")
        return sum(_resident(pid) for pid in children.read_text().split())

    for _ in range(3):
        side.optimize("rastrigin", 3, agents=10, iterations=200)
    before = held()
    for _ in range(3):
        side.optimize("rastrigin", 3, agents=10_000, iterations=200)
    each = max(1.0, (held() - before) / 10_000)
    return [Row("memory for each agent", each, 1_024.0, 1_024.0 / each, "B")]


def _resident(pid: str) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def opened(
    bench: Bench, loop: asyncio.Runner, *words: str, slots: int = 1
) -> Iterator[Side]:
    """Start a worker of so many processes, with these words besides, and all else."""
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
            "ORCHESTRATION_MAX_SWARM_AGENTS": "10000",
        }
        with processes(hot) as supervisor:
            worker = ["worker", "-c", str(slots), "-n", "swarms@%h", *words]
            chores = ["worker", "-Q", "chores", "-c", "1", "-n", "chores@%h"]
            start_celery(supervisor, "worker", "tasks", *worker, env=environment)
            start_celery(supervisor, "chores", "tasks", *chores, env=environment)
            start_celery(supervisor, "beat", "tasks", "beat", env=environment)
            wait_for_nodes(broker, 2)
            bus = MessageBus(
                {
                    "database_url": url,
                    "redis_url": hot,
                    "broker_url": broker,
                    "max_swarm_agents": 10_000,
                }
            )
            loop.run(bus.initialize())
            try:
                yield Side(loop, bus, supervisor.pid_of("worker"))
            finally:
                loop.run(bus.close())
