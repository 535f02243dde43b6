"""Our sagas: worker, chores worker and beat as docs/operations.md says."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

import psycopg2
from sqlalchemy.engine import make_url

from benchmarks._bench import Bench, redis_database
from benchmarks._sides.side import (
    PRODUCERS,
    ROOT,
    Side,
    processes,
    rate,
    start_celery,
    wait_for_nodes,
)
from orchestration.adapters.embedded import Command, Supervisor
from orchestration.errors import UnknownAgent
from orchestration.message_bus import MessageBus
from orchestration.saga import SagaOrchestrator, SagaStep, SagaTransaction

__all__ = ["Ours", "Starter", "branches", "five", "migrate", "opened", "ours"]

_AGENT = "agent-bench"
_HOSTED_S = 30.0
_ENDED = "SELECT saga_id, state FROM orch.ended_saga WHERE saga_id = ANY (%s)"


Starter = Callable[[MessageBus], Callable[[], Awaitable[str]]]
"""Returns, for a bus, what starts one of that which is measured and returns its id."""


def _fives(bus: MessageBus) -> Callable[[], Awaitable[str]]:
    saga = SagaOrchestrator(bus)
    return lambda: saga.start(five())


def five() -> SagaTransaction:
    """Return a saga of five steps that do nothing, each with a compensation."""
    steps = [
        SagaStep(f"s{n}", _AGENT, action="noop", compensation="undo")
        for n in range(1, 6)
    ]
    return SagaTransaction("bench", steps)


def branches(*seconds: float, then_s: float) -> SagaTransaction:
    """Return a saga of branches that take so long, each followed by another step."""
    steps = []
    for n, length_s in enumerate(seconds, 1):
        first = SagaStep(f"a{n}", _AGENT, action="nap", metadata={"seconds": length_s})
        second = SagaStep(
            f"b{n}",
            _AGENT,
            action="nap",
            depends_on=[f"a{n}"],
            metadata={"seconds": then_s},
        )
        steps += [first, second]
    return SagaTransaction("bench-branches", steps)


def migrate(database_url: str) -> None:
    """Bring a database's schema up to date."""
    with processes() as supervisor:
        argv = [sys.executable, "-m", "orchestration", "migrate"]
        env = {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1/0"}
        command = Command(name="migrate", argv=argv, env=env, cwd=ROOT)
        if code := supervisor.run(command):
            raise RuntimeError(f"orchestration migrate ended with code {code}")


def ours(
    name: str,
    database_url: str,
    *,
    events: bool = False,
    number: int = 0,
    starter: Starter = _fives,
) -> Side:
    """Return our side on a migrated database.

    Args:
        name: As shown.
        database_url: Where its sagas are.
        events: Whether its worker sends task events.
        number: The first of its two Redis databases.
        starter: Of what is measured; five steps unless it is given.
    """
    return Side(
        name,
        partial(
            opened,
            database_url=database_url,
            events=events,
            number=number,
            starter=starter,
        ),
    )


@contextmanager
def opened(
    bench: Bench,
    *,
    database_url: str,
    events: bool = False,
    number: int = 0,
    starter: Starter = _fives,
) -> Iterator[Ours]:
    """Start our processes; they end with the block. One saga has run by then."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_database(bench.redis_url, number),
        "CELERY_BROKER_URL": redis_database(bench.redis_url, number + 1),
    }
    urls = environment["REDIS_URL"], environment["CELERY_BROKER_URL"]
    with processes(*urls) as supervisor:
        heads = _start(supervisor, environment, events=events)
        wait_for_nodes(environment["CELERY_BROKER_URL"], 2)
        with closing(Ours(environment, heads, starter)) as producer:
            producer.wait_until_hosted()
            yield producer


class Ours:
    """A producer of sagas whose workers run."""

    def __init__(
        self, environment: dict[str, str], heads: Sequence[int], starter: Starter
    ) -> None:
        self.heads = heads
        address = make_url(environment["DATABASE_URL"]).set(drivername="postgresql")
        self._ends = psycopg2.connect(address.render_as_string(hide_password=False))
        self._ends.autocommit = True
        self._bus = MessageBus(
            {
                "database_url": environment["DATABASE_URL"],
                "redis_url": environment["REDIS_URL"],
                "broker_url": environment["CELERY_BROKER_URL"],
            }
        )
        self._saga = SagaOrchestrator(self._bus)
        self._start_one = starter(self._bus)
        self._loop = asyncio.Runner()
        self._loop.run(self._bus.initialize())

    def wait_until_hosted(self) -> None:
        """Return when the worker has said what it hosts; runs one saga."""
        deadline = time.monotonic() + _HOSTED_S
        while True:
            try:
                self._loop.run(self._saga.execute(five()))
            except UnknownAgent:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def rate(self, count: int) -> float:
        """Run so many and return how many ended in a second."""
        return rate(count, self._start_all, self._ended)

    def lengths_s(self, transactions: Sequence[SagaTransaction]) -> list[float]:
        """Execute sagas one after the other and return how long each took."""
        return self._loop.run(self._lengths_s(transactions))

    def close(self) -> None:
        """Let go of the connections."""
        self._loop.run(self._bus.close())
        self._loop.close()
        self._ends.close()

    async def _lengths_s(self, transactions: Sequence[SagaTransaction]) -> list[float]:
        lengths_s = []
        for transaction in transactions:
            begin = time.perf_counter()
            await self._saga.execute(transaction)
            lengths_s.append(time.perf_counter() - begin)
        return lengths_s

    def _start_all(self, count: int) -> list[str]:
        return self._loop.run(self._start_together(count))

    async def _start_together(self, count: int) -> list[str]:
        left = iter(range(count))
        started: list[str] = []

        async def produce() -> None:
            for _ in left:
                one = await self._start_one()
                started.append(one)

        await asyncio.gather(*(produce() for _ in range(PRODUCERS)))
        return started

    def _ended(self, ids: Sequence[str]) -> set[str]:
        with self._ends.cursor() as cursor:
            cursor.execute(_ENDED, (list(ids),))
            rows = cursor.fetchall()
        if other := [row for row in rows if row[1] != "COMPLETED"]:
            raise RuntimeError(f"sagas did not complete: {other}")
        return {row[0] for row in rows}


_numbers = itertools.count(1)


def _start(
    supervisor: Supervisor, environment: dict[str, str], *, events: bool
) -> tuple[int, ...]:
    # Names of its own for each start: nothing said by an earlier worker is mistaken.
    node = f"bench{next(_numbers)}"
    words = ["worker", "-I", "benchmarks._sides.agents", "-c", "2", "-n", f"{node}@%h"]
    words += ["-E"] * events
    worker = start_celery(supervisor, "worker", "tasks", *words, env=environment)
    words = ["worker", "-Q", "chores", "-c", "1", "-n", f"{node}-chores@%h"]
    chores = start_celery(supervisor, "chores", "tasks", *words, env=environment)
    words = ["beat", "--pidfile="]
    beat = start_celery(supervisor, "beat", "tasks", *words, env=environment, stage=2)
    supervisor.wait_for("beat", "is starting.")
    return worker, chores, beat
