"""Heartbeats of this process on their way to the broker, many in one message.

A thread gathers what comes within 20 ms, at most 1,000, and sends it as one task. Each
caller is told when the broker has its heartbeat.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from celery import Celery

from orchestration.adapters.publishing import Publisher
from orchestration.contracts import HEARTBEATS_QUEUE, REGISTRY_HEARTBEAT, HeartbeatItem
from orchestration.core.registry.packed import MAX_BATCH
from orchestration.errors import TransportError

__all__ = ["HeartbeatSender", "good_ms"]

_GATHER_S: Final = 0.02
_CLOSE_S: Final = 5.0
_LEAST_GOOD_MS: Final = 2_000  # however short the interval is: queues have their delay


def good_ms(interval_s: float) -> int:
    """Return for how long a heartbeat counts: one interval, milliseconds.

    Later on it says nothing of now: after an outage of those that take heartbeats, what
    waited for them must not bring back agents that have died since.
    """
    return max(_LEAST_GOOD_MS, round(interval_s * 1_000))


@dataclass(slots=True)
class _Batch:
    """What goes in one message: of each agent the latest; and who waits for it."""

    heartbeats: dict[str, Mapping[str, float]] = field(default_factory=dict)
    until_ms: dict[str, int] = field(default_factory=dict)
    sent: Future[None] = field(default_factory=Future)


class HeartbeatSender:
    """Sends heartbeats; for any number of threads and loops.

    Args:
        app: A Celery app whose broker confirms messages (``make_producer``), of the
            sender's own: it is closed with it.
        confirmed: Called in the sender's thread with the heartbeats of each message
            that the broker has, before their callers are told.
    """

    def __init__(
        self,
        app: Celery,
        confirmed: Callable[[Sequence[tuple[str, Mapping[str, float]]]], None]
        | None = None,
    ) -> None:
        self._app, self._confirmed = app, confirmed
        self._publisher = Publisher(app, "they are lost, unless they are sent again")
        self._sender, self._number = uuid4().hex[:8], 0
        self._batches: deque[_Batch] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def send(
        self, agent_id: str, metrics: Mapping[str, float], *, until_ms: int
    ) -> Future[None]:
        """Return a future that is done once the broker has the heartbeat.

        Of several heartbeats of one agent in one message the last is sent. Those that
        go in one message share the future: do not cancel it.

        Args:
            agent_id: Whose it is.
            metrics: Free of faults.
            until_ms: When it does not count any more, wherever it is by then; epoch
                milliseconds by Redis' time, which no sender's clock changes.
        """
        with self._lock:
            if self._is_closed:
                raise TransportError("the message bus was closed: no heartbeat is sent")
            if not self._batches or len(self._batches[-1].heartbeats) == MAX_BATCH:
                self._batches.append(_Batch())
            batch = self._batches[-1]
            batch.heartbeats[agent_id] = metrics
            batch.until_ms[agent_id] = until_ms
            if self._thread is None:
                self._begin()
        if not self._wake.is_set():
            self._wake.set()
        return batch.sent

    def close(self) -> None:
        """Send what waits, and end."""
        with self._lock:
            self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        atexit.unregister(self.close)
        self._publisher.close()
        self._app.close()

    def _begin(self) -> None:
        self._thread = threading.Thread(
            target=self._run, name="registry-heartbeats", daemon=True
        )
        self._thread.start()
        # A script that never closes the bus still has its heartbeats sent.
        atexit.register(self.close)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if not self._is_closed:
                threading.Event().wait(_GATHER_S)
            self._wake.clear()
            is_last = self._is_closed
            while batch := self._take():
                self._publish(batch)
                # The next to come are gathered again: each message has its price.
                if len(batch.heartbeats) < MAX_BATCH and not is_last:
                    break
            if is_last:
                return

    def _take(self) -> _Batch | None:
        with self._lock:
            return self._batches.popleft() if self._batches else None

    def _publish(self, batch: _Batch) -> None:
        self._number += 1
        heartbeats = [
            HeartbeatItem(
                agent_id=agent_id, metrics=metrics, until_ms=batch.until_ms[agent_id]
            )
            for agent_id, metrics in batch.heartbeats.items()
        ]
        link: dict[str, Any] = {
            "task": REGISTRY_HEARTBEAT,
            "kwargs": {
                "heartbeats": heartbeats,
                "sender": self._sender,
                "number": self._number,
            },
            "options": {
                "queue": HEARTBEATS_QUEUE,
                "argsrepr": f"{len(heartbeats)} heartbeats",
                "kwargsrepr": "{}",
            },
        }
        try:
            self._publisher.publish(link, args=())
            if self._confirmed is not None:
                self._confirmed(tuple(batch.heartbeats.items()))
        except Exception as exc:  # noqa: BLE001  the edge of a thread: callers are told
            batch.sent.set_exception(exc)
        else:
            batch.sent.set_result(None)
