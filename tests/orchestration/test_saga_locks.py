"""Named locks: who holds one, who waits, and what tells a former holder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from orchestration.errors import InvalidSaga
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

Gate = Callable[[], Path]


def locked(*names: str, **options: Any) -> SagaTransaction:
    return linear(2, locks=names, **options)


def waits_for_locks(front: Front, saga_id: str) -> bool:
    return (front.status(saga_id).waiting_for or "").startswith("the locks")


def test_two_sagas_on_one_lock_never_overlap_and_fences_grow(
    front: Front, effects: Effects
) -> None:
    transactions = [locked("company-{company}", s1={"sleep_s": 0.1}) for _ in range(3)]
    ids = [front.start(one, company=7) for one in transactions]
    other = front.start(locked("company-{company}"), company=8)
    assert {front.wait(one).state for one in [*ids, other]} == {SagaState.COMPLETED}
    # Read by the file's order, no saga begins before the one before it has ended.
    runs = [effect.saga_id for effect in effects.all(*ids)]
    assert runs == [one for one in ids for _ in range(4)]
    fences = [{effect.locks["company-7"] for effect in effects.all(one)} for one in ids]
    assert fences == [{1}, {2}, {3}]
    assert {tuple(e.locks.items()) for e in effects.all(other)} == {(("company-8", 1),)}
    [taken] = front.told(ids[1], "LOCKS_ACQUIRED")
    assert taken["locks"] == {"company-7": 2}


def test_who_waits_says_so_and_is_not_begun(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    holder = front.start(locked("door", s1={"wait_for_file": str(ends)}))
    effects.await_begin(holder, "s1")
    second = front.start(locked("door"))
    wait_until(lambda: waits_for_locks(front, second), "the second waits")
    status = front.status(second)
    assert (status.state, status.waiting_for) == (SagaState.WAITING, "the locks door")
    assert effects.all(second) == []
    ends.touch()
    assert front.wait(second).state is SagaState.COMPLETED


def test_a_lock_is_held_to_the_end_of_undoing(front: Front, effects: Effects) -> None:
    failing = locked("desk", s1={"undo_sleep_s": 0.3}, s2={"fail": "for good"})
    first = front.start(failing)
    effects.await_begin(first, "s1")
    second = front.start(locked("desk"))
    assert front.wait(first).state is SagaState.COMPENSATED
    assert front.wait(second).state is SagaState.COMPLETED
    order = [(e.saga_id, e.what) for e in effects.all(first, second)]
    assert order.index((first, "undo")) < order.index((second, "begin"))


def test_a_saga_that_needs_a_person_keeps_its_lock(
    front: Front, effects: Effects
) -> None:
    halted = front.run(locked("vault", s2={"fail": "for good"}, on_failure="HALT"))
    second = front.start(locked("vault"))
    wait_until(lambda: waits_for_locks(front, second), "the second waits")
    front.act("cancel", halted.saga_id)
    assert front.wait(second).state is SagaState.COMPLETED
    assert effects.left(halted.saga_id) == set()


def test_all_locks_are_taken_or_none(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    holder = front.start(locked("right", s1={"wait_for_file": str(ends)}))
    effects.await_begin(holder, "s1")
    both = front.start(locked("left", "right"))
    wait_until(lambda: waits_for_locks(front, both), "it waits for both")
    ends.touch()
    assert front.wait(both).state is SagaState.COMPLETED
    assert effects.all(both)[0].locks == {"left": 1, "right": 2}


def test_sagas_that_want_the_same_locks_in_another_order_all_end(front: Front) -> None:
    names = ("a", "b", "c")
    turned = [names[at:] + names[:at] for at in range(3)]
    ids = [front.start(locked(*turned[n % 3])) for n in range(6)]
    assert {front.wait(one).state for one in ids} == {SagaState.COMPLETED}


def test_a_saga_that_waits_for_a_lock_runs_out_of_time_honestly(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    holder = front.start(locked("slow", s1={"wait_for_file": str(ends)}))
    effects.await_begin(holder, "s1")
    second = front.run(locked("slow", timeout_ms=700))
    assert second.state is SagaState.COMPENSATED
    assert "SAGA_TIMED_OUT" in front.types(second.saga_id)
    assert effects.all(second.saga_id) == []
    third = front.start(locked("slow"))
    ends.touch()
    assert front.wait(third).state is SagaState.COMPLETED


def test_a_saga_is_cancelled_while_it_waits_for_a_lock(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    holder = front.start(locked("gone", s1={"wait_for_file": str(ends)}))
    effects.await_begin(holder, "s1")
    second, third = front.start(locked("gone")), front.start(locked("gone"))
    front.act("cancel", second)
    assert front.wait(second).state is SagaState.COMPENSATED
    ends.touch()
    assert front.wait(third).state is SagaState.COMPLETED
    assert effects.all(second) == []


def test_a_saga_that_is_paused_while_it_waits_lets_others_pass(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    holder = front.start(locked("pass", s1={"wait_for_file": str(ends)}))
    effects.await_begin(holder, "s1")
    second, third = front.start(locked("pass")), front.start(locked("pass"))
    wait_until(lambda: waits_for_locks(front, second), "the second waits")
    front.act("pause", second)
    ends.touch()
    assert front.wait(third).state is SagaState.COMPLETED
    front.act("resume", second)
    front.await_event(second, "LOCKS_ACQUIRED")
    assert front.wait(second).state is SagaState.COMPLETED


def test_a_saga_that_is_undone_again_takes_its_locks_again(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    first = front.run(locked("again", s2={"fail": "for good"})).saga_id
    second = front.start(locked("again", s1={"wait_for_file": str(ends)}))
    effects.await_begin(second, "s1")
    front.act("replay_compensation", first)
    wait_until(lambda: waits_for_locks(front, first), "the first waits for its lock")
    ends.touch()
    assert front.wait(first).state is SagaState.COMPENSATED
    assert front.wait(second).state is SagaState.COMPLETED
    done = effects.all(first, second)
    assert [(e.saga_id, e.what, e.locks["again"]) for e in done] == [
        *((first, "begin", 1), (first, "do", 1), (first, "undo", 1)),
        *((second, "begin", 2), (second, "do", 2)) * 2,
        (first, "undo", 3),
    ]


def test_a_completed_child_takes_its_locks_again_to_be_undone(
    front: Front, effects: Effects
) -> None:
    inner = linear(1, locks=["childs"])
    transaction = SagaTransaction(
        "family",
        [SagaStep("child", saga=inner), step("last", "child", fail="for good")],
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    child = status.child_ids["child"]
    fences = [(e.what, e.locks["childs"]) for e in effects.all(child)]
    assert fences == [("begin", 1), ("do", 1), ("undo", 2)]


def test_a_child_that_wants_its_parents_lock_fails_in_place_of_waiting_for_ever(
    front: Front,
) -> None:
    child = SagaStep("child", saga=linear(1, locks=["shop-{shop}"]))
    status = front.run(SagaTransaction("family", [child], locks=["shop-7"]), shop=7)
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "child")
    assert status.error is not None
    assert "it wants the locks shop-7, which saga" in status.error["message"]


def test_a_lock_by_a_key_that_the_data_do_not_have_is_refused(front: Front) -> None:
    transaction = locked("company-{company}")
    with pytest.raises(InvalidSaga, match="the data have no text or number 'company'"):
        front.start(transaction, compan=1)
    with pytest.raises(InvalidSaga, match="the data have no text or number 'company'"):
        front.start(transaction, company=[1])


def test_no_lock_is_left_when_all_are_over(front: Front, running: Stack) -> None:
    saga_id = front.run(locked("left-over")).saga_id
    engine = create_engine(running.env["DATABASE_URL"])
    with engine.connect() as connection:
        held = connection.exec_driver_sql(
            "SELECT count(*) FROM orch.saga_lock WHERE holder = %s", (saga_id,)
        ).scalar_one()
        waits = connection.exec_driver_sql(
            "SELECT count(*) FROM orch.lock_wait WHERE saga_id = %s", (saga_id,)
        ).scalar_one()
    engine.dispose()
    assert (held, waits) == (0, 0)
