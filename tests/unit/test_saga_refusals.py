"""Acts that do not fit a saga's state are refused, with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.core.saga import acts
from orchestration.core.saga.acts import Who
from orchestration.core.saga.model import SagaState, SagaStep
from orchestration.errors import SagaActRefused
from tests.unit.scripted import FOR_GOOD, LOST, Script, step

ANN = Who("ann")
ESCALATE = {"on_unknown": "ESCALATE"}


def refusal(script: Script, act: Any, **options: Any) -> str:
    """Return why an act is refused; it leaves nothing behind."""
    before = script.view
    with pytest.raises(SagaActRefused) as caught:
        script.act(act, ANN, **options)
    assert script.view == before
    return str(caught.value)


def running() -> Script:
    script = Script(step("a"), step("b"))
    script.do("a")
    return script


def halted(*steps: SagaStep) -> Script:
    """Return a saga of one step more than these, which failed."""
    script = Script(*steps, step("last", steps[-1].name), on_failure="HALT")
    for one in steps:
        script.do(one.name)
    script.do("last", FOR_GOOD)
    return script


def undone() -> Script:
    script = running()
    script.do("b", FOR_GOOD)
    script.undo("a")
    return script


def unknown() -> Script:
    script = Script(step("a", **ESCALATE))
    script.do("a", LOST)
    return script


def broken() -> Script:
    script = running()
    script.do("b", FOR_GOOD)
    script.undo("a", FOR_GOOD)
    return script


@pytest.mark.parametrize(
    ("make", "act", "options", "sentence"),
    [
        (undone, acts.pause, {}, "only a saga on its way can be paused"),
        (running, acts.resume, {}, "only a paused saga can be resumed"),
        (unknown, acts.resume, {}, "(outcome unknown): retry it, or resolve a"),
        (undone, acts.cancel, {}, "there is nothing left to cancel"),
        (running, acts.retry, {}, "retry is for sagas that failed, or that paused by"),
        (undone, acts.retry, {}, "; fork it"),
        (unknown, acts.retry, {"from_step": "x"}, "touch step 'x': its steps are a"),
        (running, acts.resolve, {"step": "a"}, "only sagas that stand still"),
        (unknown, acts.resolve, {"step": "a"}, "say whether step 'a' took effect"),
        (
            lambda: halted(step("a")),
            acts.resolve,
            {"step": "a", "happened": True},
            "steps of unknown outcome: none",
        ),
        (broken, acts.skip, {"step": "b"}, "settle the undoing of 'b': failed: a"),
        (running, acts.skip, {"step": "a"}, "failed: none"),
        (running, acts.replay, {}, "only what has been undone is undone again"),
        (undone, acts.replay, {"from_step": "b"}, "step 'b' was not to be undone"),
        (running, acts.undo, {}, "only a completed saga is undone as a whole"),
        (
            running,
            acts.signal,
            {"name": "go", "data": 1, "signal_id": "1"},
            "signals that it takes: none",
        ),
    ],
)
def test_an_act_that_does_not_fit_is_refused_with_the_way_out(
    make: Any, act: Any, options: dict[str, Any], sentence: str
) -> None:
    script = make()
    text = refusal(script, act, **options)
    assert text.startswith(f"saga t is {script.view.state}, cannot ")
    assert sentence in text


def test_a_saga_on_hold_is_resumed_and_not_retried() -> None:
    script = running()
    script.act(acts.pause, ANN)
    assert refusal(script, acts.retry).endswith("paused by themselves; resume it")
    assert "open ends" in refusal(script, acts.resolve, step="a", happened=True)


def test_acts_that_were_done_already_add_nothing() -> None:
    script = running()
    script.act(acts.pause, ANN)
    assert script.act(acts.pause, ANN).facts == ()
    script.act(acts.cancel, ANN)
    undoing = running()
    undoing.start("b")
    undoing.act(acts.cancel, ANN)
    assert undoing.act(acts.cancel, ANN).facts == ()
    undoing.end("b")
    assert undoing.act(acts.undo, ANN).facts == ()


def test_a_cancel_after_the_pivot_is_refused_by_an_event() -> None:
    script = Script(step("p", is_pivot=True), step("b", compensation=None))
    script.do("p")
    script.act(acts.cancel, ANN)
    assert script.types[-1] == "SAGA_CANCEL_REFUSED"
    assert script.view.state is SagaState.RUNNING
    script.do("b")
    assert "the point of no return" in refusal(script, acts.undo)


def test_a_rewind_is_refused_where_it_could_not_be_undone() -> None:
    stuck = halted(step("a", compensation=None), step("b"))
    text = refusal(stuck, acts.retry, from_step="a")
    assert "a cannot be undone, so not be done anew: begin after it, or fork" in text


@pytest.mark.parametrize("after", [(), ("a",)])
def test_a_rewind_behind_the_pivot_is_refused_named_by_it_or_not(
    after: tuple[str, ...],
) -> None:
    script = halted(step("a"), step("p", *after, is_pivot=True))
    assert script.view.state is SagaState.PAUSED
    text = refusal(script, acts.retry, from_step="a")
    assert "the pivot 'p' comes after it" in text


def test_a_rewind_over_a_list_is_refused() -> None:
    mapped = step("each", map="items")
    script = Script(
        mapped, step("last", "each"), on_failure="HALT", data={"items": [1]}
    )
    script.look()
    script.do("each[0]")
    script.do("last", FOR_GOOD)
    text = refusal(script, acts.retry, from_step="each")
    assert "each was done per item or agent: fork the saga" in text


def test_a_signal_too_many_is_refused_and_one_told_twice_counts_once() -> None:
    script = Script(SagaStep("ask", wait_for="go"), step("then"), step("end"))
    script.look()
    word = {"name": "go", "data": 5, "signal_id": "1"}
    script.act(acts.signal, ANN, **word)
    assert script.view.do_of("ask").output == {"ask": 5}
    assert script.act(acts.signal, ANN, **word).facts == ()
    text = refusal(script, acts.signal, **word | {"signal_id": "2"})
    assert "no step waits for it any more" in text


def test_a_person_may_tell_what_a_lost_step_returned() -> None:
    script = unknown()
    told = {"step": "a", "happened": True, "output": {"seat": "4a"}}
    script.act(acts.resolve, Who("ann", "saw it"), **told)
    assert script.view.state is SagaState.COMPLETED
    assert script.view.do_of("a").output == {"seat": "4a"}


def test_an_undo_that_was_done_by_hand_is_settled() -> None:
    script = broken()
    script.act(acts.resolve, ANN, step="a")
    assert script.view.state is SagaState.COMPENSATED
