"""Answers to requests: a stream in Redis for each process that asks.

A worker adds an answer, one thread of the process reads. A stream, since what is read
from it stays there: a connection that breaks in between loses no answer. It vanishes
ten minutes after the last answer. Nobody's truth is here: an answer that is lost is a
request that timed out.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import redis

from orchestration.core.messaging.model import Message
from orchestration.errors import TransportError

__all__ = ["ReplyInbox", "ReplySender"]

logger = logging.getLogger(__name__)

_KEPT_S: Final = 600
_MAX_KEPT: Final = 10_000
_BLOCK_MS: Final = 1_000
_AT_ONCE: Final = 500
_REMEMBERED: Final = 10_000
_FIELD: Final = b"m"


class ReplySender:
    """Sends answers to whoever asked."""

    def __init__(self, redis_url: str) -> None:
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=2, socket_connect_timeout=2
        )

    def send(self, reply_to: str, reply: Message) -> bool:
        """Send an answer; return whether it went, for nothing else depends on it."""
        pipe = self._redis.pipeline(transaction=False)
        body = json.dumps(reply.to_json(), separators=(",", ":"))
        pipe.xadd(reply_to, {_FIELD: body}, maxlen=_MAX_KEPT, approximate=True)
        pipe.expire(reply_to, _KEPT_S)
        try:
            pipe.execute()
        except redis.RedisError as exc:
            logger.warning("answer %s not sent: %s", reply.message_id, exc)
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class ReplyInbox:
    """Where one process's answers come in: one thread resolves who waits for them.

    Attributes:
        address: Where answers have to be sent.
        late: How many answers came when nobody waited any more.
        doubled: How many answers came to what was answered already.
    """

    def __init__(self, redis_url: str, key_prefix: str) -> None:
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=5, socket_connect_timeout=2
        )
        self.address = f"{key_prefix}orchestration:replies:{uuid4().hex}"
        self.late = 0
        self.doubled = 0
        self._waiting: dict[str, Future[Message]] = {}
        self._answered: deque[str] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def expect(self, request_id: str) -> Future[Message]:
        """Return a future for the first answer to a request; cancel it to give up.

        Raises:
            ValueError: Somebody waits for an answer to that very request.
        """
        future: Future[Message] = Future()
        with self._lock:
            if request_id in self._waiting:
                raise ValueError(f"request {request_id!r} is under way already")
            self._waiting[request_id] = future
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="replies", daemon=True
                )
                self._thread.start()
        future.add_done_callback(lambda done: self._forget(request_id, done))
        return future

    def _forget(self, request_id: str, future: Future[Message]) -> None:
        with self._lock:
            if self._waiting.get(request_id) is future:
                del self._waiting[request_id]

    def close(self) -> None:
        """End the thread; who still waits is told that it is in vain."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=_BLOCK_MS / 1_000 + 1)
        with suppress(redis.RedisError):
            self._redis.delete(self.address)
        self._redis.close()
        with self._lock:
            waiting = [*self._waiting.values()]
        for future in waiting:
            with suppress(InvalidStateError):
                future.set_exception(
                    TransportError("the message bus was closed before the answer came")
                )

    def _run(self) -> None:
        position = b"0-0"
        while not self._closed.is_set():
            try:
                position = self._read(position)
            except redis.RedisError as exc:
                logger.warning("answers not heard: %s", exc)
                self._closed.wait(0.2)
            except Exception:  # the edge of a thread: all who wait depend on it
                logger.warning("an answer was not understood", exc_info=True)

    def _read(self, position: bytes) -> bytes:
        """Resolve what came after a position; return where to go on."""
        pipe = self._redis.pipeline(transaction=False)
        # What has been read goes, with the same round trip.
        pipe.xtrim(self.address, minid=position, approximate=False)
        pipe.xread({self.address: position}, count=_AT_ONCE, block=_BLOCK_MS)
        entries = _entries(pipe.execute()[1])
        for entry_id, fields in entries:
            position = entry_id
            try:
                reply = Message.from_json(json.loads(fields[_FIELD]))
            except (KeyError, TypeError, ValueError):
                logger.warning("an answer was not understood", exc_info=True)
                continue
            self._resolve(reply)
        return position

    def _resolve(self, reply: Message) -> None:
        request_id = reply.causation_id or ""
        with self._lock:
            future = self._waiting.pop(request_id, None)
            if future is None:
                self._count(request_id)
                return
            self._answered.append(request_id)
        with suppress(InvalidStateError):  # its waiter has just gone away
            future.set_result(reply)

    def _count(self, request_id: str) -> None:
        if request_id in self._answered:
            self.doubled += 1
        else:
            self.late += 1


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:  # noqa: ANN401
    """Return what XREAD has brought, by either of Redis' protocols."""
    if not answer:
        return []
    found = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    if (
        found
        and isinstance(found[0], list)
        and found[0]
        and isinstance(found[0][0], list)
    ):
        found = found[0]  # as RESP3 has it: one list more
    return [(entry_id, fields) for entry_id, fields in found]
