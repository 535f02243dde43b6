"""What number a priority has on a broker: Redis and RabbitMQ count in opposite ways.

Over Redis the lowest number is taken first, and a message without one counts as 0;
RabbitMQ takes the highest first, in queues that were declared with a highest one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestration.core.messaging.model import Priority

__all__ = ["HIGHEST", "STEPS", "is_redis", "priority_number"]

STEPS: Final = (0, 3, 6, 9)
"""The numbers that are told apart over Redis: kombu's own, which Flower counts too."""

HIGHEST: Final = 3
"""The highest number of RabbitMQ's queues; each number costs it a queue inside."""

_ON_REDIS: Final[Mapping[Priority, int]] = {
    Priority.CRITICAL: 0,
    Priority.HIGH: 3,
    Priority.NORMAL: 6,
    Priority.LOW: 9,
}
_ON_RABBITMQ: Final[Mapping[Priority, int]] = {
    Priority.CRITICAL: HIGHEST,
    Priority.HIGH: 2,
    Priority.NORMAL: 1,
    Priority.LOW: 0,
}


def is_redis(broker_url: str) -> bool:
    """Return whether a broker's address is that of a Redis."""
    return broker_url.startswith("redis")


def priority_number(priority: Priority, broker_url: str) -> int:
    """Return the number by which a broker knows a priority."""
    return (_ON_REDIS if is_redis(broker_url) else _ON_RABBITMQ)[priority]
