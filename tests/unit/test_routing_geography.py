"""Messages go where answers come from soonest, as measured; else as declared."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.geography import Geography, GeographySettings
from orchestration.errors import ConfigurationError

TARGETS = {"eu": ("agent-1",), "us": ("agent-2",), "asia": ("agent-3", "agent-4")}


def measured(geography: Geography, there: str, latency_s: float, now_s: float) -> None:
    for _ in range(10):
        geography.learned("eu", there, latency_s=latency_s, now_s=now_s)


def test_without_measures_the_own_location_comes_first_then_the_declared_order() -> (
    None
):
    order = Geography().order(
        "eu", ["asia", "us", "mars", "eu"], preference=["us"], now_s=0.0
    )
    assert order == ("eu", "us", "asia", "mars")
    order = Geography().order("eu", ["eu", "us"], preference=["us", "eu"], now_s=0.0)
    assert order == ("us", "eu")


def test_measures_come_before_what_was_declared() -> None:
    geography = Geography()
    measured(geography, "eu", 0.2, now_s=0.0)
    measured(geography, "asia", 0.05, now_s=0.0)
    order = geography.order("eu", list(TARGETS), preference=["us"], now_s=1.0)
    assert order == ("asia", "eu", "us")


def test_nearly_equal_locations_stay_in_their_declared_order() -> None:
    geography = Geography()
    measured(geography, "eu", 0.100, now_s=0.0)
    measured(geography, "us", 0.090, now_s=0.0)
    assert geography.order("eu", ["eu", "us"], now_s=1.0) == ("eu", "us")


def test_a_few_samples_and_old_ones_say_nothing() -> None:
    geography = Geography()
    for _ in range(4):
        geography.learned("eu", "us", latency_s=0.01, now_s=0.0)
    assert geography.latency_s("eu", "us", now_s=0.0) is None
    geography.learned("eu", "us", latency_s=0.01, now_s=0.0)
    assert geography.latency_s("eu", "us", now_s=0.0) == pytest.approx(0.01)
    assert geography.latency_s("us", "eu", now_s=0.0) is None
    assert geography.latency_s("eu", "us", now_s=300.0) is None
    geography.learned("eu", "us", latency_s=0.5, now_s=301.0)
    assert geography.latency_s("eu", "us", now_s=301.0) is None


def test_a_location_without_targets_is_none() -> None:
    targets = {"eu": (), "us": ("agent-2",)}
    chosen = Geography().choose("eu", targets, now_s=0.0, draw=lambda: 0.5)
    assert chosen == ("agent-2",)
    assert Geography().choose("eu", {"eu": ()}, now_s=0.0, draw=lambda: 0.5) == ()


def test_when_the_near_path_gets_slow_calls_move_within_twenty_and_come_back() -> None:
    geography, rng, went = Geography(), Random(4), []
    for call in range(90_000):  # 100 calls/s for 15 minutes
        now_s = call / 100
        chosen = geography.choose("eu", TARGETS, now_s=now_s, draw=rng.random)
        there = next(name for name, members in TARGETS.items() if members == chosen)
        slow = there == "eu" and 100 <= now_s < 200
        base_s = {"eu": 0.02, "us": 0.08, "asia": 0.2}[there]
        latency_s = (0.4 if slow else base_s) * (0.9 + 0.2 * rng.random())
        geography.learned("eu", there, latency_s=latency_s, now_s=now_s)
        went.append(there)
    steady, slow_time, last = went[5_000:10_000], went[10_000:20_000], went[-10_000:]
    assert Counter(steady)["eu"] >= 0.97 * len(steady)
    assert Counter(slow_time)["eu"] <= 20
    assert Counter(slow_time)["us"] >= 0.97 * len(slow_time)
    assert Counter(last)["eu"] >= 0.97 * len(last)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(TARGETS)), st.floats(0, 2), st.floats(0, 60)),
        max_size=60,
    ),
    st.lists(st.sampled_from([*TARGETS, "mars"]), unique=True),
)
def test_an_order_names_each_location_once_and_no_slower_one_before_a_faster(
    samples: list[tuple[str, float, float]], preference: list[str]
) -> None:
    geography, now_s = Geography(), 0.0
    for there, latency_s, passed_s in samples:
        now_s += passed_s
        geography.learned("eu", there, latency_s=latency_s, now_s=now_s)
    order = geography.order("eu", list(TARGETS), preference=preference, now_s=now_s)
    assert sorted(order) == sorted(TARGETS)
    latencies = [geography.latency_s("eu", there, now_s=now_s) for there in order]
    known = [latency for latency in latencies if latency is not None]
    assert latencies[: len(known)] == known
    near = min(known, default=0.0) * 1.2
    assert [max(one, near) for one in known] == sorted(max(one, near) for one in known)


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError, match=r"weight is 0.*min_samples is 0"):
        GeographySettings(weight=0, min_samples=0)
