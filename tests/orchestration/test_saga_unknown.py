"""Outcomes that nobody knows: what each policy makes of them, and late results."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import PayloadTooLarge, SagaActRefused, SagaPaused
from orchestration.saga import SagaExecution, SagaState, SagaTransaction
from orchestration.saga_client import result_or_raise
from tests.support.front import Effects, Front, linear, step

pytestmark = pytest.mark.integration

PARTS = (
    (
        "-I",
        "tests.support.late_agents",
        "-P",
        "threads",
        "-c",
        "4",
        "-Q",
        "agents.late",
    ),
)

Gate = Callable[[], Path]
UNSEEN = {"fail": "unseen"}  # it took effect, and cannot tell
UNKNOWN = {"fail": "unknown"}  # it did not, and cannot tell


# --- retry and compensate


@pytest.mark.parametrize("how", [UNSEEN, UNKNOWN], ids=["unseen", "not there"])
def test_retry_makes_another_attempt_under_the_same_key(
    front: Front, effects: Effects, how: dict[str, str]
) -> None:
    status = front.run(linear(2, s1={**how, "on_unknown": "RETRY"}))
    assert status.state is SagaState.COMPLETED
    assert status.steps[0].attempts == 2
    keys = {e.key for e in effects.all(status.saga_id, what="do") if e.step == "s1"}
    assert keys == {f"{status.saga_id}:s1:do:1"}
    assert "STEP_UNKNOWN" in front.types(status.saga_id)


def test_after_its_recoveries_a_step_counts_as_done_and_is_undone(
    front: Front, effects: Effects
) -> None:
    status = front.run(
        linear(2, s2={**UNSEEN, "on_unknown": "RETRY", "max_recoveries": 0})
    )
    assert status.state is SagaState.COMPENSATED
    assert status.compensated_steps == ("s2", "s1")
    assert effects.left(status.saga_id) == set()


@pytest.mark.parametrize("how", [UNSEEN, UNKNOWN], ids=["unseen", "not there"])
def test_compensate_undoes_at_once_what_may_have_happened(
    front: Front, effects: Effects, how: dict[str, str]
) -> None:
    status = front.run(linear(3, s2={**how, "on_unknown": "COMPENSATE"}))
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "s2")
    assert status.steps[1].attempts == 1
    assert status.compensated_steps == ("s2", "s1")
    assert effects.left(status.saga_id) == set()


def test_a_worker_that_is_killed_leaves_an_unknown_outcome(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = linear(2, s1={"wait_for_file": str(ends), "on_unknown": "COMPENSATE"})
    saga_id = front.start(transaction)
    effects.await_begin(saga_id, "s1")
    [pid] = effects.pids(saga_id, "begin", "s1")
    os.kill(pid, signal.SIGKILL)
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    [lost] = front.told(saga_id, "STEP_UNKNOWN")
    assert lost["error"]["type"] == "WorkerLost"


# --- probe


def probed(**options: Any) -> dict[str, Any]:
    return {"probe": "look", "on_unknown": "PROBE", **options}


def test_a_probe_that_finds_the_effect_completes_the_step(
    front: Front, effects: Effects
) -> None:
    status = front.run(linear(3, s2=probed(**UNSEEN)))
    assert status.state is SagaState.COMPLETED
    assert effects.lines(status.saga_id, "do") == ["s1", "s2", "s3"]
    assert effects.lines(status.saga_id, "probe") == ["s2"]
    assert status.result["found"] is True
    [told] = front.told(status.saga_id, "STEP_PROBED")
    assert (told["verdict"], told["output"]) == ("done", {"found": True})


def test_a_probe_that_finds_nothing_has_the_step_tried_again(
    front: Front, effects: Effects
) -> None:
    status = front.run(linear(3, s2=probed(**UNKNOWN)))
    assert status.state is SagaState.COMPLETED
    assert status.steps[1].attempts == 2
    assert effects.lines(status.saga_id, "do") == ["s1", "s2", "s3"]
    assert front.told(status.saga_id, "STEP_PROBED")[0]["verdict"] == "not_done"


def test_a_step_that_did_nothing_and_has_no_recoveries_left_failed_cleanly(
    front: Front, effects: Effects
) -> None:
    status = front.run(linear(3, s2=probed(**UNKNOWN, max_recoveries=0)))
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "s2")
    assert status.compensated_steps == ("s1",)
    assert effects.lines(status.saga_id, "undo") == ["s1"]


@pytest.mark.parametrize("answer", ["nothing", "error"])
def test_a_probe_that_cannot_tell_leaves_it_to_a_person(
    front: Front, answer: str
) -> None:
    status = front.run(linear(3, s2=probed(**UNSEEN, probe_says=answer)))
    assert status.state is SagaState.PAUSED
    assert status.unresolved_steps == ("s2",)
    assert status.waiting_for == "outcome unknown"
    with pytest.raises(SagaPaused, match="s2 did it and cannot tell"):
        result_or_raise(status)
    asked = front.types(status.saga_id).count("STEP_PROBE_STARTED")
    assert asked == {"nothing": 1, "error": 2}[answer]  # errors are tried again


def test_a_cancel_while_an_outcome_is_asked_for_waits_for_the_answer(
    front: Front, effects: Effects, gate: Gate
) -> None:
    answers = gate()
    asked = probed(**UNSEEN, probe_waits_for=str(answers))
    saga_id = front.start(linear(2, s1=asked))
    front.await_event(saga_id, "STEP_PROBE_STARTED")
    front.act("cancel", saga_id)
    answers.touch()
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert effects.left(saga_id) == set()


# --- escalate and resolve


def test_escalate_pauses_and_a_person_says_that_it_happened(
    front: Front, effects: Effects
) -> None:
    saga_id = front.run(linear(3, s2={**UNSEEN, "on_unknown": "ESCALATE"})).saga_id
    with pytest.raises(SagaActRefused, match="or resolve s2"):
        front.act("resume", saga_id)
    with pytest.raises(SagaActRefused, match="say whether step 's2' took effect"):
        front.act("resolve", saga_id, "s2")
    with pytest.raises(SagaActRefused, match="steps of unknown outcome: s2"):
        front.act("resolve", saga_id, "s1", happened=True)
    with pytest.raises(PayloadTooLarge):
        front.act("resolve", saga_id, "s2", happened=True, output={"x": "y" * 300_000})
    front.act(
        "resolve",
        saga_id,
        "s2",
        happened=True,
        output={"receipt": "R-7"},
        by="ann",
        why="seen in the ledger",
    )
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPLETED
    assert (status.failed_step, status.result["receipt"]) == (None, "R-7")
    assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
    [told] = front.told(saga_id, "STEP_RESOLVED")
    assert (told["by"], told["why"]) == ("ann", "seen in the ledger")


def test_escalate_pauses_and_a_person_says_that_it_did_not_happen(
    front: Front, effects: Effects
) -> None:
    saga_id = front.run(linear(3, s2={**UNKNOWN, "on_unknown": "ESCALATE"})).saga_id
    front.act("resolve", saga_id, "s2", happened=False)
    status = front.wait(saga_id)
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "s2")
    assert status.compensated_steps == ("s1",)
    assert effects.lines(saga_id, "undo") == ["s1"]


def test_a_step_of_unknown_outcome_may_be_tried_again_by_a_person(
    front: Front, effects: Effects
) -> None:
    saga_id = front.run(linear(2, s1={**UNSEEN, "on_unknown": "ESCALATE"})).saga_id
    front.act("retry", saga_id)
    assert front.wait(saga_id).state is SagaState.COMPLETED
    attempts = [(e.attempt, e.key) for e in effects.all(saga_id, what="do")]
    assert attempts[:2] == [(1, f"{saga_id}:s1:do:1"), (2, f"{saga_id}:s1:do:1")]


def side_by_side(
    front: Front, effects: Effects, ends: Path, second: dict[str, Any]
) -> SagaExecution:
    """Run a step of unknown outcome and another, both begun before either ends."""
    wait = {"wait_for_file": str(ends)}
    transaction = SagaTransaction(
        "side by side",
        [
            step("a", **UNSEEN, **wait, on_unknown="ESCALATE"),
            step("b", **second, **wait),
            step("end", "a", "b"),
        ],
    )
    saga_id = front.start(transaction)
    effects.await_begin(saga_id, "a")
    effects.await_begin(saga_id, "b")
    ends.touch()
    return front.wait(saga_id)


def test_of_two_unknown_outcomes_the_second_still_waits_for_its_word(
    front: Front, effects: Effects, gate: Gate
) -> None:
    unknown = {**UNSEEN, "on_unknown": "ESCALATE"}
    status = side_by_side(front, effects, gate(), unknown)
    first, second = status.unresolved_steps
    saga_id = status.saga_id
    front.act("resolve", saga_id, first, happened=True, output={first: 1})
    still = front.await_state(saga_id, "PAUSED")
    assert (still.unresolved_steps, still.failed_step) == ((second,), second)
    front.act("resolve", saga_id, second, happened=True, output={second: 1})
    assert front.wait(saga_id).state is SagaState.COMPLETED


def test_an_outcome_that_is_resolved_beside_a_failed_step_is_undone_with_the_rest(
    front: Front, effects: Effects, gate: Gate
) -> None:
    status = side_by_side(front, effects, gate(), {"fail": "afterwards"})
    assert (status.state, status.unresolved_steps) == (SagaState.PAUSED, ("a",))
    front.act("resolve", status.saga_id, "a", happened=True)
    status = front.wait(status.saga_id)
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "b")
    assert effects.left(status.saga_id) == set()


# --- the pivot


def pivot(**options: Any) -> SagaTransaction:
    return linear(3, s2={"is_pivot": True, **options}, s3={"compensation": None})


def test_a_pivots_probe_decides(front: Front, effects: Effects) -> None:
    there = front.run(pivot(**probed(**UNSEEN)))
    assert there.completed_steps == ("s1", "s2", "s3")
    assert effects.lines(there.saga_id, "do") == ["s1", "s2", "s3"]
    anew = front.run(pivot(**probed(**UNKNOWN)))
    assert anew.completed_steps == ("s1", "s2", "s3")
    assert anew.steps[1].attempts == 2
    gone = front.run(pivot(**probed(**UNKNOWN, max_recoveries=0)))
    assert (gone.state, gone.compensated_steps) == (SagaState.COMPENSATED, ("s1",))
    silent = front.run(pivot(**probed(**UNSEEN, probe_says="nothing")))
    assert (silent.state, silent.unresolved_steps) == (SagaState.PAUSED, ("s2",))
    assert effects.lines(silent.saga_id, "undo") == []


def test_a_pivot_that_a_person_saw_commits_the_saga(
    front: Front, effects: Effects
) -> None:
    saga_id = front.run(pivot(**UNSEEN)).saga_id
    assert front.status(saga_id).unresolved_steps == ("s2",)
    front.act("resolve", saga_id, "s2", happened=True)
    assert front.wait(saga_id).completed_steps == ("s1", "s2", "s3")
    assert effects.lines(saga_id, "undo") == []


def test_a_pivot_that_a_person_denies_has_its_own_compensation_run_first(
    front: Front, effects: Effects
) -> None:
    saga_id = front.run(pivot(**UNKNOWN)).saga_id
    front.act("resolve", saga_id, "s2", happened=False)
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPENSATED
    assert effects.lines(saga_id, "undo") == ["s2", "s1"]
    assert status.unresolved_steps == ()


def test_a_cancel_does_not_touch_a_pivot_of_unknown_outcome(
    front: Front, effects: Effects
) -> None:
    saga_id = front.run(pivot(**UNSEEN)).saga_id
    front.act("cancel", saga_id)
    status = front.wait(saga_id)
    assert (status.state, status.unresolved_steps) == (SagaState.PAUSED, ("s2",))
    assert effects.lines(saga_id, "undo") == []
    front.act("resolve", saga_id, "s2", happened=True)
    assert front.wait(saga_id).completed_steps == ("s1", "s2", "s3")
    assert "SAGA_CANCEL_REFUSED" in front.types(saga_id)


# --- late results


def late(ends: Path, **options: Any) -> SagaTransaction:
    """Return a saga whose first step outlives its time, in a thread.

    Its undo, which has as much, is done in time on a busy host too.
    """
    given = {"timeout_ms": 4_000, "on_unknown": "COMPENSATE"} | options
    slow = replace(
        step("slow", wait_for_file=str(ends), **given), agent_id="agent-late"
    )
    return SagaTransaction("late", [step("s1"), replace(slow, depends_on=["s1"])])


def test_an_effect_that_lands_after_its_undo_is_undone_again_in_a_new_round(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    status = front.run(late(ends))
    saga_id = status.saga_id
    assert (status.state, effects.lines(saga_id, "undo")) == (
        SagaState.COMPENSATED,
        ["slow", "s1"],
    )
    ends.touch()
    front.await_event(saga_id, "STEP_LATE_RESULT", step="slow")
    assert front.wait(saga_id).state is SagaState.COMPENSATED
    seen = [(e.what, e.step, e.round) for e in effects.all(saga_id)]
    assert seen[-2:] == [("do", "slow", 1), ("undo", "slow", 2)]
    keys = [e.key for e in effects.all(saga_id, what="undo") if e.step == "slow"]
    assert keys == [f"{saga_id}:slow:undo:1", f"{saga_id}:slow:undo:2"]
    [told] = front.told(saga_id, "STEP_LATE_RESULT")
    assert (told["landed"], told["attempt"]) == (True, 1)


def test_a_late_result_of_a_former_attempt_is_recorded_and_changes_nothing(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    transaction = late(ends, on_unknown="RETRY", max_recoveries=1)
    saga_id = front.start(transaction)
    # The second attempt waits for the same file; it has all its time before it.
    effects.await_begin(saga_id, "slow", count=2)
    ends.touch()
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPLETED
    front.await_event(saga_id, "STEP_LATE_RESULT", attempt=1)
    assert front.status(saga_id).result["slow"] == 2
    assert effects.lines(saga_id, "undo") == []
