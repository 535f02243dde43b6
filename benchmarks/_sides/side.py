"""What all sides have in common: processes, producers, and how ends are seen."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
import time
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis
from celery import Celery

from benchmarks._bench import Bench
from orchestration.adapters.embedded import Command, Supervisor

__all__ = [
    "PRODUCERS",
    "Runner",
    "Side",
    "Threads",
    "frozen",
    "missing",
    "processes",
    "rate",
    "start_celery",
    "wait_for_nodes",
]

ROOT = Path(__file__).parents[2]
PRODUCERS = 4
"""How many starts are under way at the same time, whoever is measured."""

_READY_S = 60.0
_STALLED_S = 60.0
_LOOK_EVERY_S = 0.02
# Ends come about in the order of the starts, so a look at the oldest is enough: what a
# look costs does not depend on how many are on their way.
_WINDOW = 50


class Runner(Protocol):
    """A side whose processes run.

    Attributes:
        heads: The processes without which nothing of it moves.
    """

    @property
    def heads(self) -> Sequence[int]: ...

    def rate(self, count: int) -> float:
        """Run so many and return how many ended in a second."""


@dataclass(frozen=True, slots=True)
class Side:
    """One system under measurement.

    Attributes:
        name: As shown.
        open: Starts its processes; they end with the block.
    """

    name: str
    open: Callable[[Bench], AbstractContextManager[Runner]]


def missing(peer: str) -> str:
    """Return why a peer, e.g. "dbos 3.4.0", cannot be measured here, or ""."""
    distribution, _, version = peer.partition(" ")
    try:
        found = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return f"{distribution} is not installed"
    return "" if found == version else f"{distribution} {found} is installed"


def rate(
    count: int,
    start_all: Callable[[int], Sequence[str]],
    ended: Callable[[Sequence[str]], Collection[str]],
) -> float:
    """Return how many a second, from the first start to the last end.

    Args:
        count: How many to start.
        start_all: Starts so many and returns their ids, in order.
        ended: Returns which of some ids have ended, in one round trip.
    """
    begin = moved = time.perf_counter()
    pending = list(start_all(count))
    while pending:
        over = ended(pending[:_WINDOW])
        if over:
            moved = time.perf_counter()
            pending = [one for one in pending if one not in over]
            continue
        if time.perf_counter() > moved + _STALLED_S:
            raise RuntimeError(
                f"{len(pending)} of {count} have not ended, and none in the last "
                f"{_STALLED_S:.0f} s"
            )
        time.sleep(_LOOK_EVERY_S)
    return count / (time.perf_counter() - begin)


class Threads:
    """The producer of a side that starts synchronously: a few threads that stay.

    Args:
        prepare: Called in each thread before its first start.
    """

    def __init__(self, prepare: Callable[[], None] = lambda: None) -> None:
        self._pool = ThreadPoolExecutor(PRODUCERS, initializer=prepare)

    def each(self, count: int, start: Callable[[], str]) -> list[str]:
        """Start so many and return their ids, in order."""
        return list(self._pool.map(lambda _: start(), range(count)))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


@contextmanager
def frozen(runners: Iterable[Runner]) -> Iterator[None]:
    """Hold sides still for as long as the block runs.

    Idle workers, beat and what it starts take a few hundredths of a processor.
    """
    heads = [pid for runner in runners for pid in runner.heads]
    try:
        for pid in heads:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in heads:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def processes(*redis_urls: str) -> Iterator[Supervisor]:
    """Run processes that end with the block; empty the Redis databases behind them.

    If the block fails, what the processes wrote is added to the error.
    """
    with Supervisor() as supervisor:
        try:
            yield supervisor
        except Exception as exc:
            for log in sorted((supervisor.folder / "logs").glob("*.log")):
                exc.add_note(f"{log.name}:\n{supervisor.log_tail(log.stem)}")
            raise
    for url in redis_urls:
        with closing(redis.Redis.from_url(url)) as client:
            client.flushdb()


def start_celery(
    supervisor: Supervisor,
    name: str,
    app: str,
    *words: str,
    env: Mapping[str, str],
    stage: int = 1,
) -> int:
    """Start a worker or beat and return its pid; it is not ready yet."""
    return supervisor.start(
        Command(
            name=name,
            argv=[sys.executable, "-m", "celery", "-A", app, *words],
            env={"PYTHONUNBUFFERED": "1", **env},
            cwd=ROOT,
            stage=stage,
            stop_signal=signal.SIGQUIT if stage == 1 else signal.SIGTERM,
            grace_s=10.0,
        )
    )


def wait_for_nodes(broker_url: str, count: int) -> None:
    """Return when so many workers answer."""
    app = Celery(broker=broker_url, set_as_current=False)
    deadline = time.monotonic() + _READY_S
    try:
        while len(app.control.ping(timeout=0.5, limit=count) or ()) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {count} workers within {_READY_S:.0f} s")
    finally:
        app.close()
