"""Whether more messages wait for an agent than its workers keep up with."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kombu.exceptions import OperationalError

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.celery_bus import queue_of

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["LONG", "Backlog"]

logger = logging.getLogger(__name__)

LONG: Final = 200
"""From so many messages on a queue is long: as many as one sweep sends again."""

_COUNT_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Backlog:
    """Counts what waits in the queues of agents, each at most once a second.

    Not for several threads.
    """

    app: Celery
    announcements: Announcements
    _counted: dict[str, tuple[float, int]] = field(default_factory=dict, init=False)

    def is_long(self, agent_id: str) -> bool:
        """Whether a message for the agent may well be waiting its turn."""
        return self.waiting(agent_id) >= LONG

    def waiting(self, agent_id: str) -> int:
        """Return how many messages wait in the queue that the agent is served from."""
        return self._count(queue_of(agent_id, self.announcements))

    def _count(self, queue: str) -> int:
        at, count = self._counted.get(queue, (float("-inf"), 0))
        if time.monotonic() > at + _COUNT_EVERY_S:
            count = self._ask(queue)
            self._counted[queue] = (time.monotonic(), count)
        return count

    def _ask(self, queue: str) -> int:
        """Return how many messages nobody has fetched yet; 0 if nobody can tell."""
        with self.app.connection_for_write() as connection:
            errors = (
                OperationalError,
                *connection.connection_errors,
                *connection.channel_errors,  # there is no such queue yet
            )
            try:
                # Passive: it is looked at, and not made.
                declared = connection.channel().queue_declare(queue, passive=True)
            except errors as exc:
                logger.info("queue %s not counted: %s", queue, exc)
                return 0
            return int(declared.message_count)
