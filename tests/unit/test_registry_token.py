"""Registration tokens: what they open, and that nobody else can make one."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.token import Grant, Refusal, sign_token, verify_token
from orchestration.errors import TokenRefused
from tests.unit.profiles import examples

SECRET, OTHER = b"s" * 16, b"o" * 32
NOW_MS = 1_772_323_200_000
GRANT = Grant(pattern="agent-carbon-*", owner="team-a", expires_at_ms=NOW_MS + 1_000)
TOKEN = sign_token(SECRET, GRANT)


def refused(token: Any, **changes: Any) -> TokenRefused:
    asked = {"agent_id": "agent-carbon-1", "now_ms": NOW_MS, **changes}
    with pytest.raises(TokenRefused) as found:
        verify_token(token, asked.pop("secrets", [SECRET]), **asked)
    return found.value


def test_a_token_opens_the_names_it_is_for() -> None:
    for agent_id in ("agent-carbon-1", "agent-carbon-"):
        assert verify_token(TOKEN, [SECRET], agent_id=agent_id, now_ms=NOW_MS) == GRANT


def test_it_opens_no_other_name() -> None:
    error = refused(TOKEN, agent_id="agent-steel-1")

    assert error.reason == Refusal.OTHER_AGENT
    assert "is for 'agent-carbon-*', not for agent 'agent-steel-1'" in str(error)


def test_a_pattern_is_no_more_than_stars() -> None:
    one = Grant(pattern="agent-a", owner="x", expires_at_ms=1)

    assert one.covers("agent-a")
    assert not one.covers("agent-ab")
    assert not one.covers("AGENT-A")
    assert not GRANT.covers("my-agent-carbon-1")


def test_it_is_of_no_use_from_its_expiry_on() -> None:
    end_ms = GRANT.expires_at_ms

    verify_token(TOKEN, [SECRET], agent_id="agent-carbon-1", now_ms=end_ms - 1)
    error = refused(TOKEN, now_ms=end_ms)

    assert error.reason == Refusal.EXPIRED
    assert str(error) == "the registration token expired 0 ms ago: ask for a new one"


def test_another_secret_makes_no_token_for_here() -> None:
    error = refused(sign_token(OTHER, GRANT))

    assert error.reason == Refusal.FORGED
    assert "team-a" not in str(error)
    assert refused(TOKEN, secrets=[]).reason == Refusal.FORGED


def test_two_secrets_count_while_one_is_being_changed() -> None:
    for token in (TOKEN, sign_token(OTHER, GRANT)):
        found = verify_token(
            token, [OTHER, SECRET], agent_id="agent-carbon-1", now_ms=NOW_MS
        )
        assert found == GRANT


@examples(200)
@given(st.integers(0, len(TOKEN) - 1), st.characters(min_codepoint=32))
def test_no_character_can_be_changed(at: int, character: str) -> None:
    changed = TOKEN[:at] + character + TOKEN[at + 1 :]
    if changed != TOKEN:
        assert refused(changed).reason in {Refusal.FORGED, Refusal.MALFORMED}


def test_a_token_has_one_way_to_be_written() -> None:
    # The last character of 43 has two bits more than the 32 bytes need.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = letters[letters.index(TOKEN[-1]) | 1]

    assert same != TOKEN[-1]
    assert refused(TOKEN[:-1] + same).reason == Refusal.MALFORMED
    assert refused(TOKEN + "=").reason == Refusal.MALFORMED


@examples(100)
@given(st.text() | st.text(alphabet="aft1.=-_AB") | st.none() | st.integers())
def test_whatever_is_handed_in_is_refused(token: Any) -> None:
    assert refused(token).reason in {Refusal.FORGED, Refusal.MALFORMED}


@pytest.mark.parametrize(
    "claims",
    [
        b"no json",
        b"[1]",
        b"{}",
        b'{"agents":"*","owner":"a","expires_at_ms":9e9}',
        b'{"agents":"agent-*","owner":"","expires_at_ms":1}',
    ],
)
def test_signed_nonsense_is_malformed(claims: bytes) -> None:
    def text(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    body = f"aft1.{text(claims)}"
    token = f"{body}.{text(hmac.digest(SECRET, body.encode(), 'sha256'))}"

    assert refused(token).reason == Refusal.MALFORMED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": "*"}, "pattern '\\*': begin with 'agent-'"),
        ({"pattern": "agent-[a-z]"}, "begin with 'agent-' and go on with letters"),
        ({"owner": ""}, "owner '': name whose agents they are"),
        ({"owner": "x" * 101}, "in at most 100 characters"),
        ({"expires_at_ms": 0}, "expires_at_ms 0: give it epoch milliseconds"),
    ],
)
def test_a_grant_that_makes_no_sense_is_not_signed(
    changes: dict[str, Any], words: str
) -> None:
    told = {"pattern": "agent-*", "owner": "a", "expires_at_ms": 1, **changes}

    with pytest.raises(ValueError, match=words):
        sign_token(SECRET, Grant(**told))


def test_a_short_secret_is_none() -> None:
    with pytest.raises(ValueError, match="has 5 bytes: use at least 16 random ones"):
        sign_token(b"short", GRANT)
    with pytest.raises(ValueError, match="has 0 bytes"):
        verify_token(TOKEN, [SECRET, b""], agent_id="agent-a", now_ms=NOW_MS)


_GRANTS = st.builds(
    Grant,
    pattern=st.from_regex(r"agent-[a-z0-9*_-]{1,40}", fullmatch=True),
    owner=st.text(min_size=1, max_size=100),
    expires_at_ms=st.integers(1, 2**53),
)


@examples(100)
@given(_GRANTS, st.binary(min_size=16, max_size=64))
def test_what_is_signed_comes_back(grant: Grant, secret: bytes) -> None:
    agent_id = grant.pattern.replace("*", "x")

    found = verify_token(
        sign_token(secret, grant), [secret], agent_id=agent_id, now_ms=0
    )

    assert found == grant
