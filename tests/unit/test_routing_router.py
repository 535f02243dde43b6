"""The router: from a message to its targets, and every way that this can fail."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.candidate_set import Candidates
from orchestration.core.routing.candidates import CandidateCache
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.router import Router
from orchestration.errors import (
    AllUnhealthy,
    NoRoute,
    NoTargetAvailable,
    RoutingError,
    UnknownTarget,
)
from tests.unit.routed import ABC, Fleet, World, message
from tests.unit.test_routing_strategies import Slow

RULE = RouteRule("calc", 5, "payload.get('t') == 'x'", targets=ABC)
SENT = message(payload={"t": "x"})


def entries(router: Router) -> dict[Any, Candidates]:
    return router.cache._entries


def test_a_rule_goes_before_a_static_route_and_that_before_the_agent() -> None:
    world = World(RULE)
    world.table = world.table.with_static("agent-a", ["agent-b"])
    assert world.decide(message("agent-a", {"t": "x"})).rule is RULE
    assert world.targets(message("agent-a")) == ("agent-b",)
    assert world.targets(message("agent-c")) == ("agent-c",)


def test_a_message_without_a_way_says_what_would_help() -> None:
    with pytest.raises(
        NoRoute, match=r"'calculator'.*add a rule or a static"
    ) as caught:
        World(RULE).decide(message())
    assert (caught.value.recipient_id, caught.value.rule) == ("calculator", "")


def test_targets_that_nobody_knows_are_named() -> None:
    world = World(RULE, fleet=Fleet("agent-z"))
    with pytest.raises(UnknownTarget, match="agent-a, agent-b, agent-c") as caught:
        world.decide(SENT)
    assert caught.value.rule == "calc"


def test_a_capability_that_nobody_has_is_named() -> None:
    world = World(RouteRule("r", capability="xbrl"))
    with pytest.raises(UnknownTarget, match="capability 'xbrl'"):
        world.decide()
    world.fleet.can("xbrl", "agent-b")
    assert world.targets() == ("agent-b",)


def test_one_unknown_target_is_passed_over_and_told() -> None:
    world = World(RULE, fleet=Fleet("agent-a"))
    decision = world.decide(SENT)
    assert decision.targets == ("agent-a",)
    assert decision.explain()["unknown_targets"] == ["agent-b", "agent-c"]
    assert "nobody knows agent-b, agent-c" in decision.reason


def test_agents_that_are_silent_get_nothing() -> None:
    world = World(RULE)
    world.fleet.turn("agent-a", AgentStatus.INACTIVE)
    world.fleet.turn("agent-b", AgentStatus.DECOMMISSIONED)
    assert world.picks(10, SENT) == ["agent-c"] * 10
    world.fleet.turn("agent-c", AgentStatus.INACTIVE)
    with pytest.raises(AllUnhealthy, match="all of its 3 known agents") as caught:
        world.decide(SENT)
    assert isinstance(caught.value, NoTargetAvailable | RoutingError)


def test_degraded_agents_are_spared_while_enough_others_are_well() -> None:
    world = World(RULE)
    world.fleet.turn("agent-a", AgentStatus.DEGRADED)
    assert set(world.picks(30, SENT)) == {"agent-b", "agent-c"}
    assert not world.decide(SENT).panic


def test_when_too_few_are_well_the_degraded_help() -> None:
    world = World(RULE)
    world.fleet.turn("agent-a", AgentStatus.DEGRADED)
    world.fleet.turn("agent-b", AgentStatus.DEGRADED)
    assert set(world.picks(30, SENT)) == set(ABC)
    decision = world.decide(SENT)
    assert decision.panic
    assert "too few are ACTIVE" in decision.reason


def test_content_that_nobody_can_do_is_named() -> None:
    world = World(RouteRule("r", targets=ABC, strategy="CONTENT_BASED"))
    with pytest.raises(NoTargetAvailable, match=r"'pdf'.*'task_type'"):
        world.decide(message(payload={"task_type": "pdf"}))


def test_the_shaping_stage_leaves_agents_out() -> None:
    shaping = Slow()
    world = World(RULE, shaping=shaping)
    assert set(world.picks(9, SENT)) == set(ABC)
    shaping.out = {"agent-a", "agent-b"}
    shaping.version += 1
    assert set(world.picks(9, SENT)) == {"agent-c"}
    shaping.out = set(ABC)
    shaping.version += 1
    with pytest.raises(NoTargetAvailable, match="take nothing for now"):
        world.decide(SENT)


def test_an_agent_at_its_limit_does_not_get_what_was_picked_for_it() -> None:
    shaping = Slow()
    world = World(RULE, shaping=shaping)
    shaping.full = {"agent-a", "agent-b"}
    assert world.picks(9, SENT) == ["agent-c"] * 9
    sent = {load.agent_id: load.sent for load in world.router.loads}
    assert sent == {"agent-a": 0, "agent-b": 0, "agent-c": 9}
    shaping.full = set(ABC)
    with pytest.raises(NoTargetAvailable, match="take nothing for now"):
        world.decide(SENT)


def test_a_broadcast_counts_against_each_limit() -> None:
    shaping = Slow()
    world = World(RouteRule("r", targets=ABC, strategy="BROADCAST"), shaping=shaping)
    shaping.full = {"agent-a"}
    assert world.targets() == ABC
    assert world.targets() == ABC[1:]


def test_a_look_changes_nothing_and_shows_what_comes_next() -> None:
    for strategy in ("ROUND_ROBIN", "CONSISTENT_HASH", "FAILOVER"):
        world = World(RouteRule("r", targets=ABC, strategy=strategy))
        world.decide(SENT)
        seen = [world.look(SENT).targets for _ in range(4)]
        assert len(set(seen)) == 1
        before = [load.sent for load in world.router.loads]
        world.look(SENT)
        assert [load.sent for load in world.router.loads] == before
        assert world.targets(SENT) == seen[0]


def test_an_explanation_tells_rule_candidates_loads_and_staleness() -> None:
    world = World(RULE)
    world.report({"agent-a": 3, "agent-b": 0, "agent-c": 5})
    world.now += 0.5
    told = world.look(SENT).explain()
    assert told["rule"] == "calc"
    assert told["strategy"] == "LEAST_LOADED"
    assert told["targets"] == ["agent-b"]
    assert told["candidates"] == list(ABC)
    assert told["loads"] == pytest.approx(
        {"agent-a": 0.18, "agent-b": 0.0, "agent-c": 0.3}
    )
    assert told["staleness_s"] == 0.5
    assert told["panic"] is False
    assert "'calc' (LEAST_LOADED) of 3 candidates: agent-b" in told["reason"]
    assert "agent-b" in repr(world.look(SENT))


def test_candidates_come_from_the_cache_until_the_registry_changes() -> None:
    world = World(RULE)
    assert [world.decide(SENT).cached for _ in range(3)] == [False, True, True]
    world.fleet.have("agent-new")
    assert [world.decide(SENT).cached for _ in range(2)] == [False, True]
    assert (world.router.cache.hits, world.router.cache.misses) == (3, 2)


def test_candidates_have_a_time() -> None:
    world = World(RULE, cache=CandidateCache(ttl_s=30))
    world.decide(SENT)
    world.now += 29.9
    assert world.decide(SENT).cached
    world.now += 0.2
    assert not world.decide(SENT).cached


def test_a_hit_never_pins_the_load_to_an_agent() -> None:
    world = World(RULE)
    assert len(set(world.picks(9, SENT))) == 3
    assert world.router.cache.hits == 8


def test_a_rule_that_was_replaced_by_its_namesake_has_no_old_candidates() -> None:
    world = World(RULE)
    world.decide(SENT)
    other = RouteRule("calc", 5, RULE.condition, targets=["agent-b"])
    world.table = world.table.without_rule("calc").with_rule(other)
    assert world.picks(3, SENT) == ["agent-b"] * 3


def test_rules_for_the_same_agents_share_them() -> None:
    one = RouteRule("one", 1, "payload.get('t') == 1", capability="c")
    two = RouteRule("two", 1, "payload.get('t') == 2", capability="c")
    world = World(one, two)
    world.fleet.can("c", *ABC)
    first = world.decide(message(payload={"t": 1}))
    second = world.decide(message(payload={"t": 2}))
    assert first.candidates_set.pool is second.candidates_set.pool
    assert (first.rule.name, second.rule.name) == ("one", "two")


def test_rules_for_the_same_agents_by_content_do_not_share_them() -> None:
    one = RouteRule("one", 1, "payload.get('t') == 1", targets=ABC)
    two = RouteRule("two", 0, targets=ABC, strategy="CONTENT_BASED")
    world = World(one, two)
    world.decide(message(payload={"t": 1}))
    with pytest.raises(NoTargetAvailable, match="capability ''"):
        world.decide()


def test_shared_candidates_have_a_time_too() -> None:
    world = World(RULE, cache=CandidateCache(ttl_s=30))
    pool = world.decide(SENT).candidates_set.pool
    world.now += 31
    assert world.decide(SENT).candidates_set.pool is not pool


def test_turns_go_on_when_the_registry_changes() -> None:
    world = World(RouteRule("r", targets=ABC, strategy="ROUND_ROBIN"))
    picks = []
    for at in range(9):
        world.fleet.have(f"agent-new-{at}")
        picks += world.targets()
    assert picks[:3] == picks[3:6] == picks[6:]


@pytest.mark.parametrize("rubbish", ["text", 7, ("agent-a",)])
def test_a_corrupt_entry_is_dropped_made_anew_and_counted(rubbish: Any) -> None:
    world = World(RULE)
    world.decide(SENT)
    entries(world.router)["calc"] = rubbish
    assert world.targets(SENT)[0] in ABC
    assert world.router.cache.corrupt == 1
    assert world.decide(SENT).cached


@pytest.mark.parametrize(
    ("field", "value"),
    [("pool", ()), ("pool", None), ("pool", (None,) * 3), ("strategy", "NONE")],
)
def test_an_entry_that_turns_out_corrupt_is_made_anew(field: str, value: Any) -> None:
    world = World(RULE)
    world.decide(SENT)
    setattr(entries(world.router)["calc"], field, value)
    assert world.targets(SENT)[0] in ABC
    assert world.router.cache.corrupt == 1


def test_the_cache_keeps_so_many_entries_and_drops_the_oldest() -> None:
    world = World(cache=CandidateCache(max_entries=2))
    for agent_id in ABC:
        world.decide(message(agent_id))
    assert len(world.router.cache) == 2
    assert not world.decide(message("agent-a")).cached
    assert world.decide(message("agent-c")).cached


def test_a_message_is_never_changed() -> None:
    payload = {"t": "x", "deep": {"a": [1, 2]}}
    sent = message(payload=payload, headers={"location": "eu"})
    before = sent.to_json()
    World(RULE).decide(sent)
    assert sent.to_json() == before
    assert sent.payload is payload
