"""Messages of swarms that share out partitions: agents' turns, and ticks."""

from __future__ import annotations

from typing import Any, Final

from celery import Celery

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.publishing import Publisher
from orchestration.contracts import SWARM_PARTITION, SWARM_TICK, pool_queue
from orchestration.core.messaging.model import Priority
from orchestration.core.messaging.priority import priority_number
from orchestration.core.swarm.partitions.colony import Plan
from orchestration.core.swarm.providers import Provided, announced_name

__all__ = ["PartitionSender"]

# Beyond an attempt's own time the pool kills the child: only code that cannot be
# interrupted gets there. Longer than a child waits for a database that went away.
_KILL_AFTER_S: Final = 45.0


class PartitionSender:
    """Sends agents their turns, to the workers that host the handler.

    Args:
        app: By which it sends.
        announcements: Who knows where handlers are served.
        broker_url: Of the app's broker.
    """

    def __init__(
        self, app: Celery, announcements: Announcements, broker_url: str
    ) -> None:
        self._publisher = Publisher(app)
        self._announcements = announcements
        self._turn = priority_number(Priority.NORMAL, broker_url)
        # Ahead of all turns that wait: a tick is what others wait for.
        self._tick = priority_number(Priority.CRITICAL, broker_url)

    def turn(self, plan: Plan, agent: int, turn: int, *, wait_ms: int = 0) -> None:
        """Send an agent its turn.

        Raises:
            TransportError: The broker did not take it; a later tick sends it again.
        """
        kwargs = {"swarm_id": plan.swarm_id, "agent": agent, "turn": turn}
        limit_s = plan.task.partition_timeout_ms / 1_000 + _KILL_AFTER_S
        options = {"priority": self._turn, "time_limit": limit_s}
        label = f"{plan.task.objective} {plan.swarm_id} · agent {agent}"
        self._publish(SWARM_PARTITION, plan, kwargs, options, label, wait_ms)

    def tick(self, plan: Plan, *, wait_ms: int = 0) -> None:
        """Send a tick.

        Raises:
            TransportError: The broker did not take it; beat has one made anyway.
        """
        kwargs = {"swarm_id": plan.swarm_id}
        label = f"{plan.task.objective} {plan.swarm_id}"
        options = {"priority": self._tick}
        self._publish(SWARM_TICK, plan, kwargs, options, label, wait_ms)

    def close(self) -> None:
        """Give the connections to the broker back."""
        self._publisher.close()

    def _publish(
        self,
        task: str,
        plan: Plan,
        kwargs: dict[str, Any],
        options: dict[str, Any],
        label: str,
        wait_ms: int,
    ) -> None:
        handler = announced_name(Provided.HANDLER, plan.task.handler_name or "")
        pool = self._announcements.pool_of(handler)
        options |= {"queue": pool_queue(pool), "argsrepr": label, "kwargsrepr": "{}"}
        if wait_ms:
            options["countdown"] = wait_ms / 1_000
        link = {"task": task, "kwargs": kwargs, "options": options}
        self._publisher.publish(link, args=())
