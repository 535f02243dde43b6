"""A target gets as many calls as its rate allows: no more, and no fewer."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.rates import Rate, RateLimits
from orchestration.errors import ConfigurationError

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    limits = RateLimits(Rate(calls_per_s=10, burst=5))
    assert [limits.take("agent-1", now_s=0.0) for _ in range(7)] == [True] * 5 + [
        False
    ] * 2
    assert limits.wait_s("agent-1", now_s=0.0) == pytest.approx(0.1)
    assert limits.take("agent-1", now_s=0.1)
    assert not limits.take("agent-1", now_s=0.1)


def test_targets_have_buckets_and_rates_of_their_own() -> None:
    limits = RateLimits(
        Rate(calls_per_s=1, burst=1), {"agent-2": Rate(calls_per_s=1, burst=2)}
    )
    assert limits.take("agent-1", now_s=0.0)
    assert not limits.take("agent-1", now_s=0.0)
    assert limits.take("agent-2", now_s=0.0)
    assert limits.take("agent-2", now_s=0.0)
    limits.limit("agent-3", Rate(calls_per_s=1, burst=3))
    assert sum(limits.take("agent-3", now_s=0.0) for _ in range(9)) == 3
    limits.limit("agent-3", None)
    assert not limits.take("agent-3", now_s=2.0)
    assert limits.take("agent-3", now_s=3.0)


def test_without_a_rate_nothing_is_limited() -> None:
    limits = RateLimits()
    assert all(limits.take("agent-1", now_s=0.0) for _ in range(1_000))
    assert limits.wait_s("agent-1", now_s=0.0) == 0.0


def test_a_forgotten_target_starts_anew() -> None:
    limits = RateLimits(Rate(calls_per_s=1, burst=1))
    assert limits.take("agent-1", now_s=0.0)
    limits.forget("agent-1")
    assert limits.take("agent-1", now_s=0.0)


@pytest.mark.parametrize("burst", [2, 20, 200])
def test_bursts_and_backward_jumps_pass_the_rate_within_two_percent(burst: int) -> None:
    rng, limits = Random(burst), RateLimits(Rate(calls_per_s=50, burst=burst))
    passed_s, off_s, taken = 0.0, 0.0, 0
    jumps = iter([300.0, 600.0, 900.0])
    jump_s = next(jumps)
    while passed_s < 1_200:
        # Asked for about 400 times a second at random, a tenth of it in bursts.
        size = 40 if rng.random() < 1 / 400 else 1
        passed_s += rng.expovariate(400)
        if passed_s > jump_s:
            off_s -= 3_000.0  # the clock is set back by fifty minutes
            jump_s = next(jumps, 1e9)
        for _ in range(size):
            taken += limits.take("agent-1", now_s=10_000 + passed_s + off_s)
    assert abs(taken / (50 * 1_200) - 1) <= 0.02


@pytest.mark.parametrize("burst", [1, 20, 200])
def test_steady_demand_gets_the_rate_within_two_percent(burst: int) -> None:
    limits = RateLimits(Rate(calls_per_s=50, burst=burst))
    taken = sum(limits.take("agent-1", now_s=n / 1_000) for n in range(600_000))
    assert abs(taken / 30_000 - 1) <= 0.02


def test_threads_that_read_the_clock_in_turns_gain_nothing() -> None:
    rng, limits = Random(3), RateLimits(Rate(calls_per_s=100, burst=5))
    taken = sum(
        limits.take("agent-1", now_s=n / 1_000 - rng.random() / 100)
        for n in range(100_000)
    )
    assert 9_800 <= taken <= 10_005


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 50),
    st.lists(st.floats(0, 3), min_size=1, max_size=100),
)
def test_no_span_of_time_has_more_than_its_burst_and_its_rate(
    calls_per_s: float, burst: int, waits_s: list[float]
) -> None:
    limits = RateLimits(Rate(calls_per_s=calls_per_s, burst=burst))
    now_s, taken = 0.0, []
    for wait_s in waits_s:
        now_s += wait_s
        taken += [now_s for _ in range(4) if limits.take("agent-1", now_s=now_s)]
    for first, begin_s in enumerate(taken):
        for last in range(first, len(taken)):
            allowed = burst + (taken[last] - begin_s) * calls_per_s
            assert last - first + 1 <= allowed + 1e-6 * (1 + allowed)


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 50),
    st.lists(st.floats(0, 3), max_size=50),
)
def test_who_waits_as_told_gets_through_and_not_before(
    calls_per_s: float, burst: int, waits_s: list[float]
) -> None:
    limits, now_s = RateLimits(Rate(calls_per_s=calls_per_s, burst=burst)), 0.0
    for more_s in waits_s:
        now_s += more_s
        wait_s = limits.wait_s("agent-1", now_s=now_s)
        if wait_s > 0:
            assert not limits.take("agent-1", now_s=now_s)
            now_s += wait_s
        assert limits.take("agent-1", now_s=now_s)


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 50),
    st.lists(
        st.one_of(st.floats(0, 3), st.floats(-5_000, 5_000), st.floats(-1, 0)),
        max_size=80,
    ),
)
def test_whatever_the_clock_does_no_more_passes_than_it_went_forward(
    calls_per_s: float, burst: int, steps_s: list[float]
) -> None:
    limits = RateLimits(Rate(calls_per_s=calls_per_s, burst=burst))
    now_s, forward_s, taken = 0.0, 0.0, 0
    for step_s in steps_s:
        now_s += step_s
        forward_s += max(step_s, 0.0)
        taken += sum(limits.take("agent-1", now_s=now_s) for _ in range(60))
        allowed = burst + forward_s * calls_per_s
        assert taken <= allowed + 1e-6 * (1 + allowed)


@pytest.mark.parametrize("rate", [0, float("nan"), float("inf"), "fast", None, True])
def test_what_is_no_rate_is_refused(rate: object) -> None:
    with pytest.raises(ConfigurationError, match="calls_per_s is"):
        Rate(calls_per_s=rate)


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError, match=r"calls_per_s is 0.*burst is 0"):
        Rate(calls_per_s=0, burst=0)
