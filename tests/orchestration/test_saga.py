"""Sagas as an app uses them: real workers, seen through ``orchestration.saga`` only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import (
    InvalidSaga,
    SagaCompensated,
    SagaCompensationFailed,
    SagaConflict,
    SagaFailed,
    SagaNotFound,
    SagaPaused,
    UnknownAgent,
)
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step

pytestmark = pytest.mark.integration

MODULES = "tests.support.effects_agents,tests.orchestration.meeting_agents"


def test_saga_execution_success(front: Front, effects: Effects) -> None:
    transaction = linear(3)
    result = front.execute(transaction, customer="c-1")
    assert (result["s1"], result["s2"], result["s3"]) == (1, 1, 1)
    status = front.status(transaction.transaction_id)
    assert status.state is SagaState.COMPLETED
    assert status.completed_steps == ("s1", "s2", "s3")
    assert effects.lines(status.saga_id, "do") == ["s1", "s2", "s3"]
    assert front.types(status.saga_id) == [
        "SAGA_STARTED",
        *("STEP_STARTED", "STEP_COMPLETED") * 3,
        "SAGA_COMPLETED",
    ]


def test_saga_execution_failure(front: Front, effects: Effects) -> None:
    transaction = linear(3, s3={"fail": "always"})
    with pytest.raises(SagaCompensated) as caught:
        front.execute(transaction)
    status = caught.value.status
    assert (status.failed_step, status.steps[2].attempts) == ("s3", 2)
    assert status.error == {"type": "ValueError", "message": "s3 fails always"}
    assert effects.left(status.saga_id) == set()
    assert "step 's3' gave up (ValueError: s3 fails always)" in str(caught.value)


# --- the order of steps


def test_dependency_resolution(front: Front, effects: Effects) -> None:
    transaction = SagaTransaction(
        "diamond",
        [
            step("join", "left", "right"),
            step("left", "root"),
            step("right", "root"),
            step("root"),
            step("last", "join"),
        ],
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPLETED
    done = effects.lines(status.saga_id, "do")
    assert sorted(done) == ["join", "last", "left", "right", "root"]
    assert (done[0], done[3:]) == ("root", ["join", "last"])
    assert status.result["seen"] == ["join", "left", "right", "root"]


def test_a_step_starts_when_its_own_dependencies_are_done_not_when_a_level_is(
    front: Front, gate: Callable[[], Path]
) -> None:
    """The long branch ends only once the step after the short one has been done."""
    long_ends = gate()
    transaction = SagaTransaction(
        "no levels",
        [
            step("short"),
            step("long", wait_for_file=str(long_ends)),
            step("after_short", "short"),
            step("after_long", "long"),
        ],
    )
    saga_id = front.start(transaction)
    front.await_event(saga_id, "STEP_COMPLETED", step="after_short")
    assert front.told(saga_id, "STEP_COMPLETED")[-1]["step"] == "after_short"
    long_ends.touch()
    status = front.wait(saga_id)
    assert status.completed_steps == ("short", "after_short", "long", "after_long")


def test_circular_dependency_detection(front: Front) -> None:
    transaction = SagaTransaction(
        "circle", [step("a", "c"), step("b", "a"), SagaStep("c", "x", depends_on="b")]
    )
    with pytest.raises(InvalidSaga, match="a cycle: a -> c -> b -> a") as caught:
        front.start(transaction)
    assert len(caught.value.faults) == 1
    with pytest.raises(SagaNotFound):
        asyncio.run(front.saga.history(transaction.transaction_id))


def test_every_fault_of_a_definition_is_told_at_once_and_nothing_is_started(
    front: Front,
) -> None:
    transaction = SagaTransaction(
        "faulty",
        [
            step("a", timeout_ms=0),
            step("b", read_only=True),
            step("b", "ghost"),
            step("c", is_pivot=True, on_unknown="RETRY", when="total >"),
            step("d", is_pivot=True, wait_for="word"),
        ],
        timeout_ms=-1,
        locks=["{}"],
    )
    with pytest.raises(InvalidSaga) as caught:
        front.start(transaction)
    told = " | ".join(caught.value.faults)
    for words in (
        "timeout_ms is -1: give it 1 to",
        "lock '{}': '' is no key; name one as {key}",
        "2 pivots (c, d): make one of them the pivot",
        "step 'a': timeout_ms is 0: give it 1 to",
        "step 'b': it is read_only and has a compensation: drop one of them",
        "step 'c': it is the pivot and on_unknown is RETRY",
        "step 'c': when: ",
        "step 'd': it has agent_id, action, compensation and calls no agent",
        "step 'b' is there 2 times: names must be unique",
        "step 'b' depends on 'ghost', which is no step of it: use one of",
    ):
        assert words in told
    with pytest.raises(SagaNotFound):
        front.status(transaction.transaction_id)


def test_agents_and_actions_that_no_worker_has_are_refused_before_the_start(
    front: Front,
) -> None:
    inner = SagaTransaction("inner", [SagaStep("x", "agent-nobody", action="act")])
    transaction = SagaTransaction(
        "strangers",
        [
            step("a", action="no_such_action"),
            step("b", probe="no_such_probe"),
            SagaStep("c", action="celery:no.such.task"),
            SagaStep("d", saga=inner),
        ],
    )
    with pytest.raises(UnknownAgent) as caught:
        front.start(transaction)
    told = " | ".join(caught.value.faults)
    assert len(caught.value.faults) == 4
    assert "no worker hosts action 'no_such_action' of agent 'agent-effects'" in told
    assert "no worker hosts action 'no_such_probe' of agent 'agent-effects'" in told
    assert "no worker has the task 'no.such.task': start `celery -A tasks" in told
    assert "no worker hosts action 'act' of agent 'agent-nobody'" in told
    with pytest.raises(SagaNotFound):
        front.status(transaction.transaction_id)


# --- retries


def test_a_failed_attempt_is_made_again_when_its_backoff_is_over(
    front: Front,
) -> None:
    policy = {"max_attempts": 3, "backoff_ms": 100, "multiplier": 2.0, "jitter": 0.0}
    status = front.run(linear(1, s1={"fail": "always", "retry_policy": policy}))
    assert status.steps[0].attempts == 3
    _, start1, fail1, start2, fail2, start3, fail3, *_ = front.history(status.saga_id)
    for failed, following, wait_ms in ((fail1, start2, 100), (fail2, start3, 200)):
        # The wait began a moment before the failure was recorded.
        due_ms = failed.data["retry_at_ms"]
        assert due_ms - failed.recorded_at.timestamp() * 1_000 <= wait_ms + 1
        assert due_ms <= following.recorded_at.timestamp() * 1_000
    assert "retry_at_ms" not in fail3.data
    assert start1.data["attempt"] == 1


def test_jitter_shortens_a_wait_by_up_to_its_share(front: Front) -> None:
    """Of eight draws one is shorter by a tenth, but once in a hundred million times."""
    policy = {"max_attempts": 2, "backoff_ms": 1_000, "jitter": 1.0}
    each = step("each", map="items", fail="once", retry_policy=policy)
    status = front.run(SagaTransaction("jitter", [each]), items=[*range(8)])
    waits = [
        failed.data["retry_at_ms"] - failed.recorded_at.timestamp() * 1_000
        for failed in front.history(status.saga_id)
        if failed.type == "STEP_FAILED"
    ]
    assert len(waits) == 8
    # The wait began a moment before the failure was recorded.
    assert max(waits) <= 1_001
    assert min(waits) < 900
    assert status.state is SagaState.COMPLETED


def test_an_error_named_non_retryable_ends_its_step_at_once(front: Front) -> None:
    policy = {"max_attempts": 5, "non_retryable": ["ValueError"]}
    status = front.run(linear(2, s2={"fail": "always", "retry_policy": policy}))
    assert (status.failed_step, status.steps[1].attempts) == ("s2", 1)
    assert status.compensated_steps == ("s1",)


def test_attempts_of_one_effect_share_a_key_and_their_numbers_grow(
    front: Front, effects: Effects
) -> None:
    status = front.run(linear(2, s1={"fail": "unseen"}, s2={"fail": "for good"}))
    saga_id = status.saga_id
    done = effects.all(saga_id, what="do")
    assert [effect.attempt for effect in done] == [1, 2]
    assert {effect.key for effect in done} == {f"{saga_id}:s1:do:1"}
    [undone] = effects.all(saga_id, what="undo")
    assert (undone.key, undone.round) == (f"{saga_id}:s1:undo:1", 1)


# --- undoing


def test_backward_compensation(front: Front, effects: Effects) -> None:
    status = front.run(linear(4, s4={"fail": "for good"}))
    assert status.state is SagaState.COMPENSATED
    assert effects.lines(status.saga_id, "undo") == ["s3", "s2", "s1"]
    assert status.compensated_steps == ("s3", "s2", "s1")


def test_forward_compensation(front: Front, effects: Effects) -> None:
    transaction = linear(4, s4={"fail": "for good"}, compensation_strategy="FORWARD")
    status = front.run(transaction)
    assert effects.lines(status.saga_id, "undo") == ["s1", "s2", "s3"]
    assert status.compensated_steps == ("s1", "s2", "s3")


def test_parallel_compensation(front: Front) -> None:
    """Each undo waits for the other: one after the other they would never end."""
    together = {"action": "arrive", "compensation": "meet", "timeout_ms": 20_000}
    transaction = SagaTransaction(
        "meeting",
        [
            SagaStep("a", "agent-meeting", metadata={"others": ["b"]}, **together),
            SagaStep("b", "agent-meeting", metadata={"others": ["a"]}, **together),
            step("c", fail="for good"),
        ],
        compensation_strategy="PARALLEL",
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert set(status.compensated_steps) == {"a", "b"}
    assert [step.undo_attempts for step in status.steps] == [1, 1, 0]


def test_selective_compensation_undoes_what_is_marked_and_what_failed(
    front: Front, effects: Effects
) -> None:
    transaction = linear(
        4,
        s2={"compensate": True},
        s4={"fail": "for good"},
        compensation_strategy="SELECTIVE",
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert effects.lines(status.saga_id, "undo") == ["s4", "s2"]
    assert status.kept_steps == ("s1", "s3")


def test_cascade_compensation_undoes_dependents_first_and_branches_together(
    front: Front,
) -> None:
    """The branches' undos wait for each other; the root's comes after both."""
    meet = {"action": "arrive", "compensation": "meet", "timeout_ms": 20_000}
    transaction = SagaTransaction(
        "cascade",
        [
            step("root"),
            SagaStep(
                "left",
                "agent-meeting",
                depends_on=["root"],
                metadata={"others": ["right"]},
                **meet,
            ),
            SagaStep(
                "right",
                "agent-meeting",
                depends_on=["root"],
                metadata={"others": ["left"]},
                **meet,
            ),
            step("end", "left", "right", fail="for good"),
        ],
        compensation_strategy="CASCADE",
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert set(status.compensated_steps[:2]) == {"left", "right"}
    assert status.compensated_steps[2] == "root"


def test_siblings_of_a_failed_step_are_told_and_settle_before_anything_is_undone(
    front: Front, effects: Effects, gate: Callable[[], Path]
) -> None:
    """The sibling ends only because it hears that the saga gives up."""
    fails = gate()
    transaction = SagaTransaction(
        "siblings",
        [
            step("first"),
            step("stubborn", "first", action="work_until_cancelled"),
            step("failing", "first", fail="afterwards", wait_for_file=str(fails)),
            step("never", "stubborn"),
        ],
    )
    saga_id = front.start(transaction)
    effects.await_begin(saga_id, "stubborn")
    fails.touch()
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert effects.left(status.saga_id) == set()
    types = front.types(status.saga_id)
    stubborn = front.await_event(status.saga_id, "STEP_COMPLETED", step="stubborn")
    assert types.index("COMPENSATION_STARTED") >= stubborn.version
    assert effects.lines(status.saga_id, "do").count("never") == 0


def test_what_cannot_be_undone_is_named_unless_it_only_reads(front: Front) -> None:
    transaction = linear(
        4,
        s1={"compensation": None, "read_only": True},
        s2={"compensation": None},
        s4={"fail": "for good"},
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert status.uncompensated_steps == ("s2",)
    assert status.compensated_steps == ("s3",)


def test_a_failing_undo_halts_the_others_and_is_a_dead_letter(
    front: Front, effects: Effects
) -> None:
    transaction = linear(3, s2={"undo_fail": "for good"}, s3={"fail": "for good"})
    with pytest.raises(SagaCompensationFailed) as caught:
        front.execute(transaction)
    status = caught.value.status
    assert status.failed_compensations == ("s2",)
    assert effects.left(status.saga_id) == {"s1", "s2"}
    [letter] = asyncio.run(front.saga.dead_letters(status.saga_id))
    assert (letter.step, letter.name, letter.tries) == ("s2", "linear", 0)
    assert letter.error == {"type": "NonRetryable", "message": "s2 fails for good"}
    assert letter in asyncio.run(front.saga.dead_letters())


def test_a_failing_undo_leaves_the_others_to_go_on_if_the_saga_says_so(
    front: Front, effects: Effects
) -> None:
    transaction = linear(
        4,
        s2={"undo_fail": "for good"},
        s4={"fail": "for good"},
        on_compensation_failure="CONTINUE",
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATION_FAILED
    assert status.compensated_steps == ("s3", "s1")
    assert effects.left(status.saga_id) == {"s2"}


def test_a_failing_undo_is_tried_again_by_its_own_policy(front: Front) -> None:
    undo = {"max_attempts": 3, "backoff_ms": 10}
    transaction = linear(
        2,
        s1={"undo_fail": "once", "compensation_retry_policy": undo},
        s2={"fail": "for good"},
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert status.steps[0].undo_attempts == 2


def test_a_saga_that_halts_on_failure_is_left_as_it_stands(
    front: Front, effects: Effects
) -> None:
    transaction = linear(3, s3={"fail": "for good"}, on_failure="HALT")
    with pytest.raises(SagaFailed) as caught:
        front.execute(transaction)
    status = caught.value.status
    assert status.state is SagaState.FAILED
    assert status.failed_step == "s3"
    assert effects.left(status.saga_id) == {"s1", "s2"}
    assert front.types(status.saga_id)[-1] == "SAGA_HALTED"


# --- the pivot


def test_pivot_point_no_compensation(front: Front, effects: Effects) -> None:
    transaction = linear(
        3, s2={"is_pivot": True}, s3={"compensation": None, "fail": "always"}
    )
    with pytest.raises(SagaPaused) as caught:
        front.execute(transaction)
    status = caught.value.status
    assert (status.failed_step, status.completed_steps) == ("s3", ("s1", "s2"))
    assert effects.lines(status.saga_id, "undo") == []
    assert "COMPENSATION_STARTED" not in front.types(status.saga_id)


def test_the_pivot_starts_when_all_that_does_not_follow_it_is_done(
    front: Front, gate: Callable[[], Path], effects: Effects
) -> None:
    side_ends = gate()
    transaction = SagaTransaction(
        "pivot waits",
        [
            step("before"),
            step("pivot", "before", is_pivot=True),
            step("aside", "before", compensation=None, wait_for_file=str(side_ends)),
        ],
    )
    saga_id = front.start(transaction)
    effects.await_begin(saga_id, "aside")
    assert effects.lines(saga_id, "begin") == ["before", "aside"]
    side_ends.touch()
    assert front.wait(saga_id).completed_steps == ("before", "aside", "pivot")


def test_a_pivot_that_fails_has_what_came_before_it_undone(
    front: Front, effects: Effects
) -> None:
    transaction = linear(
        3, s2={"is_pivot": True, "fail": "for good"}, s3={"compensation": None}
    )
    status = front.run(transaction)
    assert status.state is SagaState.COMPENSATED
    assert effects.lines(status.saga_id, "undo") == ["s1"]


def test_pivot_rules_are_kept_at_the_door(front: Front) -> None:
    transaction = SagaTransaction(
        "rules",
        [
            step("a"),
            step("p", "a", is_pivot=True),
            step("after", "p"),
            step("beside", "a"),
        ],
    )
    with pytest.raises(InvalidSaga) as caught:
        front.start(transaction)
    assert caught.value.faults == (
        (
            "step 'after' comes after the pivot 'p' and has a compensation, which "
            "could never run: drop it"
        ),
        (
            "step 'beside' can be undone and has no order to the pivot 'p': make the "
            "pivot depend on it, or it on the pivot"
        ),
    )


# --- data and identity


def test_a_step_sees_the_initial_data_overlaid_by_its_ancestors(front: Front) -> None:
    transaction = SagaTransaction(
        "data",
        [
            step("a", returns={"x": "a", "y": "a"}),
            step("b", "a", returns={"y": "b"}),
            step("c", "b", returns={}, shows=["x", "y", "z", "steps"]),
        ],
    )
    status = front.run(transaction, x="given", z="given")
    assert status.result["x"] == "a"
    assert status.result["y"] == "b"
    assert status.result["z"] == "given"
    assert status.result["steps"] == {"a": {"x": "a", "y": "a"}, "b": {"y": "b"}}


def test_two_unordered_steps_that_wrote_one_key_differently_conflict_at_their_join(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction(
        "conflict",
        [
            step("a", returns={"total": 1}),
            step("b", returns={"total": 2}),
            step("join", "a", "b"),
        ],
    )
    status = front.run(transaction)
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "join")
    assert status.error is not None
    assert status.error["type"] == "DataConflict"
    assert "'a' and 'b' both wrote 'total'" in status.error["message"]
    assert status.steps[2].attempts == 1
    assert effects.left(status.saga_id) == set()


def test_one_id_starts_one_saga_and_never_another(
    front: Front, effects: Effects
) -> None:
    transaction = linear(2)
    first = front.execute(transaction, amount=1)
    assert front.execute(transaction, amount=1) == first
    assert effects.lines(transaction.transaction_id, "do") == ["s1", "s2"]
    with pytest.raises(SagaConflict):
        front.start(transaction, amount=2)
    with pytest.raises(SagaConflict):
        front.start(linear(3, transaction_id=transaction.transaction_id), amount=1)


def test_a_saga_keeps_the_definition_that_it_began_with(
    front: Front, gate: Callable[[], Path]
) -> None:
    goes_on = gate()
    old = linear(2, s1={"wait_for_file": str(goes_on)})
    saga_id = front.start(old)
    started = front.await_event(saga_id, "SAGA_STARTED")
    assert started.data["definition"] == old.to_json()
    assert len(started.data["definition_hash"]) == 64
    # The code has changed meanwhile; this saga has not.
    changed = linear(1, transaction_id=saga_id)
    with pytest.raises(SagaConflict, match="exists with another definition"):
        front.start(changed)
    goes_on.touch()
    assert front.wait(saga_id).completed_steps == ("s1", "s2")
