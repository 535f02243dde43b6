"""Sagas that are steps of other sagas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import InvalidSaga
from orchestration.saga import SagaExecution, SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

Gate = Callable[[], Path]


def family(child: SagaTransaction, **options: Any) -> SagaTransaction:
    """Return a saga of three steps, the second of which runs another saga."""
    last = options.pop("last", {})
    runs = SagaStep(
        "child", saga=child, depends_on=["first"], **options.pop("step", {})
    )
    steps = [step("first"), runs, step("last", "child", **last)]
    return SagaTransaction("family", steps, **options)


def child_of(front: Front, saga_id: str, name: str = "child") -> str:
    """Return the id of a step's saga, once it has begun."""
    wait_until(
        lambda: name in front.status(saga_id).child_ids, f"{name} is a saga by now"
    )
    child = front.status(saga_id).child_ids[name]
    wait_until(lambda: front.bus.sagas.read(child).events, "it has begun")
    return child


def both(front: Front, saga_id: str) -> tuple[SagaExecution, SagaExecution]:
    parent = front.wait(saga_id)
    return parent, front.status(parent.child_ids["child"])


# --- forward


def test_a_child_saga_gets_its_steps_data_and_returns_its_result(
    front: Front, effects: Effects
) -> None:
    inner = SagaTransaction(
        "inner", [step("c1", returns={"price": 7}, shows=["amount", "first"])]
    )
    saga_id = front.start(family(inner), amount=3)
    parent, child = both(front, saga_id)
    assert (parent.state, child.state) == (SagaState.COMPLETED, SagaState.COMPLETED)
    assert child.result == {"price": 7, "amount": 3, "first": 1}
    assert parent.result["price"] == 7
    assert (child.parent_id, child.name) == (saga_id, "inner")
    assert effects.lines(saga_id, "do") == ["first", "last"]
    started = front.await_event(child.saga_id, "SAGA_STARTED").data
    assert started["parent"] == {"saga_id": saga_id, "step": "child"}
    waiting = front.await_event(saga_id, "STEP_WAITING").data
    assert waiting["for"] == {"saga": child.saga_id}


