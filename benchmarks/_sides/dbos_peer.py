"""DBOS as its docs say: one process that starts workflows and runs them.

In a process of its own, since its threads would share the suite's interpreter lock.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool

from dbos import DBOS
from sqlalchemy.engine import make_url

from benchmarks._bench import Bench, fresh_database
from benchmarks._sides.side import Side, Threads

__all__ = ["dbos"]


def _noop(order: int) -> None:
    """Do nothing."""
    del order


_step = DBOS.step(name="noop")(_noop)


def _five(order: int) -> None:
    for _ in range(5):
        _step(order)


_workflow = DBOS.workflow(name="five")(_five)


def dbos(name: str) -> Side:
    """Return the side of DBOS."""
    return Side(name, _open)


class _Process:
    # Not held still: what its threads do when idle, they do beside all others alike.
    heads = ()

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def rate(self, count: int) -> float:
        """Run so many and return how many ended in a second."""
        return self._pool.apply(_rate, (count,))


@contextmanager
def _open(bench: Bench) -> Iterator[_Process]:
    with fresh_database(bench.database_url) as url:
        address = make_url(url).set(drivername="postgresql")
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            pool.apply(_launch, (address.render_as_string(hide_password=False),))
            yield _Process(pool)
            pool.apply(DBOS.destroy)


def _launch(database_url: str) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": database_url,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()


def _rate(count: int) -> float:
    handles = []

    def start() -> str:
        handle = DBOS.start_workflow(_workflow, 7)
        handles.append(handle)
        return str(handle.workflow_id)

    threads = Threads()
    begin = time.perf_counter()
    threads.each(count, start)
    # In the process that runs it a handle is a future: the cheapest way to its end.
    for handle in handles:
        handle.get_result()
    seconds = time.perf_counter() - begin
    threads.close()
    return count / seconds
