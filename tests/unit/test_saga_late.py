"""Results that come when their attempt was given up: nothing of them is forgotten."""

from __future__ import annotations

from orchestration.core.saga.execution import execution_of
from orchestration.core.saga.model import Direction, SagaState, SagaStep
from orchestration.core.saga.outcomes import Succeeded
from orchestration.core.saga.view import PhaseStatus
from tests.unit.scripted import FOR_GOOD, LOST, OK, UNDO, Script, step

PROBE = Direction.PROBE
NOT_DONE = Succeeded({"happened": False})


def probed(name: str, *after: str, **options: object) -> SagaStep:
    return step(name, *after, probe="probe", **options)


def denied(script: Script, name: str) -> None:
    """Lose an attempt, and have the agent say that it did nothing."""
    script.do(name, LOST)
    script.start(name, PROBE)
    script.end(name, NOT_DONE, PROBE)


def test_an_effect_that_lands_after_its_agent_denied_it_is_undone() -> None:
    script = Script(step("a"), probed("b", "a", max_recoveries=0))
    script.do("a")
    denied(script, "b")
    script.undo("a")
    assert script.view.state is SagaState.COMPENSATED
    decision = script.end("b", Succeeded({"b": 1}))
    assert decision.is_late
    assert (decision.direction, decision.lines) == (UNDO, (("b",),))
    assert script.view.state is SagaState.COMPENSATING
    assert execution_of(script.view).unresolved_steps == ("b",)
    script.undo("b")
    assert script.view.state is SagaState.COMPENSATED
    assert execution_of(script.view).compensated_steps == ("a", "b")
    assert script.view.do_of("b").output == {"b": 1}  # what the undo gets


def test_it_is_undone_with_the_others_if_undoing_has_not_begun() -> None:
    script = Script(step("a"), step("c"), probed("b", max_recoveries=0), step("d", "b"))
    script.do("a")
    script.start("c")
    denied(script, "b")
    decision = script.end("b")
    assert decision.is_late
    assert decision.probes == ("b",)  # it is asked once more
    script.start("b", PROBE)
    script.end("b", Succeeded({"happened": True}), PROBE)
    script.end("c")
    assert script.view.waves == (("c",), ("b",), ("a",))


def test_it_is_undone_last_if_undoing_is_under_way() -> None:
    script = Script(step("a"), probed("b", "a", max_recoveries=0))
    script.do("a")
    denied(script, "b")
    script.start("a", UNDO)
    assert script.end("b").is_late
    assert script.view.waves == (("a",), ("b",))
    assert script.end("a", OK, UNDO).lines == (("b",),)


def test_without_a_compensation_it_is_told_of() -> None:
    script = Script(step("a"), probed("b", "a", max_recoveries=0, compensation=None))
    script.do("a")
    denied(script, "b")
    script.undo("a")
    script.end("b")
    assert script.view.state is SagaState.COMPENSATED
    assert execution_of(script.view).unresolved_steps == ("b",)


def test_a_pivot_that_lands_when_all_is_undone_is_told_of_and_left() -> None:
    script = Script(step("a"), probed("p", "a", is_pivot=True, max_recoveries=0))
    script.do("a")
    denied(script, "p")
    script.undo("a")
    script.end("p")
    assert script.view.state is SagaState.COMPENSATED
    assert execution_of(script.view).unresolved_steps == ("p",)


def test_a_pivot_that_lands_before_undoing_has_begun_is_left_to_a_person() -> None:
    script = Script(step("a"), step("p", "a", is_pivot=True), step("c"))
    script.do("a")
    script.do("c")
    script.do("p", LOST)
    assert script.view.state is SagaState.PAUSED
    script.end("p")
    assert script.view.state is SagaState.PAUSED
    assert script.view.do_of("p").status is PhaseStatus.UNKNOWN


def test_a_late_word_of_an_effect_makes_a_clean_failure_doubtful() -> None:
    script = Script(step("a"), probed("b", "a", retry_policy={"max_attempts": 1}))
    script.do("a")
    denied(script, "b")
    assert script.view.do_of("b").status is PhaseStatus.WAITING
    script.end("b")  # the first attempt did it after all
    script.later(seconds=1)
    script.do("b", FOR_GOOD)
    assert script.view.do_of("b").status is PhaseStatus.UNKNOWN


def test_a_failure_that_comes_late_changes_nothing() -> None:
    script = Script(step("a"), probed("b", "a", max_recoveries=0))
    script.do("a")
    denied(script, "b")
    script.undo("a")
    before = script.view
    script.end("b", FOR_GOOD)
    assert script.view.state is before.state
    assert script.view.do == before.do
