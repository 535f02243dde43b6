"""Hands a process its next task before the last is over, where both are short.

Between the end of a task and the next there is a round through the worker's main
process, in which a process that does short tasks stands idle a quarter of its time. So
the next task is written into its pipe ahead, and begins without that round.

A task behind one that takes long would wait in vain while other processes are free. So
none is put behind a task of a kind that takes long, or is not known yet, and none while
another process has nothing to do. Celery itself gives a task that waited in the
pipe of a process which died to another one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool

__all__ = ["Kind", "Kinds", "Loads", "Prefork"]

_SHORT_S: Final = 0.05
_WEIGHT: Final = 0.05
"""Of the newest in the mean of a kind: one that took 3 s counts for twenty others."""

_KNOWN_KINDS: Final = 10_000
_HELD: Final = 2  # tasks that a process may have: one at work, one waiting
_FITS_BYTES: Final = 32_768
"""What is put behind a task is to fit the pipe, for nobody reads it before that ends.

When the broker's connection is lost, Celery waits until all that it began to write is
written.
"""

Kind = tuple[str, ...]


class Kinds:
    """Which kinds of tasks are short: by how long they take, what is old counting less.

    A kind of which every hundredth takes seconds is short, but not right after those.
    """

    def __init__(self) -> None:
        self._mean_s: dict[Kind, float] = {}

    def took(self, kind: Kind, seconds: float) -> None:
        """Remember how long a task of that kind has taken."""
        mean_s = self._mean_s.get(kind, seconds)
        if len(self._mean_s) >= _KNOWN_KINDS:
            self._mean_s.clear()
        self._mean_s[kind] = mean_s + _WEIGHT * (seconds - mean_s)

    def is_short(self, kind: Kind, at_work_s: float) -> bool:
        """Tell whether a task at work for so long already will soon be over."""
        mean_s = self._mean_s.get(kind)
        return mean_s is not None and mean_s <= _SHORT_S and at_work_s <= _SHORT_S


class Loads:
    """How many tasks each process has; stands for Celery's set of busy processes.

    Processes are told apart by the file number of their pipe. One that is *in* it is
    given no task.

    Args:
        processes: Returns those that there are.
        ends_soon: Returns of which of them each task ends soon.
    """

    def __init__(
        self,
        processes: Callable[[], Iterable[int]],
        ends_soon: Callable[[], Iterable[int]],
    ) -> None:
        self._processes = processes
        self._ends_soon = ends_soon
        self._held: Counter[int] = Counter()
        self._full: set[int] = set()

    def add(self, process: int) -> None:
        """Count a task that is written to a process."""
        self._held[process] += 1
        self._full.add(process)

    def one_ended(self, process: int) -> None:
        """Count a task that is over."""
        if self._held[process] > 1:
            self._held[process] -= 1
        else:
            self.discard(process)

    def discard(self, process: int) -> None:
        """Forget a process that is gone, or has nothing to do."""
        self._held.pop(process, None)
        # There is somebody idle now: nobody else is given a second task.
        self._full = set(self._held)

    def intersection_update(self, at_work: Iterable[int]) -> None:
        """Forget nothing: Celery asks for that when a connection is lost.

        It forgets the tasks that were written and have not begun, and those are in the
        processes' pipes: they will be done, and each will be heard of as ended.
        """
        del at_work
        self._full = set(self._held)

    @property
    def waiting(self) -> int:
        """How many tasks wait behind another one of their process."""
        return self._held.total() - len(self._held)

    def __contains__(self, process: object) -> bool:
        return process in self._full

    def __len__(self) -> int:
        """Return how many are given none; Celery asks once before it hands out."""
        processes = tuple(self._processes())
        full = {one for one in processes if self._held[one]}
        if len(full) == len(processes):  # nobody is idle
            full -= {one for one in self._ends_soon() if self._held[one] < _HELD}
        self._full = full
        return len(full)


class _Pool(AsynPool):
    """Celery's pool of processes with ``Loads`` for its set of busy ones."""

    _busy_workers: Any

    def register_with_event_loop(self, hub: Any) -> None:  # noqa: ANN401
        """Take part in the event loop of the worker's main process.

        Celery calls it again for each new connection to the broker, and some of what it
        made first stays: so there is one ``Loads`` for good.
        """
        if not isinstance(self._busy_workers, Loads):
            loads = Loads(lambda: self._all_inqueues, self._ends_soon)
            self._busy_workers = loads
            self._mark_worker_as_available = loads.one_ended
            self._kinds = Kinds()
        super().register_with_event_loop(hub)

    def on_job_ready(self, job: int, i: int, obj: object, inqW_fd: int) -> None:  # noqa: N803  as Celery calls it
        """Take in that a task is over."""
        known = self._cache.get(job)
        if known is not None and known._time_accepted:  # noqa: SLF001
            took_s = time.monotonic() - known._time_accepted  # noqa: SLF001
            self._kinds.took(_kind_of(known), took_s)
        super().on_job_ready(job, i, obj, inqW_fd)

    def _ends_soon(self) -> set[int]:
        """Return the processes all of whose tasks are likely to be over soon.

        None if the next task does not fit a pipe, and none that is about to be killed.
        """
        if self.outbound_buffer[0]._payload[2] > _FITS_BYTES:  # noqa: SLF001
            return set()
        now = time.monotonic()
        soon: set[int] = set()
        late: set[int] = set()
        for job in self._cache.values():
            if job._write_to is None:  # noqa: SLF001
                continue
            begun_at = job._time_accepted or now  # noqa: SLF001
            is_short = self._kinds.is_short(_kind_of(job), now - begun_at)
            is_short &= job._terminated is None  # noqa: SLF001
            (soon if is_short else late).add(job._write_to.inqW_fd)  # noqa: SLF001
        return soon - late


class Prefork(TaskPool):
    """Celery's pool, handed twice as many tasks as it has processes when it starts.

    More than one for each process come only if the consumer fetches them ahead.
    """

    Pool = _Pool

    @property
    def waiting(self) -> int:
        """How many tasks wait in the pipe of a process that does another one."""
        loads = self._pool._busy_workers  # noqa: SLF001
        return loads.waiting if isinstance(loads, Loads) else 0

    def on_start(self) -> None:
        """Start the processes."""
        semaphore = self.options.get("semaphore")
        if semaphore is not None:
            semaphore.grow(self.limit * (_HELD - 1))
        super().on_start()


def _kind_of(job: Any) -> Kind:  # noqa: ANN401  Celery's, which has no type
    """Return the task's name, and agent and action if it is a step."""
    request = getattr(job._callback, "__self__", None)  # noqa: SLF001
    if request is None:
        return ()
    words = request.kwargs or {}
    return (request.name, str(words.get("agent_id")), str(words.get("action")))
