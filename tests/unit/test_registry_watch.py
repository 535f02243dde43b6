"""Watching a query: who is told of what."""

from __future__ import annotations

import random
from dataclasses import replace

from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import discover
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.query import Query
from orchestration.core.registry.watch import ChangeKind, changes, seen_of
from tests.support.random_agents import random_agent

ASKED = Query(min_health_score=0.8, max_results=1_000)


def replica(*names: str) -> Columns:
    columns = Columns()
    for name in names:
        columns.put(an_agent(name))
    return columns


def an_agent(name: str, **fields):
    agent = random_agent(random.Random(0), name, version=1)
    plain = {"status": AgentStatus.ACTIVE, "health_score": 1.0, "location": "eu"}
    return replace(agent, **plain | fields)


def told(columns: Columns, act) -> list[tuple[ChangeKind, str]]:
    before = seen_of(discover(columns, ASKED))
    act(columns)
    found = changes(before, seen_of(discover(columns, ASKED)))
    return [(change.kind, change.agent.agent_id) for change in found]


def test_who_comes_has_joined_and_who_goes_has_left():
    def act(columns):
        columns.put(an_agent("agent-c"))
        columns.drop("agent-a", 2)

    assert told(replica("agent-a", "agent-b"), act) == [
        (ChangeKind.LEFT, "agent-a"),
        (ChangeKind.JOINED, "agent-c"),
    ]


def test_a_change_of_place_status_or_words_is_told():
    def act(columns):
        columns.put(an_agent("agent-a", location="us", version=2))
        columns.set_status(["agent-b"], [AgentStatus.DEGRADED], [2])
        said = replace(an_agent("agent-c").descriptor, tags=["new"])
        columns.put(an_agent("agent-c", descriptor=said, version=2))

    names = ["agent-a", "agent-b", "agent-c"]
    assert told(replica(*names), act) == [(ChangeKind.CHANGED, name) for name in names]


def test_heartbeats_and_changes_to_the_same_wake_nobody():
    def act(columns):
        columns.beats(["agent-a"], [0.9], [0.7], [2e9])
        columns.put(an_agent("agent-b", version=2))

    assert told(replica("agent-a", "agent-b"), act) == []


def test_who_falls_below_the_health_that_is_asked_for_has_left():
    def act(columns):
        columns.beats(["agent-a"], [0.5], [0.7], [2e9])

    assert told(replica("agent-a"), act) == [(ChangeKind.LEFT, "agent-a")]
