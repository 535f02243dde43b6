"""Imported by a worker, it delivers every tenth message twice.

Below all that publishes tasks, so that they are published as they always are: for
Celery's signals of publishing, steps would go another way.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from celery.signals import worker_init
from kombu.messaging import Producer

_EVERY = 10


@contextlib.contextmanager
def doubling() -> Iterator[None]:
    """Have this process deliver every tenth of its messages twice, within the block."""
    once = Producer.publish
    Producer.publish = _twice(once)
    try:
        yield
    finally:
        Producer.publish = once


def _twice(publish: Callable[..., Any]) -> Callable[..., Any]:
    count = itertools.count(1)

    def twice(producer: Producer, body: Any, *args: Any, **options: Any) -> Any:
        answer = publish(producer, body, *args, **options)
        is_task = "task" in (options.get("headers") or {})
        if is_task and next(count) % _EVERY == 0:
            publish(producer, body, *args, **options)
        return answer

    return twice


@worker_init.connect
def _from_the_start(**_: object) -> None:
    Producer.publish = _twice(Producer.publish)
