"""Undos that failed for good, and how beat tries them again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestration.adapters.saga_index import DeadLetter
from orchestration.core.saga.acts import Who
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.engine.letters import try_again
from orchestration.saga import SagaState, SagaTransaction
from tasks.chores import letters
from tests.support.front import Effects, front_door, step
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

UNDO = Direction.UNDO
FOR_GOOD = Failed({"type": "X", "message": "x"}, retryable=False)
OPERATOR = Who("operator")
AGES_S = 1e9  # in which no tick of a schedule ends while a test runs


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    """Return a worker whose beat tries after 100 s, 200 s, and then no more."""
    monkeypatch.setenv("ORCHESTRATION_LETTER_RETRY_S", "100")
    monkeypatch.setenv("ORCHESTRATION_LETTER_MAX_TRIES", "2")
    with worker_side(database_url, redis_url, monkeypatch) as side:
        monkeypatch.setattr("tasks.chores.runtime", lambda _: side.rt)
        yield side


def stuck(side: WorkerSide, *names: str) -> str:
    """Return a saga in which the undos of these steps failed for good."""
    transaction = SagaTransaction(
        "stuck",
        [*(step(name) for name in names), step("fails", *names)],
        on_compensation_failure="CONTINUE",
    )
    saga_id = side.begin(transaction)
    for name in names:
        side.close(side.open(saga_id, name), Succeeded({}))
    side.close(side.open(saga_id, "fails"), FOR_GOOD)
    for name in reversed(names):
        side.close(side.open(saga_id, name, UNDO), FOR_GOOD)
    assert side.types(saga_id)[-1] == "COMPENSATION_FAILED"
    return saga_id


def listed(side: WorkerSide) -> dict[str, DeadLetter]:
    return {letter.step: letter for letter in side.rt.index.letters()}


def waits_s(letter: DeadLetter) -> float:
    """Return the time to the next try, rounded to what the settings say."""
    assert letter.next_try_at is not None
    return (
        round((letter.next_try_at - datetime.now(UTC)) / timedelta(seconds=100)) * 100
    )


def tick(side: WorkerSide, *due: str) -> int:
    """Let beat tick at the time when these letters are due."""
    side.run(
        "UPDATE orch.dead_letter SET next_try_at = now() WHERE step = ANY(%s)", [*due]
    )
    side.run("DELETE FROM orch.tick")
    return int(letters.run())


def test_waits_are_doubled_and_after_the_last_try_a_person_is_waited_for(
    side: WorkerSide,
) -> None:
    saga_id = stuck(side, "a")
    first = listed(side)["a"]
    assert (first.tries, waits_s(first)) == (0, 100)
    assert letters.run() == 0
    assert tick(side, "a") == 1
    side.close(side.open(saga_id, "a", UNDO), FOR_GOOD)
    second = listed(side)["a"]
    assert (second.tries, waits_s(second)) == (1, 200)
    assert tick(side, "a") == 1
    side.close(side.open(saga_id, "a", UNDO), FOR_GOOD)
    last = listed(side)["a"]
    assert (last.tries, last.next_try_at) == (2, None)
    assert last.since == first.since
    side.run("DELETE FROM orch.tick")
    assert letters.run() == 0


def test_a_try_says_in_the_history_that_it_was_automatic(side: WorkerSide) -> None:
    saga_id = stuck(side, "a")
    tick(side, "a")
    event = side.rt.log.read(saga_id).events[-1]
    assert event.type == "COMPENSATION_RETRIED"
    assert event.data == {"by": "beat", "why": "automatic try 1", "steps": ["a"]}
    assert side.sent.steps[-1] == "a"


def test_a_try_that_goes_well_settles_the_letter(side: WorkerSide) -> None:
    saga_id = stuck(side, "a")
    tick(side, "a")
    side.close(side.open(saga_id, "a", UNDO), Succeeded({}))
    assert side.types(saga_id)[-1] == "COMPENSATION_COMPLETED"
    assert listed(side) == {}


def test_no_try_is_made_where_the_limit_is_none(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_LETTER_MAX_TRIES", "0")
    with worker_side(database_url, redis_url, monkeypatch) as side:
        stuck(side, "a")
        assert listed(side)["a"].next_try_at is None


def test_what_an_operator_was_faster_with_is_left_alone(side: WorkerSide) -> None:
    saga_id = stuck(side, "a", "b")
    side.rt.desk.retry(saga_id, OPERATOR)
    before = side.types(saga_id)
    assert tick(side, "a", "b") == 1
    assert side.types(saga_id) == before


def test_of_two_letters_tried_the_one_that_is_undone_goes(side: WorkerSide) -> None:
    saga_id = stuck(side, "a", "b")
    assert tick(side, "a", "b") == 1
    side.close(side.open(saga_id, "b", UNDO), Succeeded({}))
    side.close(side.open(saga_id, "a", UNDO), FOR_GOOD)
    assert {name: one.tries for name, one in listed(side).items()} == {"a": 1}


def test_two_that_are_due_are_tried_together_and_the_third_keeps_its_time(
    side: WorkerSide,
) -> None:
    saga_id = stuck(side, "a", "b", "c")
    before = listed(side)["c"]
    assert tick(side, "a", "b") == 1
    assert side.rt.log.read(saga_id).events[-1].data["steps"] == ["b", "a"]
    for name in ("b", "a"):
        side.close(side.open(saga_id, name, UNDO), FOR_GOOD)
    assert listed(side)["c"] == before


def test_of_two_beats_that_find_one_letter_due_one_tries_it(side: WorkerSide) -> None:
    saga_id = stuck(side, "a")
    due_now = "UPDATE orch.dead_letter SET next_try_at = now()"
    side.run(due_now)
    frozen = side.rt.index.due_letters(200)
    side.run(due_now)  # a minute later, it is found by another
    assert try_again(side.rt.desk, side.rt.index.due_letters(200))
    side.close(side.open(saga_id, "a", UNDO), FOR_GOOD)
    before = listed(side)["a"]
    assert not try_again(side.rt.desk, frozen)
    assert listed(side)["a"] == before
    assert (before.tries, waits_s(before)) == (1, 200)


def test_a_letter_that_was_not_tried_keeps_its_time_and_its_tries(
    side: WorkerSide,
) -> None:
    saga_id = stuck(side, "a", "b")
    before = listed(side)["b"]
    side.rt.desk.retry(saga_id, OPERATOR, from_step="a")
    side.close(side.open(saga_id, "a", UNDO), FOR_GOOD)
    after = listed(side)
    assert after["b"] == before
    assert (after["a"].tries, waits_s(after["a"])) == (1, 200)


def test_a_letter_of_no_saga_does_not_keep_the_others_from_their_try(
    side: WorkerSide,
) -> None:
    saga_id = stuck(side, "a")
    side.run("INSERT INTO orch.dead_letter VALUES ('gone', 'x', '{}', now(), 0, now())")
    assert tick(side, "a", "x") == 2
    assert side.types(saga_id)[-1] == "COMPENSATION_RETRIED"


def test_a_tick_is_done_once_whoever_is_told_of_it(side: WorkerSide) -> None:
    stuck(side, "a")
    due_now = "UPDATE orch.dead_letter SET next_try_at = now()"
    side.run(due_now)
    assert letters.run(period_s=AGES_S) == 1
    side.run(due_now)
    assert letters.run(period_s=AGES_S) == 0


@pytest.mark.slow
def test_on_workers_undos_end_by_themselves_or_are_left_to_a_person(
    stack: Stack, tmp_path: Path
) -> None:
    effects, gate = Effects(tmp_path / "effects"), tmp_path / "gate"
    stack.env |= {
        "EFFECTS_FILE": str(effects.path),
        # After 2, 4 and 8 s: after a first try in vain a busy host, too, has time to
        # mend what is to go well at the next.
        "ORCHESTRATION_LETTER_RETRY_S": "2",
        "ORCHESTRATION_LETTER_MAX_TRIES": "3",
    }
    parts = [
        stack.worker("-I", "tests.support.effects_agents", "-c", "2", wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()

    def saga(**undo: str) -> SagaTransaction:
        return SagaTransaction("stuck", [step("a", **undo), step("b", fail="for good")])

    with front_door(stack.env) as front:
        for_a_while = front.start(saga(undo_mended_by=str(gate)))
        for_ever = front.start(saga(undo_fail="always"))
        assert front.wait(for_a_while).state is SagaState.COMPENSATION_FAILED
        index = front.bus.saga_index
        wait_until(lambda: index.letters(for_a_while)[0].tries >= 1, "a first try")
        gate.touch()
        front.await_state(for_a_while, "COMPENSATED")
        assert index.letters(for_a_while) == ()
        assert effects.left(for_a_while) == set()
        wait_until(
            lambda: (
                [(one.tries, one.next_try_at) for one in index.letters(for_ever)]
                == [(3, None)]
            ),
            "after three tries a person is waited for",
        )
        assert front.status(for_ever).state is SagaState.COMPENSATION_FAILED
        assert front.types(for_ever).count("COMPENSATION_RETRIED") == 3
