"""When a worker takes messages before a process of it is free."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.thread import TaskPool as ThreadPool
from celery.worker import state

from tasks import fetching
from tasks.fetching import FetchAhead, Pace
from tasks.pool import Prefork

PROCESSES = 2


class Pool(Prefork):
    num_processes = PROCESSES
    waiting = 0


def consumer(
    *, pool: type = Pool, broker: str = "redis", has_room: bool = False
) -> Any:
    """Return what Celery gives a step of its consumer; nothing of it runs."""
    qos = SimpleNamespace(can_consume=lambda: has_room, later=None)
    return SimpleNamespace(
        connection=SimpleNamespace(transport=SimpleNamespace(driver_type=broker)),
        pool=object.__new__(pool),
        hub=SimpleNamespace(call_later="the hub's"),
        task_consumer=SimpleNamespace(channel=SimpleNamespace(qos=qos)),
        qos=qos,
    )


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> set[object]:
    """The messages that a worker has; its tasks are short."""
    messages: set[object] = set()
    monkeypatch.setattr(state, "reserved_requests", messages)
    monkeypatch.setattr(state, "active_requests", set())
    monkeypatch.setattr(fetching, "Pace", lambda: SimpleNamespace(is_quick=quick))
    return messages


def quick(*_: object) -> bool:
    return True


@dataclass
class Worker:
    """A worker whose tasks take as long as the test says."""

    now: float = 1_000.0
    begun: int = 0

    def __post_init__(self) -> None:
        self.pace = Pace(lambda: self.now)

    def is_quick(self, *, longest_s: float | None = 0.01) -> bool:
        since = None if longest_s is None else self.now - longest_s
        return self.pace.is_quick(PROCESSES, self.begun, since)

    def work(self, seconds: float, *, task_s: float) -> None:
        """Let both processes do task after task for so long."""
        self.now += seconds
        self.begun += round(PROCESSES * seconds / task_s)


def test_a_worker_that_has_just_begun_takes_nothing_ahead() -> None:
    assert not Worker().is_quick(longest_s=None)


def test_while_tasks_are_short_it_takes_some_ahead() -> None:
    worker = Worker()
    worker.work(1, task_s=0.02)
    assert worker.is_quick()
    worker.work(0.1, task_s=0.02)
    assert worker.is_quick()


def test_while_tasks_are_long_it_takes_none() -> None:
    worker = Worker()
    worker.work(20, task_s=2)
    assert not worker.is_quick()


def test_behind_one_long_task_nothing_is_to_wait() -> None:
    worker = Worker()
    worker.work(1, task_s=0.02)
    assert not worker.is_quick(longest_s=0.3)
    assert worker.is_quick()


def test_what_was_quick_long_ago_is_not_quick_now() -> None:
    worker = Worker()
    worker.work(1, task_s=0.02)
    assert worker.is_quick()
    worker.now += 60
    assert not worker.is_quick()


def test_as_many_again_are_taken_as_there_are_processes(taken: set[object]) -> None:
    worker = consumer()
    FetchAhead(worker).start(worker)
    for number in range(2 * PROCESSES):
        assert worker.qos.can_consume()
        taken.add(number)
    assert not worker.qos.can_consume()
    assert worker.qos.later == "the hub's"


def test_what_there_is_room_for_is_taken_at_any_pace(
    taken: set[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "Pace", Pace)  # which has just begun: not quick
    full, free = consumer(), consumer(has_room=True)
    for worker in (full, free):
        FetchAhead(worker).start(worker)
    taken.add("message")
    assert (full.qos.can_consume(), free.qos.can_consume()) == (False, True)


def test_what_waits_behind_a_long_task_keeps_no_process_from_its_next(
    taken: set[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "Pace", Pace)  # nothing is quick while that goes on
    monkeypatch.setattr(Pool, "waiting", 1)
    worker = consumer()
    FetchAhead(worker).start(worker)
    taken |= {"a long one", "what waits behind it"}
    assert worker.qos.can_consume()
    taken.add("what the other process does")
    assert not worker.qos.can_consume()


@pytest.mark.parametrize(
    "other", [{"pool": ThreadPool}, {"broker": "amqp"}], ids=["threads", "rabbitmq"]
)
def test_other_pools_and_brokers_are_left_alone(other: Any, taken: set[object]) -> None:
    worker = consumer(**other)
    FetchAhead(worker).start(worker)
    assert not worker.qos.can_consume()
    assert worker.qos.later is None
    assert not taken
