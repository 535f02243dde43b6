"""Imported by a worker, it delivers every tenth message twice."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from celery import Celery
from celery.signals import after_task_publish, worker_init

from orchestration.adapters.celery_bus import make_producer
from orchestration.settings import Settings

_EVERY = 10


@contextlib.contextmanager
def doubling(settings: Settings) -> Iterator[None]:
    """Have this process deliver every tenth of its messages twice, within the block."""
    app = make_producer(settings)
    again = _again(app)
    after_task_publish.connect(again, weak=False)
    try:
        yield
    finally:
        after_task_publish.disconnect(again)
        app.close()


def _again(app: Celery) -> Callable[..., None]:
    count = itertools.count(1)

    def again(
        body: Any, exchange: str, routing_key: str, headers: dict[str, Any], **_: Any
    ) -> None:
        if next(count) % _EVERY:
            return
        with app.producer_or_acquire() as producer:
            producer.publish(
                body,
                exchange=exchange,
                routing_key=routing_key,
                headers=headers,
                serializer="json",
                correlation_id=headers["id"],
            )

    return again


@worker_init.connect
def _from_the_start(sender: Any, **_: object) -> None:
    after_task_publish.connect(_again(sender.app), weak=False)
