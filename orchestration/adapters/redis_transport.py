"""Celery's transport over Redis, but for objects that it makes anew each time.

kombu (5.7) makes a client object for every command that is no blocking read: three for
each task. It is a tenth of a millisecond each, more than the command itself takes, and
all of them use the one pool of connections. This keeps one for as long as the pool.

It also notes in one transaction which messages are taken and not acknowledged. The two
commands go to Redis together all the same; only if Redis dies between them is a message
not given out again, and what it was about the sweep finds by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

__all__ = ["Channel", "Transport", "use_in_this_process"]


class QoS(kombu_redis.QoS):
    """What is taken and not acknowledged, noted without a transaction."""

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:  # noqa: ANN401
        """Yield the pipeline that there is, or a new one."""
        if pipe:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as found:
                yield found.pipeline(transaction=False)


class Channel(kombu_redis.Channel):
    """A channel that keeps its client."""

    QoS = QoS
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
