"""Each law is broken by an engine that is wrong on purpose: none is idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import hypothesis
import pytest
from hypothesis import given, settings

from orchestration.core.saga import compensation, decide, fold, undoing
from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.plan import Plan
from orchestration.core.saga.view import Phase, PhaseStatus, SagaView
from orchestration.engine import action
from orchestration.testing import Mishaps
from orchestration.testing.tables import Tables
from tests.unit import laws
from tests.unit.drawn_world import Drawn, DrawnWorld, drawn_worlds
from tests.unit.ledger import DO, Trouble
from tests.unit.scripted import saga, step

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover

Patch = Callable[[pytest.MonkeyPatch], None]


@cache
def worlds() -> tuple[Drawn, ...]:
    """Return the same worlds each time."""
    drawn: list[Drawn] = []

    @settings(max_examples=150, phases=[hypothesis.Phase.generate], derandomize=True)
    @given(drawn_worlds())
    def draw(world: Drawn) -> None:
        drawn.append(world)

    draw()
    return (*handmade(), *drawn)


def handmade() -> Iterator[Drawn]:
    """Yield worlds for what is rare: failing after the pivot, keeping, late results."""
    pivot = [
        step("a"),
        step("p", "a", is_pivot=True),
        step("b", "p", compensation=None),
    ]
    fails = {("b", DO): (Trouble.REFUSES, 9)}
    yield Drawn(sagas=((saga(*pivot), {}),), troubles=fails)
    kept = saga(step("a"), step("b", "a"), compensation_strategy="SELECTIVE")
    fails = {("b", DO): (Trouble.REFUSES, 9)}
    yield Drawn(sagas=((kept, {}),), troubles=fails)
    late = [step("a"), step("b", on_unknown="COMPENSATE"), step("c", "a")]
    fails = {("c", DO): (Trouble.REFUSES, 9)}
    freezes = Mishaps(freeze=0.5)
    for seed in range(40):
        sagas = ((saga(*late), {}),)
        yield Drawn(sagas=sagas, troubles=fails, mishaps=freezes, seed=seed)


def waves_are_turned_round(patch: pytest.MonkeyPatch) -> None:
    def turned(*args: Any, **options: Any) -> Any:
        return compensation.compensation_waves(*args, **options)[::-1]

    patch.setattr(undoing, "compensation_waves", turned)


def a_completed_step_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    def shortened(*args: Any, **options: Any) -> Any:
        return compensation.compensation_waves(*args, **options)[:-1]

    patch.setattr(undoing, "compensation_waves", shortened)


def what_is_kept_is_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(undoing, "kept_steps", lambda *_: ())


def an_undo_is_done_twice(patch: pytest.MonkeyPatch) -> None:
    right = fold._done

    def done(phase: Phase, event: SagaEvent) -> Phase:
        if event.type is EventType.STEP_COMPENSATED and event.data["attempt"] == 1:
            return evolve(phase, status=PhaseStatus.IDLE)
        return right(phase, event)

    patch.setattr(fold, "_done", done)


def the_pivot_is_a_step_like_any_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SagaView, "pivot_committed", property(lambda _: False))


def a_failed_undo_is_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "failed_undos", lambda _: ())


def steps_wait_for_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Plan, "needs", lambda *_: set())


def each_call_has_a_key_of_its_own(patch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def key(*args: Any) -> str:
        made.append(1)
        return f"key {len(made)}"

    patch.setattr(action, "idempotency_key", key)


def what_comes_late_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    def ignore(view: SagaView, event: Any, direction: Any) -> SagaView:
        attempt = (event.step, direction, event.data["attempt"], event.data["round"])
        return evolve(view, late=view.late | {attempt})

    patch.setattr(fold, "_too_late", ignore)


def a_lost_attempt_counts_as_a_failed_one(patch: pytest.MonkeyPatch) -> None:
    def failed(view: SagaView, event: Any) -> SagaView:
        return fold._attempt_failed(view, event, DO)

    patch.setattr(fold, "_attempt_lost", failed)


def who_is_over_keeps_its_locks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tables, "give_back_locks", lambda *_: None)


def a_saga_is_completed_by_its_first_step(patch: pytest.MonkeyPatch) -> None:
    def satisfied(view: SagaView) -> frozenset[str]:
        return frozenset(view.plan.by_name) if view.completed else frozenset()

    patch.setattr(SagaView, "satisfied", property(satisfied))


def whoever_was_chosen_another_is_sent_for(patch: pytest.MonkeyPatch) -> None:
    right = SagaView.agent_of

    def agent_of(view: SagaView, name: str) -> str:
        own = right(view, name)
        return "other" if view.plan.by_name[name].is_open else own

    patch.setattr(SagaView, "agent_of", agent_of)


@pytest.mark.parametrize(
    ("patch", "law"),
    [
        (waves_are_turned_round, laws.undos_keep_the_strategys_order),
        (a_completed_step_is_forgotten, laws.nothing_completed_is_left_alone),
        (a_completed_step_is_forgotten, laws.no_effect_is_forgotten),
        (what_is_kept_is_not_told, laws.nothing_completed_is_left_alone),
        (
            an_undo_is_done_twice,
            laws.nothing_is_done_or_undone_twice_in_one_round,
        ),
        (the_pivot_is_a_step_like_any_other, laws.the_pivot_is_the_point_of_no_return),
        (a_failed_undo_is_taken_for_done, laws.the_state_tells_the_truth),
        (steps_wait_for_nobody, laws.steps_start_after_what_they_need),
        (each_call_has_a_key_of_its_own, laws.every_call_was_claimed_and_has_its_key),
        (what_comes_late_is_not_heard, laws.no_effect_is_forgotten),
        (a_lost_attempt_counts_as_a_failed_one, laws.no_effect_is_forgotten),
        (
            whoever_was_chosen_another_is_sent_for,
            laws.each_call_is_of_the_agent_on_record,
        ),
        (who_is_over_keeps_its_locks, laws.locks_are_held_by_one_at_a_time),
        (a_saga_is_completed_by_its_first_step, laws.the_state_tells_the_truth),
    ],
)
def test_a_wrong_engine_breaks_the_law(
    patch: Patch, law: laws.Law, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = worlds()
    patch(monkeypatch)
    assert any(breaks(law, world) for world in drawn), "nobody noticed"


def breaks(law: laws.Law, drawn: Drawn) -> bool:
    world = DrawnWorld(drawn)
    try:
        world.run()
    except (AssertionError, RuntimeError, ValueError, LookupError):
        return False  # it is stopped, but not by this law
    try:
        for saga_id in world.sagas():
            law(world, saga_id)
    except AssertionError:
        return True
    return False
