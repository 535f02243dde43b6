"""When a worker takes messages before a process of it is free."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.fetching import Pace

PROCESSES = 2


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
