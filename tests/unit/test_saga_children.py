"""Sagas that are steps of others: begun, cancelled, paused, undone and answered for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestration.core.saga.acts import Who
from orchestration.core.saga.execution import SagaExecution
from orchestration.core.saga.model import SagaState, SagaStep, SagaTransaction
from orchestration.engine.recording import Rules
from orchestration.errors import InvalidSaga, SagaActRefused
from tests.unit.scripted import saga, step
from tests.unit.shop import ME, Shop, fails, first

ONCE = {"max_attempts": 1}


def kid(name: str = "kid", *after: str, **options: object) -> SagaStep:
    """Return a step that runs a saga of two steps."""
    child = saga(step("c1"), step("c2", "c1"), **options)
    return SagaStep(name, depends_on=after, saga=child)


def test_undoing_a_step_undoes_the_whole_saga_that_it_ran() -> None:
    shop = Shop()
    shop.does["bad"] = fails
    status = shop.run(saga(kid(), step("bad", "kid")))
    assert status.state is SagaState.COMPENSATED
    assert shop.effects == {}
    assert shop.child("kid").state is SagaState.COMPENSATED
    assert shop.child("kid").compensated_steps == ("c2", "c1")


# --- a child whose undoing failed


def stuck(
    shop: Shop, *, undo_fails: int, deep: int = 1, **options: object
) -> SagaExecution:
    """Run a saga whose child's first step, so deep within, fails to be undone."""
    shop.does["bad"] = fails
    shop.undoes["c1"] = first(undo_fails, fails)
    within = saga(
        step("c1", compensation_retry_policy=ONCE), step("c2", "c1"), **options
    )
    for _ in range(deep - 1):
        within = saga(SagaStep("kid", saga=within))
    runs = SagaStep("kid", depends_on=["a"], saga=within)
    return shop.run(saga(step("a"), runs, step("bad", "kid")))


def family(shop: Shop, deep: int) -> list[SagaExecution]:
    """Return the status of a saga and of those within it, the deepest last."""
    found = [shop.status("t")]
    for _ in range(deep):
        found.append(shop.child("kid", found[-1].saga_id))
    return found


@pytest.mark.parametrize("deep", [1, 2])
def test_a_retry_of_the_parent_tries_the_failed_undo_of_its_child_again(
    deep: int,
) -> None:
    shop = Shop()
    status = stuck(shop, undo_fails=1, deep=deep)
    assert status.failed_compensations == ("kid",)
    shop.desk.retry("t", ME)
    shop.run_until_idle()
    states = {one.state for one in family(shop, deep)}
    assert states == {SagaState.COMPENSATED}
    assert shop.effects == {}
    assert shop.log.count("undo c1") == 2


@pytest.mark.parametrize("deep", [1, 2])
def test_each_retry_of_the_parent_is_one_try_of_the_child(deep: int) -> None:
    shop = Shop()
    stuck(shop, undo_fails=3, deep=deep)
    for tries in (2, 3):
        shop.desk.retry("t", ME)
        shop.run_until_idle()
        assert shop.status("t").state is SagaState.COMPENSATION_FAILED
        assert shop.log.count("undo c1") == tries
    shop.desk.retry("t", ME)
    shop.run_until_idle()
    assert shop.status("t").state is SagaState.COMPENSATED


def test_the_automatic_try_of_the_parents_dead_letter_reaches_its_child() -> None:
    shop = Shop(rules=Rules(letter_retry_s=60, letter_max_tries=3))
    stuck(shop, undo_fails=1)
    child = shop.child("kid").saga_id
    tables = shop.machine.log.tables
    # Only the parent's letter is tried: the child's waits for a person.
    tables.letters[child, "c1"] = replace(tables.letters[child, "c1"], next_try_at=None)
    shop.advance(minutes=2)
    assert shop.status("t").state is SagaState.COMPENSATED
    assert shop.index.letters() == ()


@pytest.mark.parametrize("deep", [1, 2])
@pytest.mark.parametrize("word", ["skip", "resolve"])
def test_what_is_said_of_a_childs_failed_undo_counts_for_the_child(
    word: str, deep: int
) -> None:
    shop = Shop(rules=Rules(letter_retry_s=60, letter_max_tries=3))
    shop.undoes["c2"] = fails
    stuck(shop, undo_fails=0, deep=deep, on_compensation_failure="HALT")
    shop.undoes.clear()
    getattr(shop.desk, word)("t", Who("ann", "gone"), step="kid")
    shop.run_until_idle()
    shop.advance(days=1)
    parent, *_, child = found = family(shop, deep)
    assert {one.state for one in found} == {SagaState.COMPENSATED}
    assert shop.index.letters() == ()
    # Nothing of the child is undone behind the back of who has spoken for it.
    assert shop.log.count("undo c1") == 0
    assert shop.effects.keys() == {"c1", "c2"}
    is_by_hand = word == "resolve"
    assert parent.compensated_steps == (("kid", "a") if is_by_hand else ("a",))
    assert child.compensated_steps == (("c2", "c1") if is_by_hand else ())
    said = shop.history(child.saga_id)[-2].data
    assert said["by"] == "ann"
    assert said["why"].endswith("gone")


def test_what_is_refused_of_the_parent_leaves_its_child_alone() -> None:
    shop = Shop()
    stuck(shop, undo_fails=1)
    child = shop.child("kid")
    with pytest.raises(SagaActRefused):
        shop.desk.skip("t", ME, step="a")
    assert shop.status(child.saga_id) == child


# --- locks of the sagas around it


def nested(*locks: str) -> SagaTransaction:
    """Return a saga within a saga and so on, the first lock for the outermost."""
    inner = saga(step("c1"), locks=locks[-1:])
    for lock in reversed(locks[:-1]):
        inner = saga(SagaStep("kid", saga=inner), locks=[lock])
    return inner


@pytest.mark.parametrize("locks", [("x", "x"), ("x", "y", "x"), ("x", "y", "z", "y")])
def test_a_lock_that_a_saga_around_it_holds_is_refused_with_the_definition(
    locks: tuple[str, ...],
) -> None:
    with pytest.raises(InvalidSaga, match=f"lock '{locks[-1]}' is held by a saga"):
        Shop().run(nested(*locks))


@pytest.mark.parametrize(
    "locks", [("x-{n}", "x-{n}"), ("x-{n}", "y", "x-{n}"), ("x-{n}", "y", "z", "x-7")]
)
def test_a_lock_that_turns_out_to_be_held_above_fails_the_step_at_once(
    locks: tuple[str, ...],
) -> None:
    shop = Shop()
    began = shop.clock.now()
    status = shop.run(nested(*locks), {"n": 7})
    assert status.state is SagaState.COMPENSATED
    assert "it wants the locks x-7, which saga t holds" in str(status.error)
    assert (shop.clock.now() - began).total_seconds() < 60
    assert shop.log == []


def test_locks_of_other_names_are_taken_however_deep() -> None:
    shop = Shop()
    status = shop.run(nested("x-{n}", "y-{n}", "z", "x"), {"n": 7})
    assert status.state is SagaState.COMPLETED