def test_the_parent_says_which_saga_it_waits_for(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    saga_id = front.start(family(linear(1, s1={"wait_for_file": str(ends)})))
    child = child_of(front, saga_id)
    effects.await_begin(child, "s1")
    status = front.status(saga_id)
    assert (status.state, status.waiting_for) == (SagaState.WAITING, f"saga {child}")
    assert status.steps[1].status == "AWAITING"
    ends.touch()
    assert front.wait(saga_id).state is SagaState.COMPLETED


def test_sagas_are_nested_and_undone_to_the_deepest(
    front: Front, effects: Effects
) -> None:
    deepest = linear(1, s1={})
    middle = SagaTransaction("middle", [SagaStep("child", saga=deepest)])
    transaction = family(middle, last={"fail": "for good"})
    parent, child = both(front, front.start(transaction))
    assert (parent.state, child.state) == (SagaState.COMPENSATED,) * 2
    grandchild = child.child_ids["child"]
    assert front.status(grandchild).state is SagaState.COMPENSATED
    assert effects.lines(grandchild, "undo") == ["s1"]


def test_each_item_may_have_a_saga_of_its_own(front: Front) -> None:
    inner = SagaTransaction("per item", [step("c", returns={}, shows=["item"])])
    transaction = SagaTransaction(
        "many", [SagaStep("each", saga=inner, map="orders"), step("end", "each")]
    )
    status = front.run(transaction, orders=["a", "b", "c"])
    assert status.state is SagaState.COMPLETED
    assert status.result["each"] == [{"item": "a"}, {"item": "b"}, {"item": "c"}]
    assert sorted(status.child_ids) == ["each[0]", "each[1]", "each[2]"]


# --- undoing


def test_a_child_that_fails_fails_its_step(front: Front, effects: Effects) -> None:
    inner = linear(2, s2={"fail": "for good"})
    parent, child = both(front, front.start(family(inner)))
    assert (parent.state, parent.failed_step) == (SagaState.COMPENSATED, "child")
    assert parent.error is not None
    assert parent.error["type"] == "NonRetryable"
    assert f"saga {child.saga_id} is COMPENSATED: s2 fails for good" in str(
        parent.error["message"]
    )
    assert effects.left(parent.saga_id) | effects.left(child.saga_id) == set()


def test_a_completed_child_is_undone_with_its_parent_and_in_its_place(
    front: Front, effects: Effects
) -> None:
    transaction = family(linear(2), last={"fail": "for good"})
    parent, child = both(front, front.start(transaction))
    assert (parent.state, child.state) == (SagaState.COMPENSATED,) * 2
    assert parent.compensated_steps == ("child", "first")
    undone = effects.all(parent.saga_id, child.saga_id, what="undo")
    assert [effect.step for effect in undone] == ["s2", "s1", "first"]
    [asked] = front.told(child.saga_id, "COMPENSATION_REQUESTED")
    assert asked == {"by": f"saga {parent.saga_id}", "why": "step child"}


def test_a_childs_failed_undo_is_its_steps(
    front: Front, effects: Effects, gate: Gate
) -> None:
    mended = gate()
    inner = linear(2, s1={"undo_mended_by": str(mended)}, s2={"fail": "for good"})
    parent, child = both(front, front.start(family(inner)))
    assert child.state is SagaState.COMPENSATION_FAILED
    assert parent.state is SagaState.COMPENSATION_FAILED
    assert parent.failed_compensations == ("child",)
    # First the child's undo is mended, then the parent's step is tried again.
    mended.touch()
    front.act("retry", child.saga_id)
    assert front.wait(child.saga_id).state is SagaState.COMPENSATED
    front.act("retry", parent.saga_id)
    parent = front.wait(parent.saga_id)
    assert parent.state is SagaState.COMPENSATED
    assert parent.compensated_steps == ("child", "first")
    assert effects.left(parent.saga_id) | effects.left(child.saga_id) == set()


def test_an_undo_that_fails_in_a_completed_child_is_its_steps(
    front: Front, gate: Gate
) -> None:
    mended = gate()
    inner = linear(1, s1={"undo_mended_by": str(mended)})
    transaction = family(inner, last={"fail": "for good"})
    parent, child = both(front, front.start(transaction))
    assert parent.failed_compensations == ("child",)
    assert child.failed_compensations == ("s1",)
    front.act("skip", child.saga_id, "s1")
    assert front.wait(child.saga_id).state is SagaState.COMPENSATED
    front.act("retry", parent.saga_id)
    assert front.wait(parent.saga_id).state is SagaState.COMPENSATED


def test_a_retry_of_the_parent_reaches_the_undo_that_failed_two_sagas_below(
    front: Front, effects: Effects, gate: Gate
) -> None:
    mended = gate()
    inner = linear(2, s1={"undo_mended_by": str(mended)}, s2={"fail": "for good"})
    middle = SagaTransaction("middle", [SagaStep("child", saga=inner)])
    parent, child = both(front, front.start(family(middle)))
    deepest = child.child_ids["child"]
    assert parent.failed_compensations == ("child",)
    mended.touch()
    front.act("retry", parent.saga_id)
    assert front.wait(parent.saga_id).state is SagaState.COMPENSATED
    assert front.status(deepest).state is SagaState.COMPENSATED
    assert effects.left(deepest) == set()


def test_a_child_that_failed_is_run_anew_by_a_retry_of_its_parent(
    front: Front, gate: Gate
) -> None:
    mended = gate()
    inner = linear(1, s1={"mended_by": str(mended)})
    parent, child = both(front, front.start(family(inner, on_failure="HALT")))
    assert (parent.state, child.state) == (SagaState.FAILED, SagaState.COMPENSATED)
    mended.touch()
    front.act("retry", parent.saga_id)
    again, other = both(front, parent.saga_id)
    assert (again.state, other.state) == (SagaState.COMPLETED,) * 2
    assert other.saga_id != child.saga_id


def test_a_rewind_undoes_a_child_and_runs_another(
    front: Front, effects: Effects, gate: Gate
) -> None:
    mended = gate()
    transaction = family(linear(1), last={"mended_by": str(mended)}, on_failure="HALT")
    parent, child = both(front, front.start(transaction))
    mended.touch()
    front.act("retry", parent.saga_id, from_step="child")
    again, other = both(front, parent.saga_id)
    assert again.state is SagaState.COMPLETED
    assert front.status(child.saga_id).state is SagaState.COMPENSATED
    assert (effects.left(child.saga_id), effects.left(other.saga_id)) == (
        set(),
        {"s1"},
    )


# --- cancel, pause, time


def test_a_cancel_flows_down_and_comes_back_undone(
    front: Front, effects: Effects
) -> None:
    inner = linear(2, s2={"action": "work_until_cancelled"})
    saga_id = front.start(family(inner))
    child = child_of(front, saga_id)
    effects.await_begin(child, "s2")
    front.act("cancel", saga_id, by="ann")
    parent = front.wait(saga_id)
    assert (parent.state, parent.is_cancelled) == (SagaState.COMPENSATED, True)
    status = front.status(child)
    assert (status.state, status.is_cancelled) == (SagaState.COMPENSATED, True)
    assert effects.left(saga_id) | effects.left(child) == set()


def test_a_pause_flows_down_and_so_does_the_resume(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    saga_id = front.start(family(linear(2, s1={"wait_for_file": str(ends)})))
    child = child_of(front, saga_id)
    effects.await_begin(child, "s1")
    front.act("pause", saga_id)
    front.await_state(child, "PAUSED")
    ends.touch()
    front.await_event(child, "STEP_COMPLETED", step="s1")
    assert front.status(child).waiting_for == f"paused by saga {saga_id}"
    front.act("resume", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPLETED
    assert effects.lines(child, "do") == ["s1", "s2"]


def test_a_pause_while_a_child_is_undone_flows_down_and_so_does_the_resume(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    inner = linear(2, s2={"undo_waits_for": str(ends)})
    saga_id = front.start(family(inner, last={"fail": "for good"}))
    child = child_of(front, saga_id)
    front.await_event(child, "STEP_COMPENSATION_STARTED", step="s2")
    front.act("pause", saga_id)
    front.await_state(child, "PAUSED")
    ends.touch()
    front.await_event(child, "STEP_COMPENSATED", step="s2")
    front.act("resume", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    assert effects.left(saga_id) | effects.left(child) == set()


def test_a_paused_saga_is_cancelled_also_while_its_child_is_being_undone(
    front: Front, gate: Gate
) -> None:
    ends = gate()
    inner = linear(3, s2={"undo_waits_for": str(ends)}, s3={"fail": "for good"})
    saga_id = front.start(family(inner))
    child = child_of(front, saga_id)
    front.await_event(child, "STEP_COMPENSATION_STARTED", step="s2")
    front.act("pause", saga_id)
    front.await_state(child, "PAUSED")
    front.act("cancel", saga_id)
    ends.touch()
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    assert front.status(child).state is SagaState.COMPENSATED


def test_a_child_that_an_operator_paused_stays_so_until_resumed(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    saga_id = front.start(family(linear(2, s1={"wait_for_file": str(ends)})))
    child = child_of(front, saga_id)
    effects.await_begin(child, "s1")
    front.act("pause", child, by="ann")
    # The parent hears of it, and looks after its child.
    front.act("pause", saga_id)
    front.act("resume", saga_id)
    ends.touch()
    front.await_event(child, "STEP_COMPLETED", step="s1")
    paused = front.await_event(child, "SAGA_PAUSED").recorded_at.timestamp()
    front.await_time(paused + 3)  # the sweep has looked at both by now
    assert front.status(child).is_on_hold
    assert "SAGA_RESUMED" not in front.types(child)
    front.act("resume", child, by="ann")
    assert front.wait(saga_id).state is SagaState.COMPLETED


def test_the_parents_deadline_ends_its_child(front: Front, effects: Effects) -> None:
    inner = linear(2, s1={"action": "work_until_cancelled"})
    # The child begins before it, on a busy host too.
    saga_id = front.start(family(inner, timeout_ms=6_000))
    parent, child = both(front, saga_id)
    assert (parent.state, child.state) == (SagaState.COMPENSATED,) * 2
    assert "SAGA_TIMED_OUT" in front.types(child.saga_id)
    started = front.await_event(child.saga_id, "SAGA_STARTED").data
    by_parent = parent.started_at.timestamp() * 1_000 + 6_000
    assert started["ends_by_ms"] <= by_parent
    assert effects.left(saga_id) | effects.left(child.saga_id) == set()


def test_a_step_may_give_its_saga_less_time(front: Front) -> None:
    inner = linear(2, s1={"action": "work_until_cancelled"})
    saga_id = front.start(family(inner, step={"timeout_ms": 700}))
    parent, child = both(front, saga_id)
    assert (parent.state, parent.failed_step) == (SagaState.COMPENSATED, "child")
    assert "SAGA_TIMED_OUT" in front.types(child.saga_id)
    assert "SAGA_TIMED_OUT" not in front.types(saga_id)


def test_a_parent_waits_while_its_child_stands_for_an_operator(
    front: Front, gate: Gate
) -> None:
    mended = gate()
    inner = linear(1, s1={"mended_by": str(mended)}, on_failure="HALT")
    saga_id = front.start(family(inner))
    child = child_of(front, saga_id)
    front.await_state(child, "FAILED")
    assert front.status(saga_id).waiting_for == f"saga {child}"
    mended.touch()
    front.act("retry", child)
    assert front.wait(saga_id).state is SagaState.COMPLETED


# --- the pivot


def with_pivot(**last: Any) -> SagaTransaction:
    return linear(
        2,
        s1={"is_pivot": True, "compensation": None},
        s2={"compensation": None, **last},
    )


def test_a_saga_with_a_pivot_is_the_pivot_or_comes_after_it(front: Front) -> None:
    with pytest.raises(InvalidSaga) as caught:
        front.start(family(with_pivot()))
    assert caught.value.faults == (
        (
            "step 'child' runs a saga that has a pivot: make the step this saga's "
            "pivot, or have it depend on the pivot"
        ),
    )
    pivot = SagaTransaction(
        "right",
        [
            step("first"),
            SagaStep("child", saga=with_pivot(), depends_on=["first"], is_pivot=True),
            SagaStep("more", saga=with_pivot(), depends_on=["child"]),
        ],
    )
    assert front.run(pivot).state is SagaState.COMPLETED


def test_a_child_past_its_pivot_refuses_the_cancel_and_the_parent_goes_on(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = SagaTransaction(
        "committed",
        [
            step("first"),
            SagaStep(
                "child",
                saga=with_pivot(wait_for_file=str(ends)),
                depends_on=["first"],
                is_pivot=True,
            ),
            step("last", "child", compensation=None),
        ],
    )
    saga_id = front.start(transaction)
    child = child_of(front, saga_id)
    effects.await_begin(child, "s2")
    front.act("cancel", saga_id)
    front.await_event(child, "SAGA_CANCEL_REFUSED")
    ends.touch()
    assert front.wait(saga_id).completed_steps == ("first", "child", "last")
    assert "SAGA_CANCEL_REFUSED" in front.types(saga_id)
    assert asyncio.run(front.saga.dead_letters(saga_id)) == ()
