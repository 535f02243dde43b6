"""How many messages a worker takes before its processes are free.

One for each process: a message that waits in a worker behind a long step waits in vain,
while others stand idle. But short steps are over before the next message is here, and
processes stand idle half of the time. So while many short tasks go through, a worker
over Redis takes one more for each process. RabbitMQ hands messages out by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MethodType
from typing import Any, Final

from celery import bootsteps
from celery.worker import state

from tasks.pool import Prefork

__all__ = ["FetchAhead", "Pace"]

_LOOK_EVERY_S: Final = 0.1
_QUICK_S: Final = 0.1
"""Mean time from one task of a process to its next; with less, the tasks are short."""

_LONG_S: Final = 0.25


class Pace:
    """Tells whether a worker's tasks are short at present.

    Args:
        clock: Seconds since the epoch, as Celery's requests have it.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._begun = 0
        self._is_quick = False

    def is_quick(
        self, processes: int, begun: int, under_way_since: float | None
    ) -> bool:
        """Return whether to take messages before a process is free.

        Args:
            processes: How many tasks run at the same time.
            begun: How many have begun so far.
            under_way_since: When the longest of those at work began; None: none is.
        """
        now = self._clock()
        if now >= self._looked_at + _LOOK_EVERY_S:
            wanted = processes * (now - self._looked_at) / _QUICK_S
            self._is_quick = begun - self._begun >= wanted
            self._looked_at, self._begun = now, begun
        if under_way_since is not None and now > under_way_since + _LONG_S:
            return False
        return self._is_quick


class FetchAhead(bootsteps.StartStopStep):
    """Has the consumer of tasks take a message more while tasks are short.

    In other pools than prefork, a worker that is told to stop would still do what it
    has taken. Acknowledgements may be put off there too: all is done in one thread.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:  # noqa: ANN401
        """Begin with a consumer that has just connected."""
        if parent.connection.transport.driver_type != "redis":
            return
        if not isinstance(parent.pool, Prefork):
            return
        qos, pace = parent.task_consumer.channel.qos, Pace()
        if parent.hub is not None:
            qos.later = parent.hub.call_later
        has_room = qos.can_consume

        # Celery's own setting `worker_disable_prefetch` works in the same way.
        def can_consume(_: object) -> bool:
            processes = parent.pool.num_processes
            if has_room():
                return True
            held = len(state.reserved_requests)
            if held >= 2 * processes:
                return False
            # What waits behind a task that turned out long keeps no process from its
            # next one.
            if processes <= held < processes + parent.pool.waiting:
                return True
            begun = (one.time_start for one in state.active_requests)
            since = min((at for at in begun if at), default=None)
            return pace.is_quick(processes, state.all_total_count[0], since)

        qos.can_consume = MethodType(can_consume, qos)
