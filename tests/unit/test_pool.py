"""When a process is handed its next task before it has ended the last."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.pool import Kinds, Loads, Prefork, _Pool

STEP = ("saga.step", "agent-ledger", "book")
A, B = 8, 12  # what processes are told apart by


def given(loads: Loads, tasks: int) -> list[int]:
    """Hand out tasks as Celery's event loop does; return who got them."""
    got: list[int] = []
    while len(got) < tasks and len(loads) < 2:
        process = next(one for one in (A, B) if one not in loads)
        loads.add(process)
        got.append(process)
    return got


def loads_of(*, ends_soon: tuple[int, ...]) -> Loads:
    return Loads(lambda: (A, B), lambda: ends_soon)


def test_each_process_gets_one_before_any_gets_a_second() -> None:
    assert given(loads_of(ends_soon=(A, B)), 3)[:2] == [A, B]


def test_where_tasks_end_soon_each_gets_a_second_and_no_third() -> None:
    assert sorted(given(loads_of(ends_soon=(A, B)), 9)) == [A, A, B, B]


def test_what_waits_behind_another_is_counted_until_it_begins() -> None:
    loads = loads_of(ends_soon=(A, B))
    seen = [loads.waiting]
    for process in (A, B, A):
        loads.add(process)
        seen.append(loads.waiting)
    loads.one_ended(A)
    seen.append(loads.waiting)
    loads.discard(A)
    assert [*seen, loads.waiting] == [0, 0, 0, 1, 0, 0]


def test_nothing_is_put_behind_what_takes_long() -> None:
    assert given(loads_of(ends_soon=(B,)), 9) == [A, B, B]
    assert given(loads_of(ends_soon=()), 9) == [A, B]


def test_nothing_is_put_behind_a_task_while_another_process_is_idle() -> None:
    loads = loads_of(ends_soon=(A, B))
    assert given(loads, 1) == [A]
    assert len(loads) == 1
    assert (A in loads, B in loads) == (True, False)


def test_a_process_that_ends_a_task_gets_another() -> None:
    loads = loads_of(ends_soon=(A, B))
    given(loads, 4)
    loads.one_ended(B)
    assert given(loads, 9) == [B]


def test_a_process_that_is_gone_is_forgotten_with_all_its_tasks() -> None:
    loads = loads_of(ends_soon=())
    given(loads, 2)
    loads.add(A)
    loads.discard(A)  # another process has the number now
    assert given(loads, 9) == [A]
    loads.one_ended(B)
    loads.one_ended(B)  # heard of twice
    assert given(loads, 9) == [B]


def test_after_a_lost_connection_what_is_in_the_pipes_still_counts() -> None:
    loads = loads_of(ends_soon=())
    loads.add(A)
    loads.add(A)
    loads.add(B)
    loads.intersection_update({A})
    assert (A in loads, B in loads) == (True, True)
    loads.one_ended(A)
    assert A in loads
    loads.one_ended(A)
    assert given(loads, 9) == [A]


def test_no_second_task_is_given_once_somebody_has_become_idle() -> None:
    loads = loads_of(ends_soon=(A, B))
    given(loads, 2)
    assert len(loads) == 0  # either may have another
    loads.one_ended(A)
    assert (A in loads, B in loads) == (False, True)


def test_a_new_connection_finds_the_same_loads() -> None:
    # Celery registers the pool anew, and goes on with some of what it had made before.
    pool: Any = object.__new__(_Pool)
    pool._busy_workers = set()
    for _ in range(2):
        with suppress(AttributeError):  # of Celery's own part, which lacks all else
            pool.register_with_event_loop(None)
    loads = pool._busy_workers
    assert isinstance(loads, Loads)
    with suppress(AttributeError):
        pool.register_with_event_loop(None)
    assert pool._busy_workers is loads
    assert pool._mark_worker_as_available == loads.one_ended


@pytest.mark.parametrize(
    ("size", "terminated", "soon"),
    [(100, None, {A}), (40_000, None, set()), (100, "TERM", set())],
)
def test_nothing_goes_behind_a_task_if_it_would_not_fit_or_that_is_to_be_killed(
    size: int, terminated: str | None, soon: set[int]
) -> None:
    request = SimpleNamespace(
        name=STEP[0], kwargs={"agent_id": STEP[1], "action": STEP[2]}
    )
    job = SimpleNamespace(
        _write_to=SimpleNamespace(inqW_fd=A),
        _time_accepted=None,
        _terminated=terminated,
        _callback=SimpleNamespace(__self__=request),
    )
    pool: Any = object.__new__(_Pool)
    pool._kinds, pool._cache = Kinds(), {1: job}
    pool._kinds.took(STEP, 0.01)
    pool.outbound_buffer = [SimpleNamespace(_payload=(b"", b"", size))]
    assert pool._ends_soon() == soon


def test_a_kind_is_short_once_it_is_known_to_be() -> None:
    kinds = Kinds()
    assert not kinds.is_short(STEP, 0.0)
    kinds.took(STEP, 0.01)
    assert kinds.is_short(STEP, 0.0)
    assert not kinds.is_short((*STEP[:2], "audit"), 0.0)


def test_a_task_that_is_late_is_not_short_whatever_its_kind() -> None:
    kinds = Kinds()
    kinds.took(STEP, 0.01)
    assert kinds.is_short(STEP, 0.04)
    assert not kinds.is_short(STEP, 0.2)


def test_a_kind_that_takes_seconds_now_and_then_is_not_short_just_after() -> None:
    kinds = Kinds()
    for _ in range(100):
        kinds.took(STEP, 0.01)
    kinds.took(STEP, 0.2)  # one hiccup
    assert kinds.is_short(STEP, 0.0)
    kinds.took(STEP, 3.0)
    assert not kinds.is_short(STEP, 0.0)
    for _ in range(60):
        kinds.took(STEP, 0.01)
    assert kinds.is_short(STEP, 0.0)


def test_the_pool_takes_two_tasks_for_each_process(monkeypatch: Any) -> None:
    grown: list[int] = []
    monkeypatch.setattr("celery.concurrency.prefork.TaskPool.on_start", lambda _: None)
    semaphore = SimpleNamespace(grow=grown.append)
    Prefork(limit=3, semaphore=semaphore).on_start()
    assert grown == [3]
