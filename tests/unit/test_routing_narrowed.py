"""Rules that split, go to the nearest, or leave out who was tried."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.affinity import Affinity
from orchestration.core.routing.checks import rule_faults
from orchestration.core.routing.geography import Geography, GeographySettings
from orchestration.core.routing.model import RouteRule, RoutingStrategy, Variant
from orchestration.core.routing.ports import AgentView
from orchestration.core.routing.record import DecisionRecord, replay
from orchestration.core.routing.ring import Ring
from orchestration.errors import NoTargetAvailable
from tests.unit.routed import ABC, Fleet, World, message

SPLIT = [Variant("old", 3, ABC[:2]), Variant("new", 1, ABC[2:])]


def places() -> Fleet:
    return Fleet(
        AgentView("us-1", location="us"),
        AgentView("us-2", location="us"),
        AgentView("eu-1", location="eu"),
    )


def near(**more: object) -> RouteRule:
    targets = ["us-1", "us-2", "eu-1"]
    return RouteRule("near", targets=targets, nearest=True, **more)  # type: ignore[arg-type]


# --- splits


def test_a_split_shares_conversations_by_weight_and_keeps_each() -> None:
    world = World(RouteRule("ab", split=SPLIT, strategy="ROUND_ROBIN"))
    sides: Counter[str] = Counter()
    for number in range(400):
        sent = message(correlation_id=f"talk-{number}")
        first, second = world.decide(sent), world.decide(sent)
        assert first.rule.name == second.rule.name
        assert set(first.candidates) == set(
            ABC[:2] if first.rule.name == "ab:old" else ABC[2:]
        )
        sides[first.rule.name] += 1
    assert 70 <= sides["ab:new"] <= 130


def test_a_split_goes_by_the_key_of_the_payload() -> None:
    world = World(RouteRule("ab", split=SPLIT, key="customer"))
    names = {
        world.decide(message(payload={"customer": 7})).rule.name for _ in range(20)
    }
    assert len(names) == 1


def test_rules_of_a_split_travel_as_json() -> None:
    rule = RouteRule("ab", split=SPLIT, mirror="agent-c", mirror_share=0.5)
    again = RouteRule(**json.loads(json.dumps(rule.to_json())))
    assert again == rule
    assert rule_faults(again) == ()


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (RouteRule("r", split=SPLIT, targets=ABC), "leave one out"),
        (RouteRule("r", split=[SPLIT[0], SPLIT[0]]), "names a variant twice"),
        (RouteRule("r", split=[Variant("a", 0, ABC)]), "give one more than 0"),
        (RouteRule("r", split=[Variant("a", -1, ABC), SPLIT[0]]), "at least 0"),
        (RouteRule("r", split=[Variant("a")]), "variant 'a': it leads nowhere"),
        (RouteRule("r", split=[Variant("", 1, ABC)]), "printable characters"),
        (RouteRule("r", split="old"), "give a list of variants"),
        (RouteRule("r", split=[{"nam": "a"}]), "give a list of variants"),
        (RouteRule("r", targets=ABC, mirror="a b"), "give the id of an agent"),
        (RouteRule("r", targets=ABC, mirror_share=2), "at most 1"),
        (RouteRule("r", targets=ABC, nearest="yes"), "give True or False"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_with_a_rule_is_named(rule: RouteRule, fault: str) -> None:
    assert any(fault in one for one in rule_faults(rule)), rule_faults(rule)


# --- the nearest


def test_the_location_that_is_declared_gets_it_while_nothing_is_measured() -> None:
    world = World(near(locations=["eu"]), fleet=places())
    assert set(world.picks(10)) == {"eu-1"}
    wish = message(headers={"location": "us"})
    assert set(world.picks(10, wish)) == {"us-1", "us-2"}


def test_the_location_that_answers_soonest_gets_it() -> None:
    geography = Geography(GeographySettings(exploration=0.0))
    world = World(near(locations=["us"]), fleet=places(), geography=geography)
    for place, took_s in (("us", 0.2), ("eu", 0.01)):
        for _ in range(5):
            geography.learned("", place, latency_s=took_s, now_s=world.now)
    assert set(world.picks(10)) == {"eu-1"}
    world.fleet.turn("eu-1", AgentStatus.INACTIVE)
    assert set(world.picks(10)) == {"us-1", "us-2"}


def test_agents_of_the_better_tier_go_before_nearer_ones() -> None:
    world = World(near(strategy="FAILOVER", locations=["eu"]), fleet=places())
    assert world.targets() == ("eu-1",)
    world.fleet.turn("eu-1", AgentStatus.DEGRADED)
    assert world.targets()[0].startswith("us")
    for one in ("us-1", "us-2"):
        world.fleet.turn(one, AgentStatus.INACTIVE)
    assert world.targets() == ("eu-1",)


def test_turns_go_on_in_a_location_when_others_change() -> None:
    world = World(near(strategy="ROUND_ROBIN", locations=["us"]), fleet=places())
    picks = []
    for _ in range(20):
        picks += world.picks(1)
        world.fleet.have(AgentView("eu-1", location="eu"))
    assert Counter(picks) == {"us-1": 10, "us-2": 10}


def test_decisions_among_the_nearest_are_made_again() -> None:
    for strategy in RoutingStrategy:
        if strategy == "CONTENT_BASED":
            continue
        world = World(near(strategy=strategy), fleet=places(), stickiness=Affinity())
        world.report(dict.fromkeys(("us-1", "us-2", "eu-1"), 1))
        for number in range(30):
            decision = world.decide(message(correlation_id=str(number)))
            assert replay(DecisionRecord.of(decision)) == decision.targets


# --- who was tried


@pytest.mark.parametrize(
    "strategy",
    [one for one in RoutingStrategy if one not in ("CONTENT_BASED", "BROADCAST")],
)
def test_who_was_tried_is_not_picked_and_the_decision_is_made_again(
    strategy: RoutingStrategy,
) -> None:
    world = World(RouteRule("r", targets=ABC, strategy=strategy), stickiness=Affinity())
    world.report(dict.fromkeys(ABC, 1))
    for number in range(20):
        sent = message(correlation_id=f"talk-{number}")
        tried: frozenset[str] = frozenset()
        for _ in ABC:
            decision = world.router.decide(
                sent, world.table, world.fleet, world.rng, world.now, tried
            )
            assert not tried & {*decision.targets}
            assert replay(DecisionRecord.of(decision)) == decision.targets
            json.dumps(DecisionRecord.of(decision).to_json(), allow_nan=False)
            tried |= {*decision.targets}
        with pytest.raises(NoTargetAvailable, match="have been tried"):
            world.router.decide(
                sent, world.table, world.fleet, world.rng, world.now, tried
            )


def test_a_location_whose_agents_were_tried_is_passed_over() -> None:
    world = World(near(locations=["us"]), fleet=places())
    tried = frozenset({"us-1", "us-2"})
    decision = world.router.decide(
        message(), world.table, world.fleet, world.rng, world.now, tried
    )
    assert decision.targets == ("eu-1",)


def test_a_ring_passes_over_members_even_if_the_others_are_over_their_share() -> None:
    ring = Ring(ABC)
    for number in range(2):
        for _ in range(500):
            ring.given(number)
    limit, walked, counts = ring.within("key", {ABC[2]})
    assert ring.members[walked[-1]] != ABC[2]
    assert counts[-1] + 1 <= limit


def test_conversations_of_two_rules_are_two() -> None:
    one = RouteRule("one", 1, "payload.get('n') == 1", ABC[:1], "AFFINITY")
    two = RouteRule("two", 0, None, ABC[1:], "AFFINITY")
    world = World(one, two, stickiness=Affinity())
    first, second = message(payload={"n": 1}), message()
    for sent in (first, second):
        world.decide(sent.evolved(headers={"affinity_key": "s"}))
    held = world.look(second.evolved(headers={"affinity_key": "s"}))
    assert held.method.name == "HELD"
    held = world.look(first.evolved(headers={"affinity_key": "s"}))
    assert (held.method.name, held.targets) == ("HELD", ABC[:1])
