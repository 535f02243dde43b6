"""The router with ejection, slow start and limits, and with what learns."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestration.core.routing.affinity import Affinity
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.predict import Predictor, kind_of
from orchestration.core.routing.rates import Rate, RateLimits
from orchestration.core.routing.record import DecisionRecord, replay
from orchestration.core.routing.shaping import Shaper
from orchestration.errors import NoTargetAvailable
from tests.unit.routed import ABC, World, message

RULE = RouteRule("r", targets=ABC)


def test_an_agent_that_fails_gets_nothing_and_then_comes_back() -> None:
    shaper = Shaper()
    world = World(RULE, shaping=shaper)
    world.decide()
    for _ in range(20):
        world.now += 0.01
        shaper.answered("agent-a", ok=False, sent=world.now, now=world.now)
    assert set(world.picks(30)) == {"agent-b", "agent-c"}
    world.now += 3_600
    assert "agent-a" in world.picks(30)


def test_an_agent_at_its_limit_is_passed_over_until_it_rests() -> None:
    limits = RateLimits()
    for agent_id in ABC[:2]:
        limits.limit(agent_id, Rate(calls_per_s=1, burst=1))
    world = World(RULE, shaping=Shaper(rates=limits))
    counts = Counter(world.picks(20))
    assert (counts["agent-a"], counts["agent-b"], counts["agent-c"]) == (1, 1, 18)
    world.now += 1.1
    counts = Counter(world.picks(20))
    assert (counts["agent-a"], counts["agent-b"], counts["agent-c"]) == (1, 1, 18)


def test_if_all_are_at_their_limits_nobody_gets_it_for_now() -> None:
    limits = RateLimits()
    for agent_id in ABC:
        limits.limit(agent_id, Rate(calls_per_s=1, burst=1))
    world = World(RULE, shaping=Shaper(rates=limits))
    assert set(world.picks(3)) == set(ABC)
    with pytest.raises(NoTargetAvailable):
        world.decide()
    world.now += 1.1
    assert set(world.picks(3)) == set(ABC)


def test_a_newcomer_starts_slowly_and_its_decisions_are_made_again() -> None:
    shaper = Shaper()
    world = World(RULE, shaping=shaper)
    world.report(dict.fromkeys(ABC, 0))
    shaper.joined("agent-a", world.now)
    counts: Counter[str] = Counter()
    for _ in range(600):
        world.report(dict.fromkeys(ABC, 0))
        decision = world.decide()
        assert replay(DecisionRecord.of(decision)) == decision.targets
        counts.update(decision.targets)
    assert 0 < counts["agent-a"] < counts["agent-b"] / 3


def test_a_conversation_is_held_by_the_memory_that_forgets() -> None:
    rule = RouteRule("r", targets=ABC, strategy="AFFINITY")
    world = World(rule, stickiness=Affinity())
    sent = message(headers={"affinity_key": "s1"})
    assert len(set(world.picks(10, sent))) == 1


def test_what_was_learned_of_latencies_is_gone_by() -> None:
    predictor, sent = Predictor(), message(payload={"task_type": "x"})
    rule = RouteRule("r", targets=ABC, strategy="PREDICTIVE")
    world = World(rule, costs=predictor)
    world.report(dict.fromkeys(ABC, 0))
    for agent_id, took_s in zip(ABC, (1.0, 0.1, 1.0), strict=True):
        for _ in range(10):
            predictor.learned(
                agent_id, kind_of(sent), latency_s=took_s, load=0, now_s=world.now
            )
    decision = world.decide(sent)
    assert decision.targets == ("agent-b",)
