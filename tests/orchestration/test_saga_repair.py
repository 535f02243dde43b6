"""What operators do for sagas that stand still: retry, rewind, skip, resolve, fork."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import SagaActRefused, SagaConflict
from orchestration.saga import SagaState, SagaTransaction
from tests.support.front import Effects, Front, linear, step

pytestmark = pytest.mark.integration

Gate = Callable[[], Path]


def letters(front: Front, saga_id: str) -> list[str]:
    return [one.step for one in asyncio.run(front.saga.dead_letters(saga_id))]


# --- retry


def test_a_halted_saga_is_retried_where_it_failed(
    front: Front, effects: Effects, gate: Gate
) -> None:
    mended = gate()
    transaction = linear(3, s2={"mended_by": str(mended)}, on_failure="HALT")
    failed = front.run(transaction)
    assert (failed.state, failed.failed_step) == (SagaState.FAILED, "s2")
    mended.touch()
    retried = front.act("retry", failed.saga_id, by="ann", why="mended")
    assert (retried.state, retried.failed_step) == (SagaState.RUNNING, None)
    status = front.wait(failed.saga_id)
    assert status.completed_steps == ("s1", "s2", "s3")
    done = effects.all(status.saga_id, what="do")
    assert [(e.step, e.attempt, e.round) for e in done] == [
        ("s1", 1, 1),
        ("s2", 2, 1),
        ("s3", 1, 1),
    ]
    assert front.told(status.saga_id, "SAGA_RETRIED") == [
        {"by": "ann", "why": "mended"}
    ]


def test_a_halted_saga_may_be_cancelled_instead(front: Front, effects: Effects) -> None:
    failed = front.run(linear(3, s3={"fail": "for good"}, on_failure="HALT"))
    front.act("cancel", failed.saga_id)
    status = front.wait(failed.saga_id)
    assert (status.state, status.is_cancelled) == (SagaState.COMPENSATED, True)
    assert effects.left(status.saga_id) == set()


def test_a_saga_that_paused_after_its_pivot_is_retried_and_only_that(
    front: Front, gate: Gate
) -> None:
    mended = gate()
    transaction = linear(
        3,
        s2={"is_pivot": True},
        s3={"compensation": None, "mended_by": str(mended)},
    )
    saga_id = front.run(transaction).saga_id
    with pytest.raises(SagaActRefused, match="it paused by itself"):
        front.act("resume", saga_id)
    with pytest.raises(SagaActRefused, match="point of no return is behind"):
        front.act("cancel", saga_id)
    with pytest.raises(SagaActRefused, match="the pivot 's2' comes after it"):
        front.act("retry", saga_id, from_step="s1")
    mended.touch()
    front.act("retry", saga_id)
    assert front.wait(saga_id).completed_steps == ("s1", "s2", "s3")


def test_a_saga_that_ran_out_of_time_after_its_pivot_gets_all_its_time_again(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = linear(
        3,
        s2={"is_pivot": True},
        s3={"compensation": None, "wait_for_file": str(ends)},
        timeout_ms=6_000,  # the pivot is done before, on a busy host too
    )
    saga_id = front.start(transaction)
    front.await_event(saga_id, "SAGA_TIMED_OUT")
    ends.touch()
    # What ran out of time and was done all the same is done.
    assert front.wait(saga_id).state is SagaState.COMPLETED
    assert effects.lines(saga_id, "undo") == []


def test_retry_fits_only_sagas_that_failed_or_paused_by_themselves(
    front: Front,
) -> None:
    completed = front.run(linear(1)).saga_id
    with pytest.raises(SagaActRefused, match="retry is for sagas that failed"):
        front.act("retry", completed)
    undone = front.run(linear(1, s1={"fail": "for good"})).saga_id
    with pytest.raises(SagaActRefused, match="fork it"):
        front.act("retry", undone)
    halted = front.run(linear(1, s1={"fail": "for good"}, on_failure="HALT")).saga_id
    with pytest.raises(SagaActRefused, match="its steps are s1"):
        front.act("retry", halted, from_step="ghost")


# --- retry from a step


def test_a_retry_from_a_completed_step_undoes_it_and_what_follows_and_does_it_anew(
    front: Front, effects: Effects, gate: Gate
) -> None:
    mended = gate()
    transaction = linear(4, s4={"mended_by": str(mended)}, on_failure="HALT")
    saga_id = front.run(transaction).saga_id
    mended.touch()
    front.act("retry", saga_id, from_step="s2", by="ann")
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPLETED
    assert [(e.what, e.step, e.attempt, e.round) for e in effects.all(saga_id)] == [
        *(("begin", "s1", 1, 1), ("do", "s1", 1, 1)),
        *(("begin", "s2", 1, 1), ("do", "s2", 1, 1)),
        *(("begin", "s3", 1, 1), ("do", "s3", 1, 1)),
        *(("undo", "s3", 1, 1), ("undo", "s2", 1, 1)),
        *(("begin", "s2", 2, 2), ("do", "s2", 2, 2)),
        *(("begin", "s3", 2, 2), ("do", "s3", 2, 2)),
        *(("begin", "s4", 2, 2), ("do", "s4", 2, 2)),
    ]
    keys = [e.key for e in effects.all(saga_id, what="do") if e.step == "s2"]
    assert keys == [f"{saga_id}:s2:do:1", f"{saga_id}:s2:do:2"]
    [rewound] = front.told(saga_id, "SAGA_REWOUND")
    assert (rewound["by"], rewound["from_step"]) == ("ann", "s2")


def test_what_was_done_anew_is_undone_under_a_new_key(
    front: Front, effects: Effects, gate: Gate
) -> None:
    first, second = gate(), gate()
    transaction = linear(
        3,
        s2={"mended_by": str(first)},
        s3={"mended_by": str(second)},
        on_failure="HALT",
    )
    saga_id = front.run(transaction).saga_id
    first.touch()
    front.act("retry", saga_id, from_step="s1")
    assert front.wait(saga_id).failed_step == "s3"
    front.act("cancel", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    undone = [(e.step, e.key) for e in effects.all(saga_id, what="undo")]
    assert undone == [
        ("s1", f"{saga_id}:s1:undo:1"),
        ("s2", f"{saga_id}:s2:undo:1"),
        ("s1", f"{saga_id}:s1:undo:2"),
    ]


def test_a_step_that_cannot_be_undone_is_not_done_anew(front: Front) -> None:
    transaction = linear(
        2, s1={"compensation": None}, s2={"fail": "for good"}, on_failure="HALT"
    )
    saga_id = front.run(transaction).saga_id
    with pytest.raises(SagaActRefused, match="s1 cannot be undone"):
        front.act("retry", saga_id, from_step="s1")


def test_a_rewind_whose_undo_fails_goes_on_once_that_is_settled(
    front: Front, effects: Effects, gate: Gate
) -> None:
    mended, undo_mended = gate(), gate()
    transaction = linear(
        3,
        s2={"undo_mended_by": str(undo_mended)},
        s3={"mended_by": str(mended)},
        on_failure="HALT",
    )
    saga_id = front.run(transaction).saga_id
    mended.touch()
    front.act("retry", saga_id, from_step="s2")
    stuck = front.wait(saga_id)
    assert stuck.failed_compensations == ("s2",)
    undo_mended.touch()
    front.act("retry", saga_id)
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPLETED
    assert effects.lines(saga_id, "do") == ["s1", "s2", "s2", "s3"]
    assert letters(front, saga_id) == []


# --- failed undos


@pytest.fixture
def stuck(front: Front, gate: Gate) -> tuple[str, Path]:
    """A saga whose second undo fails until a file is there."""
    mended = gate()
    transaction = linear(3, s2={"undo_mended_by": str(mended)}, s3={"fail": "for good"})
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATION_FAILED
    assert letters(front, status.saga_id) == ["s2"]
    return status.saga_id, mended


def test_a_failed_undo_is_retried_and_the_rest_is_undone(
    front: Front, effects: Effects, stuck: tuple[str, Path]
) -> None:
    saga_id, mended = stuck
    mended.touch()
    front.act("retry", saga_id, by="ann")
    status = front.wait(saga_id)
    assert (status.state, status.failed_compensations) == (SagaState.COMPENSATED, ())
    assert status.compensated_steps == ("s2", "s1")
    assert effects.left(saga_id) == set()
    assert letters(front, saga_id) == []
    undone = [(e.step, e.attempt, e.key) for e in effects.all(saga_id, what="undo")]
    assert undone[0] == ("s2", 2, f"{saga_id}:s2:undo:1")


def test_an_undo_that_fails_again_stays_a_dead_letter(
    front: Front, stuck: tuple[str, Path]
) -> None:
    saga_id, _ = stuck
    front.act("retry", saga_id, from_step="s2")
    assert front.wait(saga_id).state is SagaState.COMPENSATION_FAILED
    [letter] = asyncio.run(front.saga.dead_letters(saga_id))
    assert (letter.step, letter.tries) == ("s2", 1)


def test_a_failed_undo_is_skipped_and_its_effect_told(
    front: Front, effects: Effects, stuck: tuple[str, Path]
) -> None:
    saga_id, _ = stuck
    with pytest.raises(SagaActRefused, match="failed: s2"):
        front.act("skip", saga_id, "s1")
    front.act("skip", saga_id, "s2", by="ann", why="worth 3 cents")
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert status.uncompensated_steps == ("s2",)
    assert effects.left(saga_id) == {"s2"}
    assert letters(front, saga_id) == []
    [told] = front.told(saga_id, "COMPENSATION_SKIPPED")
    assert told == {"by": "ann", "why": "worth 3 cents", "step": "s2"}


def test_a_failed_undo_is_resolved_as_undone_by_hand(
    front: Front, effects: Effects, stuck: tuple[str, Path]
) -> None:
    saga_id, _ = stuck
    front.act("resolve", saga_id, "s2", why="deleted by hand")
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert status.compensated_steps == ("s2", "s1")
    assert status.uncompensated_steps == ()
    assert effects.lines(saga_id, "undo") == ["s1"]
    assert letters(front, saga_id) == []


def test_of_several_failed_undos_each_is_settled_by_itself(
    front: Front, gate: Gate
) -> None:
    mended = gate()
    transaction = linear(
        4,
        s1={"undo_fail": "for good"},
        s2={"undo_mended_by": str(mended)},
        s3={"undo_fail": "for good"},
        s4={"fail": "for good"},
        on_compensation_failure="CONTINUE",
    )
    saga_id = front.run(transaction).saga_id
    assert sorted(letters(front, saga_id)) == ["s1", "s2", "s3"]
    front.act("skip", saga_id, "s3")
    assert front.wait(saga_id).failed_compensations == ("s2", "s1")
    mended.touch()
    front.act("retry", saga_id, from_step="s2")
    assert front.wait(saga_id).failed_compensations == ("s1",)
    [letter] = asyncio.run(front.saga.dead_letters(saga_id))
    assert (letter.step, letter.tries) == ("s1", 0)  # it was not tried again
    front.act("resolve", saga_id, "s1")
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert status.uncompensated_steps == ("s3",)


# --- replay


def test_undos_are_replayed_under_new_keys(front: Front, effects: Effects) -> None:
    saga_id = front.run(linear(3, s3={"fail": "for good"})).saga_id
    front.act("replay_compensation", saga_id, by="ann")
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    undone = [(e.step, e.attempt, e.round) for e in effects.all(saga_id, what="undo")]
    assert undone == [("s2", 1, 1), ("s1", 1, 1), ("s2", 2, 2), ("s1", 2, 2)]
    keys = {e.key for e in effects.all(saga_id, what="undo")}
    assert len(keys) == 4
    front.act("replay_compensation", saga_id, from_step="s1")
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    assert effects.lines(saga_id, "undo")[4:] == ["s1"]
    with pytest.raises(SagaActRefused, match="'s3' was not to be undone"):
        front.act("replay_compensation", saga_id, from_step="s3")


def test_only_what_was_undone_is_replayed(front: Front) -> None:
    saga_id = front.run(linear(1)).saga_id
    with pytest.raises(SagaActRefused, match="only what has been undone"):
        front.act("replay_compensation", saga_id)


# --- fork


def test_a_saga_is_forked_with_its_data_or_with_others(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction(
        "original",
        [step("s1", shows=["amount"]), step("s2", "s1", fail="for good")],
        search_attributes={"customer": "c-7"},
    )
    saga_id = front.run(transaction, amount=1).saga_id
    same = asyncio.run(front.saga.fork(saga_id, by="ann", why="try again"))
    other = asyncio.run(front.saga.fork(saga_id, initial_data={"amount": 2}))
    assert len({saga_id, same, other}) == 3
    assert front.wait(same).result["amount"] == 1
    assert front.wait(other).result["amount"] == 2
    started = front.await_event(same, "SAGA_STARTED").data
    assert started["forked_from"] == saga_id
    assert (started["by"], started["why"]) == ("ann", "try again")
    assert front.status(same).search_attributes == {"customer": "c-7"}
    assert effects.lines(same, "do") == ["s1"]


def test_a_fork_of_one_id_is_begun_once(front: Front) -> None:
    saga_id = front.run(linear(1), amount=1).saga_id
    fork = front.saga.fork
    new = f"{saga_id}-again"
    assert asyncio.run(fork(saga_id, transaction_id=new)) == new
    assert asyncio.run(fork(saga_id, transaction_id=new)) == new
    assert front.wait(new).state is SagaState.COMPLETED
    with pytest.raises(SagaConflict):
        asyncio.run(fork(saga_id, transaction_id=new, initial_data={"amount": 9}))
