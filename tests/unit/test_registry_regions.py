"""What regions are worth after silence, whose an id is, and how peers are named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.events import EventType, RegistryEvent, registered
from orchestration.core.registry.fold import apply
from orchestration.core.registry.model import AgentDescriptor
from orchestration.core.registry.regions import (
    Claim,
    Standing,
    holder,
    parse_peers,
    standing_of,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
CLAIMS = st.lists(
    st.builds(
        lambda region, us: Claim(region, AT + timedelta(microseconds=us)),
        st.sampled_from(["eu", "us", "ap"]),
        st.integers(0, 3),
    ),
    min_size=1,
)


@pytest.mark.parametrize(
    ("silent_s", "standing"),
    [
        (0.0, Standing.FRESH),
        (29.9, Standing.FRESH),
        (30.0, Standing.STALE),
        (300.0, Standing.LOST),
    ],
)
def test_silence_makes_a_region_stale_and_then_lost(
    silent_s: float, standing: Standing
) -> None:
    assert standing_of(silent_s, stale_s=30.0, lost_s=300.0) is standing


@given(CLAIMS, st.randoms(use_true_random=False))
def test_every_region_finds_the_same_holder(claims: list[Claim], rng: object) -> None:
    shuffled = list(claims)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    found = holder(claims)
    assert holder(shuffled) == found
    first = min(claim.registered_at for claim in claims)
    assert Claim(found, first) in claims


def test_peers_are_named_with_their_databases() -> None:
    told = "us=postgresql://a@b/c?sslmode=require\nap=postgresql://d/e"
    assert parse_peers(told, "eu") == {
        "us": "postgresql://a@b/c?sslmode=require",
        "ap": "postgresql://d/e",
    }
    assert parse_peers("", "") == {}


@pytest.mark.parametrize(
    ("told", "own", "fault"),
    [
        ("us=postgresql://a/b", "", "has no name"),
        ("us=postgresql://a/b", "EU", "'EU' is none"),
        ("us=postgresql://a/b us=postgresql://a/c", "eu", "named twice"),
        ("eu=postgresql://a/b", "eu", "this region itself"),
        ("postgresql://user:hidden@a/b", "eu", "peer number 1"),
        ("us=mysql://user:hidden@a/b", "eu", "peer number 1"),
    ],
)
def test_peers_that_make_no_sense_are_refused_without_their_secrets(
    told: str, own: str, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        parse_peers(told, own)
    assert "hidden" not in str(refused.value)


def test_an_agent_of_our_own_takes_the_place_of_a_copy() -> None:
    said = AgentDescriptor(agent_id="agent-a", agent_type="A", version="1.0.0")
    data = {
        "agent_id": "agent-a",
        "region": "us",
        "copy_version": 7,
        "descriptor": said.to_json(),
        "location": "virginia",
        "owner": "",
        "status": "INACTIVE",
        "health_score": 0.5,
        "registered_at": AT.isoformat(),
        "last_heartbeat_ms": None,
        "as_of": AT.isoformat(),
    }
    copy = apply(None, RegistryEvent(1, EventType.AGENT_COPIED, data, AT))
    assert (copy.region, copy.as_of, copy.version) == ("us", AT, 1)
    ended = {"agent_id": "agent-a", "region": "us"}
    gone = apply(copy, RegistryEvent(2, EventType.AGENT_COPY_ENDED, ended, AT))
    assert not gone.is_registered
    fact = registered(said, "frankfurt")
    own = apply(copy, RegistryEvent(2, fact.type, fact.data, AT))
    assert (own.region, own.location, own.as_of) == ("", "frankfurt", None)
