"""What registered agents look like, from literal values."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from orchestration.adapters.announcements import Announced
from orchestration.cli.checkup import Verdict
from orchestration.cli.health import alive
from orchestration.cli.output import THEME
from orchestration.cli.registry_checkup import heartbeats
from orchestration.cli.registry_reading import Seen, Wanted, columns_of, counted
from orchestration.cli.registry_views import (
    AgentRow,
    agent_view,
    agents_table,
    events_table,
    health_text,
    statuses_text,
)
from orchestration.cli.registry_watching import Teller, change_words
from orchestration.core.registry.events import (
    EventType,
    NewFact,
    Reason,
    RegistryEvent,
    deregistered,
    registered,
    status_changed,
    updated,
)
from orchestration.core.registry.fold import fold
from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
)
from orchestration.core.registry.query import Query
from orchestration.core.registry.watch import Change, ChangeKind
from orchestration.errors import InvalidQuery
from tests.cli.sagas import line_with, text_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ACTIVE, DEGRADED, INACTIVE = list(AgentStatus)[:3]


def agent(agent_id: str = "agent-a", **changes: object) -> RegisteredAgent:
    said = {
        "agent_id": agent_id,
        "agent_type": "Calculator",
        "version": "1.2.0",
        "capabilities": ["carbon_calculation@2.0.0", "unit_conversion"],
        "tags": ["production"],
    }
    own = {key: changes.pop(key) for key in [*changes] if key in ("version", "tags")}
    fields = {
        "descriptor": AgentDescriptor.from_json({**said, **own}),
        "health_score": 0.97,
        "status": ACTIVE,
        "location": "us-east-1",
        "registered_at": NOW - timedelta(hours=1),
        "last_heartbeat": NOW - timedelta(seconds=5),
    }
    return RegisteredAgent(**{**fields, **changes})


def events(*facts: NewFact) -> list[RegistryEvent]:
    began = NOW - timedelta(minutes=len(facts))
    return [
        RegistryEvent(at + 1, fact.type, fact.data, began + timedelta(minutes=at))
        for at, fact in enumerate(facts)
    ]


def life() -> list[RegistryEvent]:
    said = agent().descriptor
    silent = {"last_heartbeat_ms": None}
    return events(
        registered(said, "us-east-1", "team-a"),
        updated(replace(said, version="1.3.0", tags=["x"]), "mars", "team-a"),
        status_changed(
            "agent-a",
            ACTIVE,
            DEGRADED,
            health_score=0.5,
            reason=Reason.SILENCE,
            **silent,
        ),
        deregistered("agent-a", INACTIVE, reason=Reason.SILENCE, **silent),
    )


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_agents_take_one_line_each_and_no_id_is_cut(columns):
    ids = [f"agent-carbon-calculator-{n:03}" for n in range(30)]
    shown = agents_table([agent(one, location="eu-central-1") for one in ids], NOW)
    lines = text_of(shown, columns=columns).splitlines()
    assert len(lines) == len(ids) + 1
    assert all(one in line for one, line in zip(ids, lines[1:], strict=True))


def test_a_line_says_status_health_and_when_it_was_heard():
    text = text_of(agents_table([agent(status=DEGRADED, health_score=0.7999)], NOW))
    assert line_with(text, "agent-a").split()[:9] == [
        *("!", "DEGRADED", "agent-a", "1.2.0", "us-east-1", "0.79", "0.00"),
        *("5", "s"),
    ]
    assert "never" in text_of(agents_table([agent(last_heartbeat=None)], NOW))


def test_statuses_have_the_colours_of_states():
    out = Console(file=io.StringIO(), force_terminal=True, theme=THEME, width=100)
    with out.capture() as captured:
        out.print(agents_table([agent(status=one) for one in AgentStatus], NOW))
    green, yellow, red = (f"\x1b[{number}m" for number in (32, 33, 31))
    assert f"{green}✓ ACTIVE" in captured.get()
    assert f"{yellow}! DEGRADED" in captured.get()
    assert f"{red}✗ INACTIVE" in captured.get()


@pytest.mark.parametrize(
    ("health", "shown"), [(0.29, "0.29"), (0.7999, "0.79"), (1.0, "1.00"), (0, "0.00")]
)
def test_health_is_never_shown_better_than_it_is(health, shown):
    assert health_text(health) == shown


def test_words_of_agents_are_no_markup():
    strange = agent(location="[red]x[/nothing]", version="1.0.0")
    assert "[red]x[/nothing]" in text_of(agents_table([strange], NOW), columns=140)


def test_how_many_stand_how_is_counted():
    some = [agent(), agent("agent-b"), agent("agent-c", status=INACTIVE)]
    assert statuses_text(counted(some)).plain == "3 agents: 2 ACTIVE, 1 INACTIVE"
    assert statuses_text(counted(some[:1])).plain == "1 agent: 1 ACTIVE"
    assert statuses_text(counted([])).plain == "no agents"


def test_history_tells_what_changed():
    rows = [AgentRow(event, "ann", "00ff" * 16) for event in life()]
    text = text_of(events_table(rows), columns=120)
    assert "Calculator, 1.2.0, us-east-1, owner team-a" in text
    changed = "location us-east-1 → mars, version 1.2.0 → 1.3.0, tags"
    assert changed in line_with(text, "updated", "ann")
    assert "ACTIVE → DEGRADED, silence, health 0.50" in text
    assert "was INACTIVE, silence" in line_with(text, "left", "00ff00ff")


def test_broken_promises_are_told():
    data = {"agent_id": "agent-a", "term": "max_latency_ms", "limit": 5, "observed": 9}
    row = AgentRow(RegistryEvent(2, EventType.SLA_VIOLATED, data, NOW))
    assert "max_latency_ms: promised 5, was 9" in text_of(events_table([row]))


def test_one_agent_is_shown_whole_with_what_became_of_it():
    happened = life()[:3]
    state = fold(happened)["agent-a"]
    text = text_of(
        agent_view(agent(load=0.5), state, {"cpu_usage": 0.25}, happened, NOW)
    )
    assert "✓ ACTIVE  health 0.97, load 0.50" in line_with(text, "status ", "│")
    assert "5 s ago, every 30 s expected" in line_with(text, "heard")
    assert "team-a" in line_with(text, "owner ", "│")
    assert "cpu_usage 0.25" in text
    assert "ACTIVE → DEGRADED, silence" in text
    assert "endpoint" not in text


def test_of_a_long_life_the_end_is_shown():
    said = agent().descriptor
    happened = events(
        registered(said),
        *(updated(replace(said, version=f"1.{n}.0")) for n in range(20)),
    )
    shown = agent_view(agent(), fold(happened)["agent-a"], {}, happened, NOW)
    text = text_of(shown)
    assert "… 13 before: `orchestration registry history`" in text
    assert "version 1.18.0 → 1.19.0" in text


def test_agents_are_chosen_by_what_they_say_and_how_they_stand():
    columns = columns_of(
        [
            agent("agent-c", version="2.0.0"),
            agent("agent-a", status=INACTIVE),
            agent("agent-b", health_score=0.4, location="mars"),
        ]
    )

    def ids(statuses=(), location=None, **query):
        wanted = Wanted(query=Query(**query), statuses=statuses, location=location)
        return [one.agent_id[-1] for one in wanted.among(columns)]

    assert ids() == ["a", "b", "c"]
    assert ids(statuses=("INACTIVE",)) == ["a"]
    assert ids(location="mars") == ["b"]
    assert ids(min_health_score=0.5) == ["a", "c"]
    assert ids(version_constraint="^2") == ["c"]
    assert ids(capabilities=["carbon_calculation@^2"]) == ["a", "b", "c"]
    assert ids(tags=["staging"]) == []
    with pytest.raises(InvalidQuery):
        ids(version_constraint="soon")


def seen(kind: ChangeKind, now: RegisteredAgent, before: RegisteredAgent | None = None):
    return Seen(Change(kind, now), before)


def test_watching_says_who_joined_left_and_stands_elsewhere():
    moved = agent(status=DEGRADED, location="mars", version="2.0.0")
    changed = change_words(seen(ChangeKind.CHANGED, moved, agent()), NOW, 10).plain
    assert "~ changed  agent-a     ✓ ACTIVE → ! DEGRADED  health 0.97" in changed
    assert changed.endswith("location us-east-1 → mars  new version")
    joined = change_words(seen(ChangeKind.JOINED, agent()), NOW, 7).plain
    assert "+ joined   agent-a  ✓ ACTIVE  health 0.97  us-east-1" in joined
    left = change_words(seen(ChangeKind.LEFT, moved, moved), NOW, 7).plain
    assert "left     agent-a  ! DEGRADED" in left


def teller(*, as_json: bool) -> Teller:
    out = Console(file=io.StringIO(), width=100, highlight=False, theme=THEME)
    return Teller(as_json, out)


def test_people_are_told_at_first_how_many_there_are():
    told = teller(as_json=False)
    there = [seen(ChangeKind.JOINED, agent(f"agent-{n}")) for n in range(3)]
    told.tell(there, 0.1)
    told.tell([], 0.1)
    told.tell([seen(ChangeKind.LEFT, agent("agent-1"), agent("agent-1"))], 0.1)
    first, second = told.out.file.getvalue().splitlines()
    assert first == "3 agents: 3 ACTIVE now; Ctrl-C ends"
    assert "agent-1" in second


def test_programs_are_told_of_everybody_a_line_each():
    told = teller(as_json=True)
    told.tell([seen(ChangeKind.JOINED, agent(f"agent-{n}")) for n in range(3)], 0.1)
    lines = [json.loads(line) for line in told.out.file.getvalue().splitlines()]
    assert [one["agent"]["agent_id"] for one in lines] == [
        "agent-0",
        "agent-1",
        "agent-2",
    ]
    assert {(one["kind"], one["was"]) for one in lines} == {("JOINED", None)}


def test_silence_of_the_feed_is_told_once(capsys):
    told = teller(as_json=False)
    for feed_age_s in (0.1, 30.0, 35.0, 0.2, 0.1):
        told.tell([], feed_age_s)
    assert capsys.readouterr().err.splitlines() == [
        "! nothing was heard for 30 s: is Redis away?",
        "! the feed is heard again",
    ]


def queues(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def test_the_doctor_sees_who_takes_heartbeats():
    whole = queues("chores", "heartbeats")
    assert heartbeats({"chores1@a": whole}).verdict is Verdict.FINE
    nobody = heartbeats({"chores1@a": queues("chores"), "w@a": queues("celery")})
    assert nobody.verdict is Verdict.WRONG
    assert "-Q chores" in nobody.way_out
    one = heartbeats({"old@a": queues("chores"), "new@b": whole})
    assert one.verdict is Verdict.DOUBTFUL
    assert one.says.startswith("old@a consumes")


def test_health_of_heartbeats_is_that_of_who_consumes_them():
    def row(worker: str, name: str) -> Announced:
        return Announced(
            worker=worker,
            kind="queue",
            name=name,
            pool="",
            is_live=True,
            last_seen=NOW,
        )

    rows = (row("c@h", "chores"), row("c@h", "heartbeats"), row("old@h", "chores"))
    assert alive(rows, "heartbeats", "h") == ("c@h",)
    assert alive(rows, "chores", "h") == ("c@h", "old@h")
    assert alive(rows, "worker", "h") == ()
