"""Few calls are sent twice, and those are the slow ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.hedging import HedgeSettings, Hedging
from orchestration.core.routing.sketch import LatencySketch
from orchestration.errors import ConfigurationError
from tests.support.hedged import one_slow_agent


@pytest.mark.parametrize("agents", [40, 20])
@pytest.mark.parametrize("seed", range(3))
def test_with_one_slow_agent_p99_is_halved_at_five_percent_more_calls(
    seed: int, agents: int
) -> None:
    plain = one_slow_agent(hedged=False, seed=seed, agents=agents)
    hedged = one_slow_agent(hedged=True, seed=seed, agents=agents)
    assert hedged.p99_s <= 0.5 * plain.p99_s
    assert hedged.more_share <= 0.05
    assert plain.more_share == 0


def test_where_more_calls_are_slow_than_may_be_hedged_less_is_won() -> None:
    plain = one_slow_agent(hedged=False, seed=1, agents=10)
    hedged = one_slow_agent(hedged=True, seed=1, agents=10)
    assert 0.5 * plain.p99_s < hedged.p99_s < 0.8 * plain.p99_s
    assert hedged.more_share <= 0.05


def test_a_share_that_is_larger_than_that_of_the_slow_agent_halves_it_again() -> None:
    plain = one_slow_agent(hedged=False, seed=1, agents=10)
    wider = HedgeSettings(share=0.12, percentile=0.88)
    hedged = one_slow_agent(hedged=True, seed=1, agents=10, settings=wider)
    assert hedged.p99_s <= 0.5 * plain.p99_s
    assert hedged.more_share <= 0.12


def test_when_every_agent_gets_slow_hedges_stay_within_their_budget() -> None:
    assert one_slow_agent(hedged=True, seed=1, outage=True).more_share <= 0.05


def test_nothing_is_hedged_before_enough_was_learned() -> None:
    hedging = Hedging(HedgeSettings(min_samples=3))
    hedging.learned("work", 0.1)
    hedging.learned("work", 0.1)
    assert hedging.delay_s("work") is None
    hedging.learned("work", 0.1)
    assert hedging.delay_s("work") == pytest.approx(0.1, rel=0.03)
    assert hedging.delay_s("other work") is None


def test_what_is_fast_anyhow_is_not_hedged_sooner_than_the_least_delay() -> None:
    hedging = Hedging(HedgeSettings(min_samples=1, min_delay_s=0.05))
    hedging.learned("work", 0.0)
    assert hedging.delay_s("work") == 0.05


def test_kinds_are_bounded() -> None:
    hedging = Hedging(HedgeSettings(min_samples=1, max_kinds=2))
    for kind in ("first", "second", "third"):
        hedging.learned(kind, 0.1)
    known = [hedging.delay_s(kind) is not None for kind in ("first", "second", "third")]
    assert known == [False, True, True]


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 40), st.integers(0, 10))))
def test_hedges_never_exceed_their_share(steps: list[tuple[float, int, int]]) -> None:
    hedging, now_s, first, more = Hedging(), 0.0, 0, 0
    for passed_s, calls, late in steps:
        now_s += passed_s
        for _ in range(calls):
            hedging.sent(now_s=now_s)
        first += calls
        more += sum(hedging.take(now_s=now_s) for _ in range(late))
        assert more <= 0.05 * first
    assert hedging.refused == sum(late for _, _, late in steps) - more


@given(st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=300), st.floats(0.01, 0.999))
def test_a_learned_quantile_is_within_three_percent(
    latencies: list[float], share: float
) -> None:
    sketch = LatencySketch()
    for latency_s in latencies:
        sketch.add(latency_s)
    exact = sorted(latencies)[math.ceil(share * len(latencies) - 1e-9) - 1]
    assert sketch.quantile(share) == pytest.approx(exact, rel=0.03)


def test_old_latencies_fade() -> None:
    sketch = LatencySketch(memory=200)
    for _ in range(1_000):
        sketch.add(1.0)
    for _ in range(1_000):
        sketch.add(0.1)
    assert sketch.quantile(0.95) == pytest.approx(0.1, rel=0.03)


def test_an_empty_sketch_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="ask after the first sample"):
        LatencySketch().quantile(0.5)


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError, match=r"percentile is 1\.5.*max_kinds is 0"):
        HedgeSettings(percentile=1.5, max_kinds=0)
