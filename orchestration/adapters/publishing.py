"""Give messages of tasks to the broker, as Celery does and at a third of its price.

Celery's ``apply_async`` serves every kind of task: it asks routers, makes a result
object, writes down arguments for people, declares queues. Ours say where they go and
how they look, and have no results. A step sends the next one, so this is on the way of
every step. Whoever listens to Celery's signals of publishing has Celery publish.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final
from uuid import uuid4

from amqp.exceptions import MessageNacked
from celery import Celery, signals
from celery.canvas import Signature
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from kombu.messaging import Producer
from redis.exceptions import ResponseError

from orchestration.errors import TransportError

__all__ = ["Publisher", "not_taken"]

_KEPT: Final = 10  # connections, as in Celery's own pool
_IF_NOT: Final = "it is on record and is sent again once the broker is back"
_CONFIRM_S: Final = 10.0
# The broker is away; or it is there and will not, as one without memory.
_NOT_TAKEN: Final = (OperationalError, MessageNacked, ResponseError)
# Options of a link that no task has: they say how the broker is to treat its message.
_OF_THE_BROKER: Final = ("priority", "delivery_mode")
_SIGNALS: Final = (signals.before_task_publish, signals.after_task_publish)


class Publisher:
    """Publishes task messages of one Celery app.

    Args:
        app: Whose broker they go to.
        if_not: What holds of a message that the broker did not take, for the error.
    """

    def __init__(self, app: Celery, if_not: str = _IF_NOT) -> None:
        self._app = app
        self._if_not = if_not
        # Taking one from Celery's pool costs as much as publishing does.
        self._idle: deque[Producer] = deque()
        self._is_closed = False

    @cached_property
    def _errors(self) -> tuple[type[Exception], ...]:
        """What says that a connection is gone; each transport has errors of its own."""
        connection = self._app.connection_for_write()  # it is not opened
        return (*connection.connection_errors, *connection.channel_errors)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What the app says of all its messages; each look at it takes a while."""
        conf = self._app.conf
        return {
            "serializer": conf.task_serializer,
            "delivery_mode": conf.task_default_delivery_mode,
            "retry_policy": conf.task_publish_retry_policy,
            # Of a broker that confirms, but has stopped to do so.
            "confirm_timeout": _CONFIRM_S,
        }

    def publish(
        self,
        link: Mapping[str, Any],
        *,
        args: Sequence[Any],
        chain: Sequence[Mapping[str, Any]] = (),
        root_id: str | None = None,
        parent_id: str | None = None,
    ) -> None:
        """Publish one task, with the links that follow it.

        Args:
            link: The task's signature; its options name the queue.
            args: Its positional arguments.
            chain: Signatures of what follows, the last first, as Celery keeps them.
            root_id: Id of the task that all began with; None: the running task's, or
                the message's own.
            parent_id: Id of the task that sends it; None: the running task's, if any.

        Raises:
            TransportError: The broker did not take it.
        """
        running = self._app.current_worker_task
        if running is not None:
            root_id = root_id or running.request.root_id or running.request.id
            parent_id = parent_id or running.request.id
        family = {"root_id": root_id, "parent_id": parent_id}
        try:
            if any(signal.receivers for signal in _SIGNALS):
                signature = Signature({**link, "args": ()}, app=self._app)
                signature.apply_async(args, chain=[*chain], **family)
            else:
                self._publish(link, args, chain, family)
        except _NOT_TAKEN as exc:
            raise not_taken(f"task {link['task']}", exc, self._if_not) from exc

    def _publish(
        self,
        link: Mapping[str, Any],
        args: Sequence[Any],
        chain: Sequence[Mapping[str, Any]],
        family: Mapping[str, str | None],
    ) -> None:
        amqp = self._app.amqp
        options = {**link["options"]}
        queue = amqp.queues[options.pop("queue")]
        own = {key: options.pop(key) for key in _OF_THE_BROKER if key in options}
        message = amqp.create_task_message(
            options.pop("task_id", None) or str(uuid4()),
            link["task"],
            args,
            link["kwargs"],
            chain=[*chain] or None,
            ignore_result=True,
            **family,
            **options,
        )
        if not self._give_at_once(queue, message, own):
            # Celery's pool connects anew and tries several times, and tells in kombu's
            # words if in vain.
            with self._app.producer_pool.acquire(block=True) as producer:
                self._give(producer, queue, message, own, retry=True)

    def _give_at_once(
        self,
        queue: Queue,
        message: Any,  # noqa: ANN401  Celery's, which has no type
        own: Mapping[str, Any],
    ) -> bool:
        """Publish on a connection that is kept; return whether it still is one."""
        kept: Producer | None = None
        try:
            kept = self._take()
            self._give(kept, queue, message, own, retry=False)
        except self._errors:
            if kept is not None:
                _release(kept)
            self._drop_idle()  # they are most likely gone as well
            return False
        if self._is_closed or len(self._idle) >= _KEPT:
            _release(kept)
        else:
            self._idle.append(kept)
        return True

    def _give(
        self,
        producer: Producer,
        queue: Queue,
        message: Any,  # noqa: ANN401  Celery's, which has no type
        own: Mapping[str, Any],
        *,
        retry: bool,
    ) -> None:
        # Once for each connection: looking whether kombu would declare it again takes
        # longer than sending.
        is_declared = hash(queue) in producer.connection.declared_entities
        producer.publish(  # type: ignore[no-untyped-call]
            message.body,
            exchange="",
            routing_key=queue.name,
            headers=message.headers,
            declare=() if is_declared else (queue,),
            retry=retry,
            **{**self._settings, **message.properties, **own},
        )

    def _take(self) -> Producer:
        with suppress(IndexError):
            return self._idle.pop()
        connection = self._app.connection_for_write()
        connection.connect()  # once: kombu would try for ever later on
        return Producer(connection, auto_declare=False)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Let go of the connections; what is being published is published."""
        self._is_closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        with suppress(IndexError):
            while True:
                _release(self._idle.pop())


def _release(producer: Producer) -> None:
    with suppress(Exception):  # it may be gone already
        producer.connection.release()


def not_taken(what: str, exc: Exception, if_not: str = _IF_NOT) -> TransportError:
    """Return the error of a broker that does not take something."""
    why = str(exc) or type(exc).__name__
    return TransportError(f"the broker did not take {what} ({why}): {if_not}")
