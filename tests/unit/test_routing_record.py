"""Decisions on record: each is made again to the same targets."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from orchestration.core.messaging.model import Priority
from orchestration.core.routing.loads import Loads, Report
from orchestration.core.routing.model import RouteRule, RoutingStrategy
from orchestration.core.routing.ports import AgentView
from orchestration.core.routing.record import DecisionRecord, Seen, replay
from orchestration.core.routing.router import Router
from orchestration.core.routing.strategies import Method
from tests.unit.routed import ABC, Fleet, World, message
from tests.unit.test_routing_strategies import Learned, Memory, Slow


def drawn_worlds(count: int) -> list[World]:
    """Return worlds that differ in all that a decision depends on."""
    rng = random.Random(11)
    worlds = []
    for at in range(count):
        names = [f"agent-{one}" for one in range(rng.choice([1, 2, 3, 7, 16, 17, 60]))]
        strategy = list(RoutingStrategy)[at % len(RoutingStrategy)]
        world = World(
            RouteRule("r", targets=names, strategy=strategy),
            fleet=Fleet(*(AgentView(one, health=rng.random()) for one in names)),
            loads=Loads(routers=rng.choice([1, 8])),
            shaping=Slow(**{"0": 0.2, "1": 0.7} if rng.random() < 0.4 else {}),
            stickiness=Memory() if rng.random() < 0.5 else None,
            costs=(
                Learned(**{name[6:]: rng.random() for name in names})
                if rng.random() < 0.5
                else None
            ),
        )
        world.fleet.can("x", *names)
        world.rng = random.Random(rng.random())
        if rng.random() < 0.7:
            world.report({name: rng.randrange(20) for name in names})
        worlds.append(world)
    return worlds


def test_ten_thousand_decisions_are_made_again() -> None:
    methods = set()
    for world in drawn_worlds(200):
        for at in range(50):
            sent = message(
                payload={"task_type": "x"},
                priority=list(Priority)[at % 4],
                headers={"affinity_key": f"s{at % 7}"},
            )
            decision = world.decide(sent)
            record = DecisionRecord.of(decision)
            told = json.loads(json.dumps(record.to_json()))
            again = DecisionRecord.from_json(told)
            assert again == record
            assert replay(again) == decision.targets == record.targets
            methods.add(record.method)
    assert methods == set(Method)


def test_a_record_among_many_is_short() -> None:
    names = [f"agent-{at}" for at in range(10_000)]
    world = World(RouteRule("r", targets=names), fleet=Fleet(*names))
    world.report(dict.fromkeys(names, 1))
    record = DecisionRecord.of(world.decide())
    assert len(record.seen) <= 4
    assert len(json.dumps(record.to_json())) < 1_000


def test_what_was_seen_then_is_on_record_and_not_what_came_later() -> None:
    world = World(RouteRule("r", targets=ABC))
    world.report({"agent-a": 1, "agent-b": 2, "agent-c": 3})
    decision = world.decide()
    for load in world.router.loads:
        load.score = 99.0
    scores = {one.agent_id: one.score for one in DecisionRecord.of(decision).seen}
    assert scores == pytest.approx({"agent-a": 0.06, "agent-b": 0.12, "agent-c": 0.18})


def test_another_load_on_record_leads_to_another_target() -> None:
    world = World(RouteRule("r", targets=ABC))
    world.report({"agent-a": 1, "agent-b": 2, "agent-c": 3})
    record = DecisionRecord.of(world.decide())
    seen = tuple(
        Seen(one.position, one.agent_id, 9.0 if one.agent_id == "agent-a" else 1.0)
        for one in record.seen
    )
    assert replay(replace(record, seen=seen)) != record.targets


def test_a_record_with_gaps_is_not_replayed() -> None:
    world = World(RouteRule("r", targets=ABC))
    world.report(dict.fromkeys(ABC, 1))
    record = DecisionRecord.of(world.decide())
    with pytest.raises(LookupError, match="is not on record"):
        replay(replace(record, seen=record.seen[:1]))
    with pytest.raises(LookupError, match="more dice"):
        replay(replace(record, dice=()))


def test_the_same_dice_and_reports_decide_the_same() -> None:
    def run() -> list[tuple[str, ...]]:
        world = World(RouteRule("r", targets=[f"agent-{at}" for at in range(40)]))
        world.fleet.have(*(f"agent-{at}" for at in range(40)))
        world.router = Router(Loads(routers=3))
        for at in range(40):
            world.router.loads.tell(f"agent-{at}", Report(at % 5), at=world.now)
        return [world.targets() for _ in range(100)]

    assert run() == run()
