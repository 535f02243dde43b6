"""Retries stay a small share of the traffic, whatever fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.budget import BudgetSettings, SendBudget
from orchestration.errors import ConfigurationError


def test_in_a_total_outage_retries_are_a_tenth_of_the_traffic() -> None:
    budget, retries, calls = SendBudget(), 0, 30_000
    for call in range(calls):  # 100 calls/s for five minutes, each would retry 3 times
        now_s = call / 100
        budget.sent(now_s=now_s)
        retries += sum(budget.take(now_s=now_s) for _ in range(3))
    assert 0.095 * calls <= retries <= 0.1 * calls + 3 * (300 / 10 + 2)
    assert budget.refused == 3 * calls - retries


def test_little_traffic_is_retried_too() -> None:
    budget = SendBudget(BudgetSettings(floor=3))
    budget.sent(now_s=0.0)
    assert [budget.take(now_s=0.0) for _ in range(4)] == [True, True, True, False]
    assert budget.take(now_s=10.0)


def test_calls_of_long_ago_pay_for_no_retry() -> None:
    budget = SendBudget(BudgetSettings(floor=0))
    for _ in range(100):
        budget.sent(now_s=0.0)
    assert not budget.take(now_s=10.0)
    assert not budget.take(now_s=1e9)


@given(
    st.lists(st.tuples(st.floats(0, 4), st.integers(0, 30), st.integers(0, 8))),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_the_budget_is_never_exceeded(
    steps: list[tuple[float, int, int]], share: float, floor: int
) -> None:
    budget = SendBudget(BudgetSettings(share=share, floor=floor))
    now_s, first, more = 0.0, 0, 0
    for passed_s, calls, retries in steps:
        now_s += passed_s
        for _ in range(calls):
            budget.sent(now_s=now_s)
        first += calls
        more += sum(budget.take(now_s=now_s) for _ in range(retries))
        assert more <= share * first + floor * (now_s / 10 + 2) + 1e-6


@given(st.lists(st.floats(-20, 20), max_size=50))
def test_a_clock_that_goes_back_does_not_break_it(steps_s: list[float]) -> None:
    budget, now_s, more = SendBudget(BudgetSettings(floor=0)), 0.0, 0
    for first, step_s in enumerate(steps_s, 1):
        now_s += step_s
        budget.sent(now_s=now_s)
        more += budget.take(now_s=now_s)
        assert more <= 0.1 * first


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError, match=r"share is 2.*floor is -1"):
        BudgetSettings(share=2, floor=-1)
