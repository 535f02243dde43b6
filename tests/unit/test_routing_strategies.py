"""Strategies: whom each of them picks, and how the shares come out."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.messaging.model import Message, Priority
from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.loads import AgentLoad, Loads
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.ports import AgentView
from orchestration.core.routing.strategies import (
    Method,
    idlest_of,
    in_turn,
    share_of,
    weighted,
)
from tests.unit.profiles import examples
from tests.unit.routed import ABC, Fleet, World, message, shares


def world(strategy: str, *, agents: tuple[str, ...] = ABC, **more: Any) -> World:
    parts = {name: more.pop(name) for name in list(more) if name in PARTS}
    rule = RouteRule("r", targets=agents, strategy=strategy, **more)
    return World(rule, fleet=Fleet(*agents), **parts)


PARTS = {"shaping", "stickiness", "costs", "loads", "floor"}
MANY = tuple(f"agent-{at:03}" for at in range(100))


def loads_of(scores: list[float]) -> list[AgentLoad]:
    pool = []
    for at, score in enumerate(scores):
        load = AgentLoad(f"agent-{at}", 0.1, 0.1)
        load.score = score
        pool.append(load)
    return pool


class Slow:
    """A shaping stage in which some agents have less weight."""

    def __init__(self, **weights: float) -> None:
        self.version = 0
        self.out: set[str] = set()
        self.full: set[str] = set()
        self._weights = {f"agent-{name}": weight for name, weight in weights.items()}

    def admit(self, agent_ids: Any, now: float) -> list[str]:
        del now
        return [one for one in agent_ids if one not in self.out]

    def weights(self, now: float) -> dict[str, float]:
        del now
        return self._weights

    def picked(self, agent_id: str, now: float) -> bool:
        del now
        if agent_id not in self.full:
            return True
        self.out.add(agent_id)
        self.version += 1
        return False


def test_round_robin_gives_each_its_turn() -> None:
    picks = world("ROUND_ROBIN").picks(9)
    assert picks[:3] == picks[3:6] == picks[6:9]
    assert set(picks[:3]) == set(ABC)


def test_an_agent_of_less_weight_lets_turns_pass() -> None:
    found = world("ROUND_ROBIN", shaping=Slow(a=0.25))
    counts = Counter(found.picks(9_000))
    assert counts["agent-a"] / counts["agent-c"] == pytest.approx(0.25, abs=0.03)


def test_the_least_loaded_of_few_gets_the_message() -> None:
    found = world("LEAST_LOADED")
    found.report({"agent-a": 5, "agent-b": 2, "agent-c": 5})
    decision = found.decide()
    assert decision.targets == ("agent-b",)
    assert decision.method is Method.SCAN


def test_three_idle_agents_share_evenly() -> None:
    found = world("LEAST_LOADED")
    found.report(dict.fromkeys(ABC, 0))
    for share in shares(found.picks(3_000)).values():
        assert share == pytest.approx(1 / 3, abs=0.02)


def test_agents_without_any_report_share_evenly() -> None:
    for share in shares(world("LEAST_LOADED").picks(3_000)).values():
        assert share == pytest.approx(1 / 3, abs=0.001)


def test_an_agent_with_twice_the_capacity_gets_twice_as_much() -> None:
    found = world("LEAST_LOADED", agents=ABC[:2])
    found.report({"agent-a": 0}, capacity=10)
    found.report({"agent-b": 0}, capacity=20)
    assert shares(found.picks(600))["agent-b"] == pytest.approx(2 / 3, abs=0.01)


def test_of_many_a_few_are_looked_at() -> None:
    found = world("LEAST_LOADED", agents=MANY)
    found.report(dict.fromkeys(MANY, 0))
    decision = found.decide()
    assert decision.method is Method.CHOICES
    assert len(decision.pick[2]) == 4
    assert max(Counter(found.picks(2_000)).values()) < 30


def test_with_other_routers_few_are_drawn_even_of_ten() -> None:
    found = world("LEAST_LOADED", agents=MANY[:10], loads=Loads(routers=2))
    found.report(dict.fromkeys(MANY[:10], 0))
    assert found.decide().method is Method.CHOICES


def test_loads_that_are_old_are_not_gone_by() -> None:
    found = world("LEAST_LOADED")
    found.report({"agent-a": 9, "agent-b": 0, "agent-c": 9})
    found.now += 2.1
    assert len(set(found.picks(3))) == 3
    decision = found.decide()
    assert decision.method is Method.TURN
    assert "loads are old: reports of 2.1 to 2.1 s ago" in decision.reason


@pytest.mark.parametrize(
    "strategy", ["LEAST_LOADED", "WEIGHTED_RANDOM", "PRIORITY_BASED"]
)
def test_beside_old_loads_a_fresh_one_is_not_gone_by_either(strategy: str) -> None:
    found = world(strategy)
    found.report({"agent-a": 9, "agent-b": 9})
    found.now += 30
    found.report({"agent-c": 0})
    decisions = [found.decide() for _ in range(30)]
    assert {decision.method for decision in decisions} == {Method.TURN}
    assert set(Counter(one.targets[0] for one in decisions).values()) == {10}
    told = decisions[-1].explain()
    assert told["load_ages_s"] == {"agent-a": 30.0, "agent-b": 30.0, "agent-c": 0.0}
    assert "loads are old: reports of 0.0 to 30.0 s ago" in told["reason"]


def test_an_agent_that_never_reported_is_told_of_when_loads_are_not_gone_by() -> None:
    found = world("LEAST_LOADED")
    found.report({"agent-a": 9, "agent-b": 9})
    told = found.decide().explain()
    assert told["method"] == "TURN"
    assert told["load_ages_s"]["agent-c"] is None
    assert "none of 1 candidates" in told["reason"]


@pytest.mark.no_cover  # tracing lines doubles its time
@pytest.mark.parametrize("agents", [ABC, MANY])
@pytest.mark.parametrize("queue", [0, 5])
def test_a_slow_agent_gets_its_weights_part_of_a_share(
    agents: tuple[str, ...], queue: int
) -> None:
    slow = agents[0].removeprefix("agent-")
    found = world("LEAST_LOADED", agents=agents, shaping=Slow(**{slow: 0.25}))
    counts: Counter[str] = Counter()
    for _ in range(6_000):
        found.report(dict.fromkeys(agents, queue))
        counts.update(found.targets())
    share = counts[agents[0]] / 6_000
    assert share == pytest.approx(0.25 / len(agents), rel=0.5)


def test_if_all_are_slow_the_least_slow_is_picked_at_least() -> None:
    found = world("LEAST_LOADED", shaping=Slow(a=0.01, b=0.02, c=0.01))
    found.report(dict.fromkeys(ABC, 0))
    assert shares(found.picks(500))["agent-b"] > 0.9


def test_half_the_load_is_twice_the_chance() -> None:
    found = world("WEIGHTED_RANDOM", agents=ABC[:2])
    counts: Counter[str] = Counter()
    for _ in range(4_000):
        found.report({"agent-a": 10, "agent-b": 20})
        counts[found.targets()[0]] += 1
    assert counts["agent-a"] / counts["agent-b"] == pytest.approx(2, rel=0.15)


def test_of_many_the_idle_are_likelier() -> None:
    found = world("WEIGHTED_RANDOM", agents=MANY)
    counts: Counter[str] = Counter()
    for _ in range(2_000):
        found.report({name: 4 + 8 * (at % 2) for at, name in enumerate(MANY)})
        counts[found.targets()[0]] += 1
    idle = sum(counts[name] for name in MANY[::2])
    assert idle / 2_000 == pytest.approx(0.74, abs=0.05)


def test_content_chooses_who_is_able() -> None:
    found = world("CONTENT_BASED", key="kind")
    found.fleet.can("xbrl", "agent-c", "agent-z")
    found.fleet.can("pdf", "agent-a", "agent-b")
    assert set(found.picks(20, message(payload={"kind": "xbrl"}))) == {"agent-c"}
    assert set(found.picks(20, message(payload={"kind": "pdf"}))) == set(ABC[:2])


def test_content_goes_by_the_task_type_if_no_key_is_given() -> None:
    found = world("CONTENT_BASED")
    found.fleet.can("xbrl", "agent-b")
    assert found.targets(message(payload={"task_type": "xbrl"})) == ("agent-b",)


HEALTHY = tuple(f"agent-{at}" for at in range(10))


@pytest.mark.parametrize(
    ("priority", "may_get"),
    [
        (Priority.CRITICAL, HEALTHY[:5]),
        (Priority.HIGH, HEALTHY[:5]),
        (Priority.NORMAL, HEALTHY),
        (Priority.LOW, HEALTHY[5:]),
    ],
)
@pytest.mark.parametrize("fresh", [True, False])
def test_urgent_messages_have_the_healthier_half(
    priority: Priority, may_get: tuple[str, ...], *, fresh: bool
) -> None:
    found = world("PRIORITY_BASED", agents=HEALTHY)
    found.fleet.have(
        *(AgentView(one, health=1 - at / 20) for at, one in enumerate(HEALTHY))
    )
    if fresh:
        found.report(dict.fromkeys(HEALTHY, 0))
    assert set(found.picks(400, message(priority=priority))) == set(may_get)


def test_what_is_critical_looks_at_more_agents() -> None:
    found = world("PRIORITY_BASED", agents=MANY)
    found.report(dict.fromkeys(MANY, 0))
    critical = found.decide(message(priority="CRITICAL"))
    assert len(critical.pick[2]) == 8


def test_one_agent_has_no_other_half() -> None:
    assert world("PRIORITY_BASED", agents=ABC[:1]).targets(message(priority="LOW")) == (
        "agent-a",
    )
    assert share_of("LOW", 1) == (4, (0, 1))


class Memory:
    def __init__(self) -> None:
        self.held_to: dict[str, str] = {}

    def held(self, key: str, now: float) -> str | None:
        del now
        return self.held_to.get(key)

    def hold(self, key: str, agent_id: str, now: float) -> None:
        del now
        self.held_to[key] = agent_id


def session(key: str) -> Message:
    return message(headers={"affinity_key": key})


def test_a_conversation_is_held_to_its_agent() -> None:
    found = world("AFFINITY", stickiness=Memory())
    first = found.targets(session("s1"))
    assert {found.targets(session("s1")) for _ in range(10)} == {first}
    assert found.decide(session("s1")).method is Method.HELD
    # Others go by keys of their own, which are drawn: that forty meet is 3 ** -39.
    assert set(found.picks(40)) - {first[0]}


def test_a_conversation_whose_agent_is_gone_gets_another() -> None:
    memory = Memory()
    found = world("AFFINITY", stickiness=memory)
    (first,) = found.targets(session("s1"))
    found.fleet.turn(first, AgentStatus.INACTIVE)
    (second,) = found.targets(session("s1"))
    assert second != first
    assert [*memory.held_to.values()] == [second]


def test_a_look_holds_nothing() -> None:
    memory = Memory()
    found = world("AFFINITY", stickiness=memory)
    found.look(session("s1"))
    assert memory.held_to == {}


def test_without_a_memory_the_ring_holds_a_conversation() -> None:
    found = world("AFFINITY", agents=MANY)
    assert len({found.targets(session("s1")) for _ in range(3)}) == 1
    assert len({found.targets(session(f"s{at}")) for at in range(50)}) > 10


def test_a_broadcast_is_for_all() -> None:
    assert world("BROADCAST").targets() == ABC


def test_failover_takes_the_first_that_is_well() -> None:
    found = world("FAILOVER")
    assert found.targets() == ("agent-a",)
    found.fleet.turn("agent-a", AgentStatus.DEGRADED)
    assert found.targets() == ("agent-b",)
    found.fleet.turn("agent-b", AgentStatus.INACTIVE)
    found.fleet.turn("agent-c", AgentStatus.DECOMMISSIONED)
    decision = found.decide()
    assert decision.targets == ("agent-a",)
    assert decision.panic


def test_failover_goes_by_location_before_the_rules_order() -> None:
    found = world("FAILOVER", locations=["eu", "us"])
    found.fleet.have(
        AgentView("agent-a", location="us"),
        AgentView("agent-b", location="eu"),
        AgentView("agent-c", location="asia"),
    )
    assert found.targets() == ("agent-b",)
    assert found.targets(message(headers={"location": "asia"})) == ("agent-c",)
    found.fleet.lose("agent-b")
    assert found.targets() == ("agent-a",)


def test_a_key_keeps_its_agent() -> None:
    found = world("CONSISTENT_HASH", agents=MANY, key="customer")
    sent = message(payload={"customer": 17})
    first = found.targets(sent)
    assert found.targets(sent) == first
    other = next(one for one in MANY if (one,) != first)
    found.fleet.turn(other, AgentStatus.INACTIVE)
    assert found.targets(sent) == first


def test_without_the_key_the_conversation_counts() -> None:
    found = world("CONSISTENT_HASH", agents=MANY, key="customer")
    sent = message(correlation_id="c-1")
    assert found.targets(sent) == found.targets(replace(sent, message_id="other"))
    assert found.decide(sent).key == "c-1"


def test_a_hot_key_is_shared_with_others() -> None:
    found = world("CONSISTENT_HASH", agents=MANY[:10])
    counts = Counter(found.picks(1_000, session("hot")))
    assert max(counts.values()) <= 126


class Learned:
    def __init__(self, **costs: float) -> None:
        self._costs = {f"agent-{name}": cost for name, cost in costs.items()}

    def cost(self, agent: AgentLoad, message: Message, now: float) -> float:
        del message, now
        return self._costs[agent.agent_id] * (1 + agent.sent)


def test_the_predicted_fastest_gets_most() -> None:
    found = world("PREDICTIVE", costs=Learned(a=10, b=20, c=40))
    counts = Counter(found.picks(700))
    assert counts["agent-a"] > counts["agent-b"] > counts["agent-c"] > 50
    assert found.decide().method is Method.COSTS_OF_ALL


def test_without_predictions_the_load_counts() -> None:
    found = world("PREDICTIVE")
    found.report({"agent-a": 5, "agent-b": 2, "agent-c": 5})
    assert found.targets() == ("agent-b",)


SCORES = st.lists(st.floats(0, 100), min_size=1, max_size=40)
WEIGHTS = st.dictionaries(
    st.integers(0, 39).map("agent-{}".format), st.floats(0.01, 1.0), max_size=5
)


@given(scores=SCORES, weights=WEIGHTS, seed=st.integers(0, 999), data=st.data())
@examples(200)
def test_each_pick_is_of_those_looked_at_and_in_its_span(
    scores: list[float], weights: dict[str, float], seed: int, data: st.DataObject
) -> None:
    pool, dice = loads_of(scores), random.Random(seed).random
    low = data.draw(st.integers(0, len(pool) - 1))
    span = (low, data.draw(st.integers(low + 1, len(pool))))
    for picked, _, seen, found in (
        idlest_of(pool, dice, weights, 8, span),
        in_turn(pool, seed, dice, weights, span),
    ):
        assert set(picked) <= set(seen) <= set(range(*span))
        assert list(found) == [scores[at] for at in seen]
    for picked, _, seen, _ in (
        idlest_of(pool, dice, weights),
        weighted(pool, dice, weights),
    ):
        assert set(picked) <= set(seen) <= set(range(len(pool)))


@given(scores=SCORES, seed=st.integers(0, 999))
@examples(200)
def test_four_drawn_at_once_are_as_four_drawn_one_by_one(
    scores: list[float], seed: int
) -> None:
    pool = loads_of(scores)
    at_once = idlest_of(pool, random.Random(seed).random, {})
    span = (0, len(pool))
    assert at_once == idlest_of(pool, random.Random(seed).random, {}, 4, span)


@pytest.mark.parametrize("die", [0.0, 1.0 - 2**-53])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 10_000])
def test_the_dices_ends_are_within_the_pool(die: float, count: int) -> None:
    pool = loads_of([0.0] * count)
    for _, _, seen, _ in (
        idlest_of(pool, lambda: die, {}),
        weighted(pool, lambda: die, {}),
    ):
        assert 0 <= min(seen) <= max(seen) < count
