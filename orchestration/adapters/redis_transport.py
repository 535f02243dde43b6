"""Celery's transport over Redis, but for objects that it makes anew each time.

kombu (5.7) makes a client object for every command that is no blocking read: three for
each task. It is a tenth of a millisecond each, more than the command itself takes, and
all of them use the one pool of connections. This keeps one for as long as the pool.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

__all__ = ["Channel", "Transport", "use_in_this_process"]


class Channel(kombu_redis.Channel):
    """A channel that keeps its client."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        # After a lost connection or a fork there is another pool.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


class Transport(kombu_redis.Transport):
    """kombu's, with channels that keep their client."""

    Channel = Channel


def use_in_this_process() -> None:
    """Have addresses that begin with ``redis`` served by this transport.

    Under the name that all know: Flower and others read it off the address.
    """
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
