"""Epochs of the registry's hot state: which one holds, and how the next is built.

A new epoch is written beside the one that holds, under keys of its own, and takes its
place in one step. So nobody ever reads one that is half built, and of those who build
at once one is first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, TypeVar
from uuid import uuid4

import redis

from orchestration.adapters.registry_feed import (
    FeedChange,
    change_arguments,
    checksum_of,
    halves,
    text,
)
from orchestration.errors import TransportError

__all__ = ["PER_CALL", "Epochs", "chunks", "redis_errors"]

PER_CALL: Final = 1_000
"""So many agents go to Redis in one call."""

_T = TypeVar("_T")


class Epochs:
    """The epochs of one registry.

    Args:
        client: Of its Redis.
        root: Before every key.

    Attributes:
        holds: The key that names the epoch that holds.
    """

    def __init__(self, client: redis.Redis, root: str) -> None:
        self.holds = root + "epoch"
        self._redis, self._root = client, root
        self._open = self.script("registry_open.lua")
        self._tidy = self.script("registry_tidy.lua")

    def key(self, epoch: str, part: str) -> str:
        """Return the key of a part of an epoch."""
        return f"{self._root}{epoch}:{part}"

    def script(self, name: str) -> Any:  # noqa: ANN401  the client's own type is not public
        """Return a script that does nothing unless its epoch holds."""
        script = (files("orchestration.adapters") / "lua" / name).read_text("utf-8")
        return self._redis.register_script(script)

    def run_id(self) -> str:
        """Return what Redis calls itself until it is restarted."""
        server: Any = self._redis.info("server")
        return str(server["run_id"])

    def build(self, agents: Sequence[FeedChange], *, before: str) -> str:
        """Build an epoch in place of another, and remove all that do not hold.

        Args:
            agents: Everybody who is registered, each a ``put``.
            before: The epoch whose place it is to take; empty: none holds.

        Returns:
            The epoch that holds afterwards; another one if somebody was faster.
        """
        epoch = uuid4().hex
        high, low = halves(checksum_of(agents))
        for some in chunks(agents, PER_CALL):
            self._write(epoch, some)
        meta: dict[Any, Any] = {"deltas": 0, "hi": high, "lo": low}
        meta["run_id"] = self.run_id()
        self._redis.hset(self.key(epoch, "meta"), mapping=meta)
        parts = [self.key(epoch, part) for part in ("meta", "states", "agents")]
        arguments = [epoch, before, len(agents), high, low]
        holds = text(self._open(keys=[self.holds, *parts], args=arguments))
        self._sweep_up(holds)
        return holds

    def _write(self, epoch: str, agents: Sequence[FeedChange]) -> None:
        arguments = change_arguments(agents)
        states: dict[Any, Any] = {}
        documents: dict[Any, Any] = {}
        for at in range(0, len(arguments), 6):
            _, agent_id, state, document, high, low = arguments[at : at + 6]
            states[agent_id] = f"{state} {high} {low}"
            documents[agent_id] = document
        pipe = self._redis.pipeline(transaction=False)
        pipe.hset(self.key(epoch, "states"), mapping=states)
        pipe.hset(self.key(epoch, "agents"), mapping=documents)
        pipe.execute()

    def _sweep_up(self, holds: str) -> None:
        """Remove what belongs to epochs that do not hold."""
        keys = map(text, self._redis.scan_iter(f"{self._root}*:*", count=1_000))
        kept = self.key(holds, "")
        if old := [key for key in keys if not key.startswith(kept)]:
            self._tidy(keys=[self.holds, *old], args=[holds])


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise the errors of Redis as our own."""
    try:
        yield
    except redis.RedisError as exc:
        raise TransportError(
            f"Redis did not do what the registry asked ({type(exc).__name__}: {exc}): "
            "check REDIS_URL and the server; what was recorded is safe in Postgres"
        ) from exc


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Return some items at a time, in their order."""
    for at in range(0, len(items), size):
        yield items[at : at + size]
