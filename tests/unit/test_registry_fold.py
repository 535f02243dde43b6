"""Agents from events: what each type means, and what order and repetition may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.events import (
    SWEEPS,
    EventType,
    NewFact,
    Reason,
    RegistryEvent,
    deregistered,
    registered,
    status_changed,
    updated,
)
from orchestration.core.registry.fold import apply, fold
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from tests.unit.profiles import examples

START = datetime(2026, 3, 1, tzinfo=UTC)
HEARD_MS = 1_772_323_230_000
HEARD = datetime.fromtimestamp(HEARD_MS / 1_000, UTC)


def descriptor(agent_id: str = "agent-a", version: str = "1.0.0") -> AgentDescriptor:
    return AgentDescriptor(agent_id=agent_id, agent_type="Calculator", version=version)


def recorded(facts: Sequence[NewFact]) -> list[RegistryEvent]:
    """Number the facts per stream, a second apart."""
    versions: dict[str, int] = {}
    events = []
    for second, fact in enumerate(facts):
        version = versions[fact.stream] = versions.get(fact.stream, 0) + 1
        at = START + timedelta(seconds=second)
        events.append(RegistryEvent(version, fact.type, fact.data, at))
    return events


def degraded(agent_id: str = "agent-a", health: float = 0.5) -> NewFact:
    return status_changed(
        agent_id,
        AgentStatus.ACTIVE,
        AgentStatus.DEGRADED,
        health_score=health,
        last_heartbeat_ms=HEARD_MS,
        reason=Reason.HEALTH,
    )


def sla(type_: EventType, term: str, agent_id: str = "agent-a") -> NewFact:
    data = {"agent_id": agent_id, "term": term, "limit": 500, "observed": 900}
    judged = {"health_score": 0.85, "last_heartbeat_ms": HEARD_MS}
    times = {"since_ms": HEARD_MS, "until_ms": HEARD_MS}
    return NewFact(type_, {**data, **judged, **times})


def test_an_agent_joins_active_and_well() -> None:
    states = fold(recorded([registered(descriptor(), "us-east-1", "team-a")]))

    state = states["agent-a"]
    assert state.descriptor == descriptor()
    assert (state.location, state.owner) == ("us-east-1", "team-a")
    assert (state.status, state.health_score) == (AgentStatus.ACTIVE, 1.0)
    assert state.registered_at == state.changed_at == START
    assert (state.version, state.last_heartbeat) == (1, None)
    assert state.is_registered


def test_an_update_keeps_how_it_stands() -> None:
    facts = [registered(descriptor()), degraded(), updated(descriptor(version="2.0.0"))]

    state = fold(recorded(facts))["agent-a"]

    assert state.descriptor.version == "2.0.0"
    assert (state.status, state.health_score) == (AgentStatus.DEGRADED, 0.5)
    assert state.registered_at == START
    assert state.changed_at == START + timedelta(seconds=2)
    assert state.last_heartbeat == HEARD


def test_who_left_is_known_as_decommissioned() -> None:
    gone = deregistered("agent-a", AgentStatus.ACTIVE, last_heartbeat_ms=None)
    broken = sla(EventType.SLA_VIOLATED, "max_latency_ms")
    facts = [registered(descriptor()), degraded(), broken, gone]

    state = fold(recorded(facts))["agent-a"]

    assert state.status is AgentStatus.DECOMMISSIONED
    assert not state.is_registered
    assert state.last_heartbeat == HEARD
    assert not state.violations


def test_who_joins_again_begins_anew() -> None:
    gone = deregistered("agent-a", AgentStatus.DEGRADED, last_heartbeat_ms=HEARD_MS)
    facts = [registered(descriptor()), degraded(), gone, registered(descriptor(), "eu")]

    state = fold(recorded(facts))["agent-a"]

    assert (state.status, state.health_score) == (AgentStatus.ACTIVE, 1.0)
    assert state.registered_at == START + timedelta(seconds=3)
    assert (state.location, state.last_heartbeat, state.version) == ("eu", None, 4)


def test_broken_promises_are_known_until_they_are_kept_again() -> None:
    facts = [
        registered(descriptor()),
        sla(EventType.SLA_VIOLATED, "max_latency_ms"),
        sla(EventType.SLA_VIOLATED, "availability"),
        sla(EventType.SLA_RESTORED, "max_latency_ms"),
    ]

    state = fold(recorded(facts))["agent-a"]

    assert state.violations == {"availability": HEARD_MS}
    assert (state.status, state.health_score) == (AgentStatus.ACTIVE, 0.85)
    assert state.last_heartbeat == HEARD
    assert state.agent.violations == {"availability": HEARD}


def test_discovery_sees_the_agent_of_the_state() -> None:
    state = fold(recorded([registered(descriptor(), "eu"), degraded()]))["agent-a"]

    agent = state.agent

    assert (agent.agent_id, agent.location, agent.version) == ("agent-a", "eu", 2)
    assert (agent.health_score, agent.status) == (0.5, AgentStatus.DEGRADED)
    assert (agent.registered_at, agent.last_heartbeat) == (START, HEARD)


def test_sweeps_are_passed_over() -> None:
    facts = [registered(descriptor()), NewFact(EventType.HEALTH_SWEPT, {"agents": 1})]

    assert facts[1].stream == SWEEPS
    assert fold(recorded(facts)).keys() == {"agent-a"}


def test_a_stream_begins_with_a_registration() -> None:
    with pytest.raises(ValueError, match="agent-a: its first event is AGENT_STATUS"):
        fold(recorded([degraded()]))


def test_what_is_about_no_agent_is_refused_for_one() -> None:
    state = fold(recorded([registered(descriptor())]))["agent-a"]
    odd = RegistryEvent(2, EventType.HEALTH_SWEPT, {"agent_id": "agent-a"}, START)

    with pytest.raises(ValueError, match="leave agent_id out"):
        apply(state, odd)


def test_one_decision_has_one_id() -> None:
    first = degraded(health=0.5).event_id(3)

    assert first == degraded(health=0.5).event_id(3)
    assert first != degraded().event_id(4)
    assert first != degraded("agent-b").event_id(3)
    assert first != registered(descriptor()).event_id(3)


_FACTS = st.lists(
    st.sampled_from(["agent-a", "agent-b", "agent-c"]).flatmap(
        lambda agent_id: st.sampled_from(
            [
                registered(descriptor(agent_id), "eu"),
                updated(descriptor(agent_id, "1.1.0")),
                degraded(agent_id),
                deregistered(agent_id, AgentStatus.ACTIVE, last_heartbeat_ms=HEARD_MS),
                sla(EventType.SLA_VIOLATED, "availability", agent_id),
                sla(EventType.SLA_RESTORED, "availability", agent_id),
            ]
        )
    ),
    max_size=25,
)


def _lives(facts: Sequence[NewFact]) -> list[RegistryEvent]:
    begun = {f"agent-{name}": registered(descriptor(f"agent-{name}")) for name in "abc"}
    return recorded([*begun.values(), *facts])


@examples(60)
@given(_FACTS, st.randoms(use_true_random=False))
def test_the_order_of_agents_does_not_matter(facts: list[NewFact], rng: object) -> None:
    events = _lives(facts)
    shuffled = sorted(events, key=lambda e: (rng.random(), e.version))  # type: ignore[attr-defined]
    by_agent: dict[str | None, list[RegistryEvent]] = {}
    for event in events:
        by_agent.setdefault(event.agent_id, []).append(event)
    turns = {agent_id: iter(own) for agent_id, own in by_agent.items()}

    # Each agent's events in their order, the agents mixed anew.
    mixed = [next(turns[event.agent_id]) for event in shuffled]

    assert fold(mixed) == fold(events)


@examples(60)
@given(_FACTS, st.data())
def test_events_read_twice_change_nothing(
    facts: list[NewFact], data: st.DataObject
) -> None:
    events = _lives(facts)
    begin = data.draw(st.integers(0, len(events)))
    end = data.draw(st.integers(begin, len(events)))

    assert fold([*events[:end], *events[begin:]]) == fold(events)
    assert fold([*events, *events[begin:end]]) == fold(events)


@examples(60)
@given(_FACTS, st.data())
def test_a_fold_goes_on_from_an_earlier_one(
    facts: list[NewFact], data: st.DataObject
) -> None:
    events = _lives(facts)
    cut = data.draw(st.integers(0, len(events)))
    earlier = fold(events[:cut])
    kept = {agent_id: replace(state) for agent_id, state in earlier.items()}

    assert fold(events[cut:], earlier) == fold(events)
    assert earlier == kept
