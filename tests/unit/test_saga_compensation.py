"""Which steps are undone in which order, table by table."""

from __future__ import annotations

import pytest

from orchestration.core.saga.compensation import (
    Waves,
    compensation_waves,
    kept_steps,
)
from orchestration.core.saga.model import CompensationStrategy
from orchestration.core.saga.plan import Plan
from tests.unit.scripted import step

CHOSEN = {"metadata": {"compensate": True}}
#     a -> b -> d
#     a -> c -> d -> e;  ``r`` has nothing to undo, and ``d`` is what failed
DIAMOND = Plan(
    (
        step("a", **CHOSEN),
        step("b", "a"),
        step("r", "a", compensation=None, read_only=True),
        step("c", "r", **CHOSEN),
        step("d", "b", "c"),
        step("e", "d"),
    )
)
DONE = ("a", "r", "c", "b")


@pytest.mark.parametrize(
    ("strategy", "waves"),
    [
        ("BACKWARD", (("b",), ("c",), ("a",))),
        ("FORWARD", (("a",), ("c",), ("b",))),
        ("PARALLEL", (("a", "c", "b"),)),
        ("CASCADE", (("c", "b"), ("a",))),
        ("SELECTIVE", (("d",), ("c",), ("a",))),
    ],
)
def test_each_strategy_has_its_order(strategy: str, waves: Waves) -> None:
    assert waves == compensation_waves(
        DIAMOND,
        CompensationStrategy(strategy),
        done=DONE,
        unknown=set(),
        failed={"d"},
    )


@pytest.mark.parametrize("strategy", CompensationStrategy)
def test_a_step_of_unknown_outcome_is_undone_by_every_strategy(
    strategy: CompensationStrategy,
) -> None:
    waves = compensation_waves(
        DIAMOND, strategy, done=("a", "b"), unknown={"b"}, failed=set()
    )
    assert "b" in {name for wave in waves for name in wave}


@pytest.mark.parametrize("strategy", CompensationStrategy)
def test_nothing_done_is_nothing_to_undo(strategy: CompensationStrategy) -> None:
    assert (
        compensation_waves(DIAMOND, strategy, done=(), unknown=set(), failed=set())
        == ()
    )


@pytest.mark.parametrize("strategy", CompensationStrategy)
def test_the_pivot_is_never_undone_by_itself(strategy: CompensationStrategy) -> None:
    plan = Plan((step("p", is_pivot=True, **CHOSEN),))
    for done, failed in ((("p",), set()), ((), {"p"})):
        assert (
            compensation_waves(plan, strategy, done=done, unknown=set(), failed=failed)
            == ()
        )


def test_cascade_counts_dependents_through_steps_that_have_nothing_to_undo() -> None:
    plan = Plan(
        (
            step("a"),
            step("gap", "a", compensation=None),
            step("b", "gap"),
            step("aside"),
        )
    )
    waves = compensation_waves(
        plan,
        CompensationStrategy.CASCADE,
        done=("a", "gap", "b", "aside"),
        unknown=set(),
        failed=set(),
    )
    assert waves == (("b", "aside"), ("a",))


def test_selective_keeps_what_is_not_chosen_and_the_others_keep_nothing() -> None:
    kept = {
        strategy: kept_steps(DIAMOND, strategy, DONE)
        for strategy in CompensationStrategy
    }
    assert kept.pop(CompensationStrategy.SELECTIVE) == ("b",)
    assert set(kept.values()) == {()}
