"""The queues of agents' pools: declared alike by all, so that priorities count in them.

RabbitMQ knows priorities only in queues that were declared with a highest one, and
refuses whoever declares a queue in another way than it was made. So both sides of our
Celery apps, and nobody else, get the declaration from here. The default queue has none:
any Celery client declares it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from amqp.exceptions import PreconditionFailed
from celery import Celery
from celery.app.amqp import AMQP, Queues
from kombu.entity import Queue

from orchestration.contracts import is_pool_queue
from orchestration.core.messaging.priority import HIGHEST, is_redis
from orchestration.errors import ConfigurationError

__all__ = ["AMQP_CLASS", "PoolAMQP", "PoolQueues", "renew_queues"]


class PoolQueues(Queues):  # type: ignore[misc]  # Celery has no types
    """Celery's, with priorities in the queues of pools."""

    def new_missing(self, name: str) -> Queue:
        """Return a queue that is named for the first time."""
        queue: Any = super().new_missing(name)
        if is_pool_queue(name):
            given = queue.queue_arguments or {}
            queue.queue_arguments = {**given, "x-max-priority": HIGHEST}
        made: Queue = queue
        return made


class PoolAMQP(AMQP):  # type: ignore[misc]
    """Celery's, with those queues."""

    queues_cls = PoolQueues


AMQP_CLASS = f"{__name__}:PoolAMQP"
"""What a Celery app is given as ``amqp``; imported when the app first needs it."""


def renew_queues(app: Celery, names: Iterable[str]) -> None:
    """Make queues of RabbitMQ that an earlier version declared without priorities anew.

    Args:
        app: Whose broker it is.
        names: What a worker is about to consume.

    Raises:
        ConfigurationError: Such a queue is in use, or not empty.
    """
    if is_redis(app.conf.broker_url):
        return
    with app.connection_for_write() as connection:
        for name in filter(is_pool_queue, names):
            queue = app.amqp.queues[name]
            try:
                queue(connection.channel()).declare()
            except PreconditionFailed:
                _renew(connection, queue)


def _renew(connection: Any, queue: Queue) -> None:  # noqa: ANN401
    channel = connection.channel()
    try:
        channel.queue_delete(queue.name, if_unused=True, if_empty=True)
    except PreconditionFailed as exc:
        raise ConfigurationError(
            f"queue {queue.name!r} of RabbitMQ was made by a version without "
            "priorities and is in use: stop the workers of that version, let a worker "
            f"empty it or give up what is in it (`rabbitmqctl delete_queue "
            f"{queue.name}`; sagas send their steps again), and start this one again"
        ) from exc
    queue(connection.channel()).declare()  # type: ignore[no-untyped-call]
