"""Tell waiting callers at once that something is over; a lost word costs only time.

Redis publish/subscribe, with a look at Postgres every second beside it: a caller
learns of the end even if Redis is wiped, restarted or away.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Protocol

import redis

from orchestration.errors import TransportError

__all__ = ["EndWaiter", "Ends", "Log"]

logger = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0


class Log(Protocol):
    """Where ends are on record."""

    def over(self, ids: Sequence[str], /) -> Sequence[str]:
        """Return which of these are no longer on their way."""


class Ends:
    """The channel on which ends are told.

    Args:
        redis_url: Where it is.
        key_prefix: Before its name, to share one server.
        of: The word for what ends.
    """

    def __init__(self, redis_url: str, key_prefix: str, of: str = "saga") -> None:
        self.of = of
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=2, socket_connect_timeout=2
        )
        self.channel = f"{key_prefix}orchestration:{of}-ended"

    def tell(self, ended_id: str) -> None:
        """Tell that one is over; nobody may be listening, and that is fine."""
        try:
            self._redis.publish(self.channel, ended_id)
        except redis.RedisError as exc:
            # The waiter looks at Postgres anyway.
            logger.warning("end of %s %s not told: %s", self.of, ended_id, exc)

    def listen(self) -> redis.client.PubSub:
        """Return a subscription to the channel."""
        subscription: redis.client.PubSub = self._redis.pubsub(  # type: ignore[no-untyped-call]  # redis-py leaves it bare
            ignore_subscribe_messages=True
        )
        subscription.subscribe(self.channel)
        return subscription

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class EndWaiter:
    """One thread per process that resolves futures when what they are for is over."""

    def __init__(self, log: Log, ends: Ends) -> None:
        self._log = log
        self._ends = ends
        self._waiting: dict[str, list[Future[None]]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def wait_for(self, ended_id: str) -> Future[None]:
        """Return a future that is done once that is no longer on its way.

        Who waits no longer cancels it.
        """
        future: Future[None] = Future()
        future.add_done_callback(lambda future: self._forget(ended_id, future))
        with self._lock:
            self._waiting.setdefault(ended_id, []).append(future)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"{self._ends.of}-ends", daemon=True
                )
                self._thread.start()
        return future

    def _forget(self, ended_id: str, future: Future[None]) -> None:
        with self._lock:
            futures = self._waiting.get(ended_id, [])
            if future in futures:
                futures.remove(future)
            if not futures:
                self._waiting.pop(ended_id, None)

    def close(self) -> None:
        """End the thread; who still waits is told that it is in vain."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=3)
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for ended_id, futures in waiting.items():
            what = f"{self._ends.of} {ended_id}"
            closed = f"the message bus was closed; {what} goes on without it"
            for future in futures:
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(TransportError(closed))

    def _resolve(self, ended_id: str) -> None:
        with self._lock:
            futures = self._waiting.pop(ended_id, [])
        for future in futures:
            with contextlib.suppress(InvalidStateError):  # its waiter has gone away
                future.set_result(None)

    def _run(self) -> None:
        subscription: redis.client.PubSub | None = None
        looked_at = 0.0
        while not self._closed.is_set():
            try:
                subscription = subscription or self._ends.listen()
                message = subscription.get_message(timeout=0.2)
                if message is not None:
                    self._resolve(message["data"].decode(errors="replace"))
            except redis.RedisError:
                subscription = None
                self._closed.wait(0.2)
            except Exception:  # the edge of a thread: all who wait depend on it
                logger.warning("ends of %ss not heard", self._ends.of, exc_info=True)
                self._closed.wait(0.2)
            if time.monotonic() > looked_at + _LOOK_EVERY_S:
                looked_at = time.monotonic()
                self._look()
        if subscription is not None:
            subscription.close()

    def _look(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        if not waiting:
            return
        try:
            for ended_id in self._log.over(waiting):
                self._resolve(ended_id)
        except Exception:  # the edge of a thread: it must go on, and say so
            logger.warning("could not look for ended %ss", self._ends.of, exc_info=True)
