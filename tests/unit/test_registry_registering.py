"""Who may register what: new agents, known ones, and those of others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestration.core.registry.events import (
    EventType,
    RegistryEvent,
    registered,
    updated,
)
from orchestration.core.registry.fold import AgentState, apply
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.core.registry.registering import deregistration, registration
from orchestration.errors import DuplicateAgent

A = AgentDescriptor(agent_id="agent-a", agent_type="A", version="1.0.0")
NEWER = replace(A, version="1.1.0")


def known(owner: str = "", status: AgentStatus = AgentStatus.ACTIVE) -> AgentState:
    fact = registered(A, "eu", owner)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return replace(
        apply(None, RegistryEvent(1, fact.type, fact.data, at)), status=status
    )


def test_a_new_agent_joins() -> None:
    assert registration(None, A, location="eu") == registered(A, "eu")
    assert registration(None, A) == registered(A, "")


def test_what_is_known_is_not_recorded_again() -> None:
    assert registration(known(), A, location="eu") is None
    assert registration(known(), A) is None
    assert registration(known("team-a"), A, owner="team-a") is None


def test_what_is_new_is_an_update() -> None:
    assert registration(known(), NEWER) == updated(NEWER, "eu")
    assert registration(known(), A, location="us") == updated(A, "us")


def test_what_is_nobodys_can_be_taken() -> None:
    assert registration(known(), A, owner="team-a") == updated(A, "eu", "team-a")


@pytest.mark.parametrize("status", [AgentStatus.ACTIVE, AgentStatus.DEGRADED])
@pytest.mark.parametrize("owner", ["", "team-b"])
def test_a_living_agent_of_somebody_else_is_not(
    status: AgentStatus, owner: str
) -> None:
    for act in (
        lambda: registration(known("team-a", status), A, owner=owner),
        lambda: deregistration(known("team-a", status), owner=owner),
    ):
        with pytest.raises(DuplicateAgent) as refused:
            act()
        assert refused.value.agent_id == "agent-a"
        assert f"is {status} and belongs to 'team-a'" in str(refused.value)


def test_an_agent_that_is_heard_of_no_more_gives_its_name_free() -> None:
    silent = known("team-a", AgentStatus.INACTIVE)

    assert registration(silent, A, owner="team-b") == registered(A, "", "team-b")


def test_who_was_given_up_joins_anew() -> None:
    gone = known("team-a", AgentStatus.DECOMMISSIONED)

    assert registration(gone, A, owner="team-b") == registered(A, "", "team-b")


def test_who_leaves_is_recorded_once() -> None:
    fact = deregistration(known("team-a"), owner="team-a", last_heartbeat_ms=5)

    assert fact is not None
    assert fact.type is EventType.AGENT_DEREGISTERED
    assert fact.data == {
        "agent_id": "agent-a",
        "from": "ACTIVE",
        "last_heartbeat_ms": 5,
        "reason": "ASKED",
    }
    assert deregistration(known(status=AgentStatus.DECOMMISSIONED)) is None
    assert deregistration(None) is None


def test_anybody_may_clear_away_who_is_heard_of_no_more() -> None:
    silent = known("team-a", AgentStatus.INACTIVE)

    assert deregistration(silent, owner="team-b") is not None
