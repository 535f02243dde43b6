"""celery-saga as its README says: state in Redis, steps with compensations.

Its workers are ``celery -A benchmarks._sides.saga_peer worker -c 2``. Results are kept,
as its parallel steps need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import redis
from celery import Celery
from celery.signals import worker_process_init
from celery_saga import Saga, StepResponse, saga_step, set_default_backend
from celery_saga.backends import RedisSagaBackend

from benchmarks._bench import Bench, redis_database
from benchmarks._sides.side import (
    Side,
    Threads,
    processes,
    rate,
    start_celery,
    wait_for_nodes,
)

__all__ = ["app", "celery_saga", "noop", "undo"]

# Its own tasks are shared ones: they go to whichever app is the current one.
app = Celery("saga_peer", set_as_current=False)


@saga_step(compensate="undo")
@app.task(name="noop", shared=False)
def noop(**data: Any) -> StepResponse:  # noqa: ANN401
    """Do nothing."""
    del data
    return StepResponse(output={}, compensation_data={})


@app.task(name="undo", shared=False)
def undo(compensation_data: dict[str, Any]) -> None:
    """Undo nothing."""
    del compensation_data


@worker_process_init.connect
def _keep_state(**_: object) -> None:
    app.set_current()
    set_default_backend(RedisSagaBackend(url=app.conf.result_backend))


def celery_saga(name: str) -> Side:
    """Return the side of celery-saga."""
    return Side(name, _open)


class _Sagas:
    def __init__(self, redis_url: str, worker: int) -> None:
        self.heads = (worker,)
        self._threads = Threads(app.set_current)
        self._redis = redis.Redis.from_url(redis_url)
        set_default_backend(RedisSagaBackend(url=redis_url))
        self._saga = Saga("bench")
        for _ in range(5):
            self._saga.add_step(noop)

    def rate(self, count: int) -> float:
        """Run so many and return how many ended in a second."""
        return rate(count, lambda n: self._threads.each(n, self._start), self._ended)

    def close(self) -> None:
        """Let go of the connections."""
        self._threads.close()
        self._redis.close()

    def _start(self) -> str:
        return str(self._saga.run(order=7).saga_id)

    def _ended(self, ids: Sequence[str]) -> set[str]:
        kept = self._redis.mget([f"{RedisSagaBackend.PREFIX}{one}" for one in ids])
        pairs = zip(ids, kept, strict=True)
        return {one for one, state in pairs if state and _COMPLETED in state}


_COMPLETED = b'"status": "completed"'


@contextmanager
def _open(bench: Bench) -> Iterator[_Sagas]:
    broker_url = redis_database(bench.redis_url, 4)
    state_url = redis_database(bench.redis_url, 5)
    app.conf.update(broker_url=broker_url, result_backend=state_url)
    environment = {"CELERY_BROKER_URL": broker_url, "CELERY_RESULT_BACKEND": state_url}
    with processes(broker_url, state_url) as supervisor:
        words = ["worker", "-c", "2", "-n", "saga-peer@%h"]
        pid = start_celery(supervisor, "saga-peer", __name__, *words, env=environment)
        wait_for_nodes(broker_url, 1)
        with closing(_Sagas(state_url, pid)) as runner:
            yield runner
