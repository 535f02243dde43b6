"""An act on record whose answer was lost was done, and what follows comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from orchestration.adapters.saga_records import Because
from orchestration.core.saga import acts
from orchestration.core.saga.acts import Who
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.model import SagaState, SagaStep
from orchestration.core.saga.view import SagaView
from orchestration.errors import SagaActRefused
from orchestration.testing import Mishaps
from tests.unit.scripted import saga, step
from tests.unit.shop import ME, Shop, fails, first

FORGETFUL = {"mishaps": Mishaps(forget=1.0), "seed": 1}
ONCE = {"max_attempts": 1}
WAITING = saga(step("a"), SagaStep("go", depends_on=["a"], wait_for="go"))
UNDONE_LATER = saga(step("a", compensation_retry_policy=ONCE), step("bad", "a"))
UNKNOWN = saga(step("a", on_unknown="ESCALATE"))
HALTED = saga(step("a"), step("bad", "a", retry_policy=ONCE), on_failure="HALT")


def forgetful() -> Shop:
    """Return a world in which every answer of the log is lost once."""
    return Shop(**FORGETFUL)


def test_a_pause_and_its_resume_are_told_as_done() -> None:
    shop = forgetful()
    shop.run(WAITING)
    assert shop.desk.pause("t", ME).is_on_hold
    assert shop.desk.resume("t", ME).state is SagaState.RUNNING
    assert shop.types("t")[-2:] == ["SAGA_PAUSED", "SAGA_RESUMED"]


def test_a_cancel_that_ends_the_saga_at_once_is_told_as_done() -> None:
    shop = forgetful()
    shop.start(saga(SagaStep("go", wait_for="go")))
    assert shop.desk.cancel("t", ME).state is SagaState.COMPENSATED


@pytest.mark.parametrize("act", ["retry", "skip", "resolve"])
def test_what_is_said_of_a_failed_undo_is_told_as_done(act: str) -> None:
    shop = forgetful()
    shop.does["bad"] = fails
    shop.undoes["a"] = first(1, fails)
    assert shop.run(UNDONE_LATER).state is SagaState.COMPENSATION_FAILED
    said: dict[str, Callable[[], object]] = {
        "retry": lambda: shop.desk.retry("t", ME),
        "skip": lambda: shop.desk.skip("t", ME, step="a"),
        "resolve": lambda: shop.desk.resolve("t", ME, step="a"),
    }
    said[act]()
    shop.run_until_idle()
    assert shop.status("t").state is SagaState.COMPENSATED


def test_what_follows_is_sent_though_the_answer_was_lost() -> None:
    shop = forgetful()
    shop.does["bad"] = first(1, fails)
    assert shop.run(HALTED).state is SagaState.FAILED
    shop.machine.queue.sent.clear()
    shop.desk.retry("t", ME)
    assert [one.label[1] for one in shop.machine.queue.sent] == ["bad"]
    shop.desk.cancel("t", ME)
    with pytest.raises(SagaActRefused, match="only a paused saga"):
        shop.desk.resume("t", ME)


def test_a_signal_whose_answer_was_lost_moves_the_saga_on_at_once() -> None:
    shop = forgetful()
    shop.run(saga(SagaStep("go", wait_for="go"), step("b", "go")))
    shop.machine.queue.sent.clear()
    shop.signal("t", "go")
    assert [one.label[1] for one in shop.machine.queue.sent] == ["b"]
    assert shop.types("t").count("SIGNAL_RECEIVED") == 1


def test_another_persons_act_at_the_same_place_is_not_taken_for_ones_own() -> None:
    shop = Shop()
    shop.run(WAITING)
    shop.desk.pause("t", ME)
    colleague = iter([Who("ann")])

    def too_late(view: SagaView, now: datetime) -> Decision:
        decision = acts.resume(view, now, ME)
        for ann in colleague:
            shop.desk.resume("t", ann)
        return decision

    with pytest.raises(SagaActRefused, match="only a paused saga"):
        shop.desk.act("t", too_late, Because())
