"""Topics for whoever listens at the moment, by Redis' publish/subscribe.

Nothing is kept: who is not there, or too slow, has missed it. Agents get theirs as
messages, which wait for them.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import redis
import redis.asyncio

from orchestration.core.messaging.model import Message
from orchestration.core.messaging.topics import check_pattern, matches, redis_glob

__all__ = ["TopicChannel", "TopicSubscription"]

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
_AFTER_ERROR_S: Final = 0.2


class TopicChannel:
    """Publishes to, and listens on, the topics of one Redis."""

    def __init__(self, redis_url: str, key_prefix: str) -> None:
        self._url = redis_url
        self._prefix = f"{key_prefix}orchestration:topic:"
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=2, socket_connect_timeout=2
        )

    def publish(self, messages: Sequence[Message]) -> bool:
        """Tell whoever listens now; return whether Redis was there to do it."""
        pipe = self._redis.pipeline(transaction=False)
        for message in messages:
            body = json.dumps(message.to_json(), separators=(",", ":"))
            pipe.publish(f"{self._prefix}{message.recipient_id}", body)
        try:
            pipe.execute()
        except redis.RedisError as exc:
            logger.warning("%d events not told to listeners: %s", len(messages), exc)
            return False
        return True

    def subscribe(self, pattern: str) -> TopicSubscription:
        """Return a subscription, which is not open yet.

        Raises:
            InvalidTopic: It is no pattern.
        """
        return TopicSubscription(self._url, self._prefix, check_pattern(pattern))

    def close(self) -> None:
        """Close the connections for publishing."""
        self._redis.close()


class TopicSubscription:
    """Events of topics that match a pattern, as they are published.

        async with bus.subscribe("orders.#") as events:
            async for message in events:
                ...

    From its beginning on, ``async with``, it misses none while Redis is there. Without,
    it begins with the first wait for an event. A connection that breaks is made anew;
    what was published meanwhile is missed.
    """

    def __init__(self, url: str, prefix: str, pattern: str) -> None:
        self.pattern = pattern
        self._url = url
        self._prefix = prefix
        self._redis: redis.asyncio.Redis | None = None
        self._pubsub: Any = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while True:
            try:
                await self._open()
                heard = await self._pubsub.get_message(timeout=_LOOK_EVERY_S)
            except redis.RedisError as exc:
                logger.warning("topic %s not heard: %s", self.pattern, exc)
                await asyncio.sleep(_AFTER_ERROR_S)
                continue
            message = None if heard is None else self._read(heard)
            if message is not None:
                return message

    async def close(self) -> None:
        """Listen no longer."""
        pubsub, self._pubsub = self._pubsub, None
        client, self._redis = self._redis, None
        if pubsub is not None:
            await pubsub.aclose()
        if client is not None:
            await client.aclose()

    async def _open(self) -> None:
        if self._redis is None:
            self._redis = redis.asyncio.Redis.from_url(
                self._url, socket_connect_timeout=2
            )
        if self._pubsub is None:
            pubsub = self._redis.pubsub(ignore_subscribe_messages=False)
            await pubsub.psubscribe(
                f"{_escaped(self._prefix)}{redis_glob(self.pattern)}"
            )
            # Until Redis says that it listens.
            while (said := await pubsub.get_message(timeout=_LOOK_EVERY_S)) is None:
                pass
            logger.debug("%s: %s", self.pattern, said["type"])
            self._pubsub = pubsub

    def _read(self, heard: dict[str, Any]) -> Message | None:
        if heard["type"] != "pmessage":
            return None
        topic = heard["channel"].decode(errors="replace").removeprefix(self._prefix)
        if not matches(self.pattern, topic):
            return None
        try:
            return Message.from_json(json.loads(heard["data"]))
        except (TypeError, ValueError):
            logger.warning("an event of topic %s was not understood", topic)
            return None


def _escaped(prefix: str) -> str:
    """Return a prefix of keys as a glob that stands for itself."""
    return "".join(f"\\{char}" if char in "*?[]^\\" else char for char in prefix)
