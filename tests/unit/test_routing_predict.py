"""What was learned of agents picks better ones than their loads alone."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.predict import Predictor, PredictorSettings, kind_of
from orchestration.errors import ConfigurationError
from tests.support.hetero import WORK, Seen, heterogeneous

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover

TEN = tuple(f"agent-{n}" for n in range(10))


@pytest.mark.parametrize(("snapshot_s", "share"), [(1.0, 0.6), (0.1, 0.85)])
def test_it_beats_least_load_where_agents_differ_and_one_gets_slow(
    snapshot_s: float, share: float
) -> None:
    for seed in (1, 2):
        kept = {"seed": seed, "seconds": 40.0, "snapshot_s": snapshot_s}
        by_load = heterogeneous(predictive=False, **kept)
        learned = heterogeneous(predictive=True, **kept)
        assert learned.mean_s <= share * by_load.mean_s
        assert learned.p99_s <= share * by_load.p99_s


def taught(predictor: Predictor, target: str, each_s: float, now_s: float) -> None:
    for n in range(20):
        predictor.learned(
            target, kind_of(WORK), latency_s=each_s, load=0, now_s=now_s + n / 2
        )


def cheapest_of_four(predictor: Predictor, now_s: float) -> Counter[str]:
    rng = Random(1)
    return Counter(
        min(
            [Seen(name, 0) for name in rng.choices(TEN, k=4)],
            key=lambda seen: predictor.cost(seen, WORK, now_s),
        ).agent_id
        for _ in range(2_000)
    )


def test_a_slow_agent_gets_few_calls_and_gets_them_again_once_it_was_left_alone() -> (
    None
):
    predictor = Predictor()
    for target in TEN:
        taught(predictor, target, 1.0 if target == "agent-3" else 0.1, now_s=0.0)
    assert cheapest_of_four(predictor, now_s=10.0)["agent-3"] <= 5
    assert predictor.each_s("agent-3", "REQUEST", now_s=10.0) > 0.9
    typical = predictor.each_s("agent-99", "REQUEST", now_s=10.0)
    later = predictor.each_s("agent-3", "REQUEST", now_s=310.0)
    assert later == pytest.approx(typical, rel=0.1)


def test_who_is_not_known_counts_as_typical() -> None:
    predictor = Predictor()
    assert predictor.each_s("agent-1", "work", now_s=0.0) == 0.0
    taught(predictor, "agent-1", 0.2, now_s=0.0)
    assert predictor.each_s("agent-2", "REQUEST", now_s=9.5) == pytest.approx(0.2)
    assert predictor.each_s("agent-2", "other work", now_s=9.5) == 0.0


def test_kinds_of_messages_are_learned_apart() -> None:
    predictor = Predictor()
    predictor.learned("agent-1", "easy", latency_s=0.1, load=0, now_s=0.0)
    predictor.learned("agent-1", "hard", latency_s=3.0, load=0, now_s=0.0)
    assert predictor.each_s("agent-1", "easy", now_s=0.0) == pytest.approx(0.1)
    assert predictor.each_s("agent-1", "hard", now_s=0.0) == pytest.approx(3.0)


def test_a_line_in_front_of_an_agent_does_not_make_it_look_slow() -> None:
    predictor = Predictor()
    predictor.learned("agent-1", "work", latency_s=0.4, load=3, now_s=0.0)
    assert predictor.each_s("agent-1", "work", now_s=0.0) == pytest.approx(0.1)


def test_before_anything_is_learned_loads_decide() -> None:
    costs = [Predictor().cost(Seen("agent-1", load), WORK, 0.0) for load in (0, 1, 5)]
    assert costs[0] < costs[1] < costs[2]


def test_a_cost_counts_the_line_in_messages_whatever_a_message_adds_to_the_load() -> (
    None
):
    predictor = Predictor()
    predictor.learned("agent-1", kind_of(WORK), latency_s=0.1, load=0, now_s=0.0)
    cost_s = predictor.cost(Seen("agent-1", score=0.18, step=0.06), WORK, 0.0)
    assert cost_s == pytest.approx(0.4)


def test_the_kind_of_a_message_is_its_type_and_the_task_that_it_names() -> None:
    assert kind_of(WORK) == "REQUEST"
    assert kind_of(WORK.evolved(payload={"task_type": "sum"})) == "REQUEST:sum"
    assert kind_of(WORK.evolved(payload={"task_type": ["sum"]})) == "REQUEST"


def test_what_is_known_is_bounded_and_forgotten_with_its_target() -> None:
    predictor = Predictor(PredictorSettings(max_known=2))
    for target, each_s in (("agent-1", 1.0), ("agent-2", 2.0), ("agent-3", 3.0)):
        predictor.learned(target, "work", latency_s=each_s, load=0, now_s=0.0)
    typical = predictor.each_s("agent-9", "work", now_s=0.0)
    assert predictor.each_s("agent-1", "work", now_s=0.0) == typical
    assert predictor.each_s("agent-3", "work", now_s=0.0) == 3.0
    predictor.forget({"agent-3"})
    assert predictor.each_s("agent-3", "work", now_s=0.0) == typical


@given(
    st.lists(
        st.tuples(st.sampled_from(TEN), st.floats(0, 100), st.floats(0, 9)), max_size=40
    ),
    st.floats(0, 1_000),
)
def test_estimates_stay_within_what_was_seen(
    answers: list[tuple[str, float, float]], later_s: float
) -> None:
    predictor, now_s = Predictor(), 0.0
    for target, latency_s, passed_s in answers:
        now_s += passed_s
        predictor.learned(target, "work", latency_s=latency_s, load=0, now_s=now_s)
    seen = [latency_s for _, latency_s, _ in answers] or [0.0]
    for target in TEN:
        each_s = predictor.each_s(target, "work", now_s=now_s + later_s)
        assert min(seen) - 1e-9 <= each_s <= max(seen) + 1e-9


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError, match=r"memory_s is 0.*max_known is 0"):
        PredictorSettings(memory_s=0, max_known=0)
