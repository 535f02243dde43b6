"""A bare Celery chain of tasks, with Celery's defaults and kept results.

What most people have before they have sagas: no record but the results, and nothing
is undone. Its workers are ``celery -A benchmarks._sides.chain worker -c 2``; the
addresses are those that Celery itself reads from the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import redis
from celery import Celery, chain
from celery.result import AsyncResult

from benchmarks._bench import Bench, redis_database
from benchmarks._sides.side import (
    Side,
    Threads,
    processes,
    rate,
    start_celery,
    wait_for_nodes,
)

__all__ = ["app", "bare_chain", "noop"]

app = Celery("chain", set_as_current=False)


@app.task(name="noop", shared=False)
def noop(data: dict[str, Any]) -> dict[str, Any]:
    """Do nothing, and hand on what came."""
    return data


def bare_chain(name: str, *, events: bool = False, length: int = 5) -> Side:
    """Return the side of the bare chain.

    Args:
        name: As shown.
        events: Whether its worker sends task events.
        length: How many tasks it has.
    """
    return Side(name, partial(_open, events=events, length=length))


class _Chain:
    def __init__(self, redis_url: str, worker: int, length: int) -> None:
        self.heads = (worker,)
        self._length = length
        self._threads = Threads()
        self._redis = redis.Redis.from_url(redis_url)
        self._results: list[AsyncResult] = []

    def rate(self, count: int) -> float:
        """Run so many and return how many ended in a second."""
        try:
            return rate(
                count, lambda n: self._threads.each(n, self._start), self._ended
            )
        finally:
            # Given up while the server is there: they unsubscribe in their __del__.
            self._results.clear()

    def close(self) -> None:
        """Let go of the connections."""
        self._threads.close()
        self._redis.close()

    def _start(self) -> str:
        more = (noop.s() for _ in range(self._length - 1))
        first, *rest = (noop.s({"order": 7}), *more)
        result = chain(first, *rest, app=app).apply_async()
        self._results.append(result)
        return str(result.id)

    def _ended(self, ids: Sequence[str]) -> set[str]:
        kept = self._redis.mget([f"celery-task-meta-{one}" for one in ids])
        over = {one: meta for one, meta in zip(ids, kept, strict=True) if meta}
        if other := [m for m in over.values() if b'"status": "SUCCESS"' not in m]:
            raise RuntimeError(f"chains did not succeed: {other}")
        return set(over)


@contextmanager
def _open(bench: Bench, *, events: bool, length: int) -> Iterator[_Chain]:
    broker_url = redis_database(bench.redis_url, 2)
    result_url = redis_database(bench.redis_url, 3)
    app.conf.update(broker_url=broker_url, result_backend=result_url)
    environment = {"CELERY_BROKER_URL": broker_url, "CELERY_RESULT_BACKEND": result_url}
    with processes(broker_url, result_url) as supervisor:
        words = ["worker", "-c", "2", "-n", "chain@%h", *["-E"] * events]
        pid = start_celery(supervisor, "chain", __name__, *words, env=environment)
        wait_for_nodes(broker_url, 1)
        with closing(_Chain(result_url, pid, length)) as runner:
            yield runner
