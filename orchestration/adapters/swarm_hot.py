"""The states of swarms in Redis: raw bytes, the newest of each, and who watches them.

A state is a cache. It counts only if its SHA-256 is the one that the swarm's last event
names; else it is computed anew from the last snapshot. It is written by a script that
compares iterations, so that one who comes late never puts an older state in the place
of a newer one.

=====================  ===============================================================
``<id>:state``         iteration (eight bytes) and state
``<id>:<n>:moved``     the state of iteration ``n``, not valued yet
``<id>:<n>:values``    its positions' values, by slice
=====================  ===============================================================
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

import redis

from orchestration.core.swarm.state import SwarmState
from orchestration.errors import TransportError

__all__ = ["SwarmHot"]

_KEEP_MS: Final = 24 * 3_600_000
_TIMEOUT_S: Final = 5.0
_NUMBER: Final = struct.Struct(">q")


class SwarmHot:
    """The states of all swarms of one Redis; for any number of threads."""

    def __init__(self, redis_url: str, key_prefix: str = "") -> None:
        """Open nothing yet.

        Args:
            redis_url: Where it is.
            key_prefix: Before every key, to share one server.
        """
        self._redis = redis.Redis.from_url(
            redis_url,
            protocol=2,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self._root = f"{key_prefix}orchestration:swarm:"
        text = (files("orchestration.adapters") / "lua" / "swarm_put.lua").read_text()
        self._put = self._redis.register_script(text)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def get(self, swarm_id: str) -> bytes | None:
        """Return a state's bytes, whatever they are worth.

        Raises:
            TransportError: Redis does not answer.
        """
        with _redis_errors():
            kept: Any = self._redis.get(self._key(swarm_id))
        return kept[_NUMBER.size :] if kept else None

    def put(self, swarm_id: str, state: SwarmState, told: Mapping[str, Any]) -> bool:
        """Keep a state, unless one of the same or a later iteration is kept.

        Args:
            swarm_id: Whose.
            state: The state.
            told: What those are told who watch the swarm.

        Returns:
            Whether it is kept.

        Raises:
            TransportError: Redis does not answer.
        """
        arguments: list[Any] = [
            _NUMBER.pack(state.iteration),
            state.to_bytes(),
            _KEEP_MS,
            self.channel(swarm_id),
            json.dumps(told),
        ]
        with _redis_errors():
            return bool(self._put(keys=[self._key(swarm_id)], args=arguments))

    def drop(self, swarm_id: str) -> None:
        """Forget a swarm's state.

        Raises:
            TransportError: Redis does not answer.
        """
        with _redis_errors():
            self._redis.unlink(self._key(swarm_id))

    def put_moved(self, swarm_id: str, iteration: int, moved: bytes) -> None:
        """Keep a state whose positions are about to be valued.

        Raises:
            TransportError: Redis does not answer.
        """
        with _redis_errors():
            self._redis.set(
                self._key(swarm_id, f"{iteration}:moved"), moved, px=_KEEP_MS
            )

    def moved(self, swarm_id: str, iteration: int) -> bytes | None:
        """Return a state whose positions are being valued.

        Raises:
            TransportError: Redis does not answer.
        """
        with _redis_errors():
            kept: Any = self._redis.get(self._key(swarm_id, f"{iteration}:moved"))
        return None if kept is None else bytes(kept)

    def put_values(self, swarm_id: str, iteration: int, nth: int, values: bytes) -> int:
        """Keep the values of a slice; return of how many slices there are some.

        Raises:
            TransportError: Redis does not answer.
        """
        key = self._key(swarm_id, f"{iteration}:values")
        with _redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(key, str(nth), values)
            pipe.pexpire(key, _KEEP_MS)
            pipe.hlen(key)
            *_, count = pipe.execute()
        return int(count)

    def values(self, swarm_id: str, iteration: int) -> Mapping[int, bytes]:
        """Return the values of slices.

        Raises:
            TransportError: Redis does not answer.
        """
        with _redis_errors():
            kept: Any = self._redis.hgetall(self._key(swarm_id, f"{iteration}:values"))
        return {int(nth): values for nth, values in kept.items()}

    def drop_valued(self, swarm_id: str, iteration: int) -> None:
        """Forget an iteration's positions and values.

        Raises:
            TransportError: Redis does not answer.
        """
        parts = (f"{iteration}:moved", f"{iteration}:values")
        with _redis_errors():
            self._redis.unlink(*(self._key(swarm_id, part) for part in parts))

    def channel(self, swarm_id: str) -> str:
        """Return the name of the channel on which a swarm's moves are told."""
        return f"{self._root}{swarm_id}:moves"

    def watch(self, swarm_id: str) -> redis.client.PubSub:
        """Return a subscription to a swarm's moves.

        Raises:
            TransportError: Redis does not answer.
        """
        with _redis_errors():
            subscription: redis.client.PubSub = self._redis.pubsub(  # type: ignore[no-untyped-call]  # redis-py leaves it bare
                ignore_subscribe_messages=True
            )
            subscription.subscribe(self.channel(swarm_id))
        return subscription

    def _key(self, swarm_id: str, part: str = "state") -> str:
        return f"{self._root}{swarm_id}:{part}"


@contextmanager
def _redis_errors() -> Iterator[None]:
    """Raise the errors of Redis as our own."""
    try:
        yield
    except redis.RedisError as exc:
        raise TransportError(
            f"Redis did not do what a swarm asked ({type(exc).__name__}: {exc}): "
            "check REDIS_URL and the server; what was recorded is safe in Postgres"
        ) from exc
