"""How often a task was given out again: a message may kill who handles it."""

from __future__ import annotations

import logging
from typing import Final

import redis

__all__ = ["Deliveries"]

logger = logging.getLogger(__name__)
_KEPT_S: Final = 86_400


class Deliveries:
    """Counts in Redis; only of tasks that come again, so not on the usual way."""

    def __init__(self, redis_url: str, key_prefix: str) -> None:
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=2, socket_connect_timeout=2
        )
        self._prefix = f"{key_prefix}orchestration:redelivered:"

    def count(self, task_id: str) -> int:
        """Count one more delivery of a task; return how many; 0: nobody can tell."""
        key = f"{self._prefix}{task_id}"
        try:
            pipe = self._redis.pipeline()
            pipe.incr(key)
            pipe.expire(key, _KEPT_S)
            return int(pipe.execute()[0])
        except redis.RedisError as exc:
            logger.warning("delivery of task %s not counted: %s", task_id, exc)
            return 0

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
