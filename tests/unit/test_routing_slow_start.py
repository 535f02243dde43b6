"""A target that has just joined gets some calls at once, and all of them later."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.slow_start import (
    SlowStart,
    SlowStartSettings,
    contenders,
    ramp,
)
from orchestration.errors import ConfigurationError
from tests.support.fleet import Agent, Fleet, Router, steady

OLD = tuple(f"agent-{n}" for n in range(1, 20))
NEW = "agent-0"


@pytest.mark.parametrize(
    ("age_s", "aggression", "share"),
    [
        (-5, 1.0, 0.1),
        (0, 1.0, 0.1),
        (15, 1.0, 0.5),
        (15, 2.0, 0.5**0.5),
        (15, 0.5, 0.25),
        (30, 1.0, 1.0),
    ],
)
def test_the_share_grows_along_its_curve(
    age_s: float, aggression: float, share: float
) -> None:
    settings = SlowStartSettings(aggression=aggression)
    assert ramp(settings, age_s) == pytest.approx(share)


@given(
    st.floats(0, 1_000),
    st.floats(0.01, 20),
    st.floats(0.001, 1),
    st.floats(0, 2_000),
    st.floats(0, 2_000),
)
def test_a_share_never_shrinks_with_age_and_never_is_nothing(
    window_s: float, aggression: float, least: float, one_s: float, other_s: float
) -> None:
    settings = SlowStartSettings(
        window_s=window_s, aggression=aggression, min_share=least
    )
    early, late = sorted((one_s, other_s))
    assert least <= ramp(settings, early) <= ramp(settings, late) <= 1.0


class SlowlyStarting(Router):
    """Compares the loads of four, among whom the newcomer takes part by its share."""

    start = SlowStart()

    def pick(self, now_s: float) -> str:
        sample = self.rng.sample(self.names, 4)
        weights = self.start.weights(now_s=now_s)
        part = contenders(sample, weights, self.rng.random)
        return min(part, key=self.load)


class Divided(Router):
    """Divides loads, with one added, by the share: what starves newcomers elsewhere."""

    def pick(self, now_s: float) -> str:
        share = ramp(SlowStartSettings(), now_s)
        sample = self.rng.sample(self.names, 4)
        return min(
            sample,
            key=lambda name: (self.load(name) + 1) / (share if name == NEW else 1.0),
        )


def calls_of_the_newcomer(kind: type[Router], seconds: float) -> tuple[int, float]:
    """Return its calls and its fair part under least load at half of the capacity."""
    names = (NEW, *OLD)
    rng = Random(5)
    fleet = Fleet([Agent(name, steady(0.05)) for name in names], 200, 0.01, rng)
    answers = fleet.run([kind(names, routers=1, rng=rng)], seconds)
    counted = Counter(answer.target for answer in answers)
    return counted[NEW], len(answers) / len(names)


@pytest.mark.parametrize(("seconds", "least", "most"), [(3, 0.05, 0.3), (30, 0.4, 0.7)])
def test_under_least_load_a_newcomer_gets_its_growing_part_of_the_calls(
    seconds: float, least: float, most: float
) -> None:
    SlowlyStarting.start = SlowStart()
    SlowlyStarting.start.joined(NEW, now_s=0.0)
    calls, fair = calls_of_the_newcomer(SlowlyStarting, seconds)
    assert least * fair <= calls <= most * fair


def test_dividing_loads_by_the_share_would_starve_it() -> None:
    calls, fair = calls_of_the_newcomer(Divided, 3)
    assert calls < 0.05 * fair


def test_somebody_always_takes_part() -> None:
    weights = {**dict.fromkeys(OLD, 0.1), OLD[3]: 0.3}
    assert contenders(OLD[:5], weights, lambda: 0.99) == (OLD[3],)
    assert contenders((), weights, lambda: 0.99) == []
    assert contenders(OLD, {}, lambda: 0.99) == OLD


def test_after_its_window_a_target_is_like_all_others() -> None:
    start = SlowStart()
    start.joined(NEW, now_s=0.0)
    assert start.weights(now_s=15.0) == {NEW: 0.5}
    assert start.weights(now_s=30.0) == {}
    assert start.weights(now_s=15.0) == {}


def test_a_target_that_is_gone_is_forgotten() -> None:
    start = SlowStart()
    start.joined(NEW, now_s=0.0)
    start.forget(NEW)
    assert start.weights(now_s=0.0) == {}


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError, match=r"window_s is -1.*min_share is 0"):
        SlowStartSettings(window_s=-1, min_share=0)
