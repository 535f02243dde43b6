"""Celery's transport over Redis, with fewer round trips and objects for each task.

kombu (5.7) makes a client object for every command that is no blocking read: three for
each task. It is a tenth of a millisecond each, more than the command itself takes, and
all of them use the one pool of connections. This keeps one for as long as the pool.

kombu notes which messages are taken and not acknowledged in a transaction, and takes an
acknowledged one off the note in another. This does both at once, without a transaction:
an acknowledgement goes with the note of the next message, or alone if none comes. A
worker that dies between has its message given out again: as if it had died a little
earlier, which tasks that are acknowledged late have to expect anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis

__all__ = ["Channel", "QoS", "Transport", "use_in_this_process"]

_PUT_OFF_S: Final = 0.01


class QoS(kombu_redis.QoS):
    """What is taken and not acknowledged.

    Attributes:
        later: Calls a function after so many seconds, in the thread of the consumer;
            None: acknowledgements are not put off.
    """

    later: Callable[[float, Callable[[], None]], object] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._put_off: list[str] = []

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:  # noqa: ANN401
        """Yield the pipeline that there is, or a new one with what was put off."""
        if pipe:
            yield pipe
            return
        with self.channel.conn_or_acquire(client) as found:
            new = found.pipeline(transaction=False)
            tags, self._put_off = self._put_off, []
            if tags:
                new.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags)
            yield new

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, soon."""
        if self.later is None:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
            return
        self._put_off.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
        if len(self._put_off) == 1:
            self.later(_PUT_OFF_S, self.catch_up)

    def catch_up(self) -> None:
        """Acknowledge what was put off."""
        if self.channel.connection is None or self.channel.connection.client is None:
            # The connection broke and was given up: what was put off comes again.
            self._put_off.clear()
        if self._put_off:
            with self.pipe_or_acquire() as pipe:
                pipe.execute()

    def restore_unacked_once(self, stderr: Any = None) -> None:  # noqa: ANN401
        """Give back at the end what is not acknowledged."""
        with suppress(*kombu_redis.Transport.connection_errors):
            self.catch_up()
        super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]


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
