"""Who may register under which names: a signed text, handed to whoever runs agents.

A token reads ``aft1.<claims>.<signature>``: the claims are JSON, the signature is the
HMAC-SHA256 over all before it, both in URL-safe base64. It names an owner and a pattern
of ids, so that one team's token cannot take another team's agent. Whoever holds the
secret can make tokens; whoever holds a token can use it until it expires.
"""

from __future__ import annotations

import binascii
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from orchestration.errors import TokenRefused

__all__ = ["Grant", "Refusal", "sign_token", "verify_token"]

_PREFIX: Final = "aft1"
_MAX_TOKEN: Final = 4_000
_MAX_OWNER: Final = 100
_MIN_SECRET_BYTES: Final = 16
_PATTERN: Final = re.compile(r"agent-[\w*-]{1,194}")
_MAX_TIME_MS: Final = 2**53


class Refusal(StrEnum):
    """Why a token does not do."""

    MALFORMED = "MALFORMED"
    FORGED = "FORGED"
    EXPIRED = "EXPIRED"
    OTHER_AGENT = "OTHER_AGENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows.

    Attributes:
        pattern: The ids it is for; ``*`` stands for any characters.
        owner: Whose agents they are.
        expires_at_ms: The first moment at which it is of no use, epoch milliseconds.
    """

    pattern: str
    owner: str
    expires_at_ms: int

    def covers(self, agent_id: str) -> bool:
        """Tell whether it is for that agent."""
        return fnmatchcase(agent_id, self.pattern)


def sign_token(secret: bytes, grant: Grant) -> str:
    """Return the token of a grant.

    Args:
        secret: At least 16 random bytes, known to those who verify.
        grant: What it is to allow.

    Raises:
        ValueError: The secret is too short, or the grant makes no sense.
    """
    _check_secret(secret)
    if fault := _grant_fault(grant.pattern, grant.owner, grant.expires_at_ms):
        raise ValueError(fault)
    claims = {
        "agents": grant.pattern,
        "owner": grant.owner,
        "expires_at_ms": grant.expires_at_ms,
    }
    written = json.dumps(claims, separators=(",", ":"), sort_keys=True)
    body = f"{_PREFIX}.{_encoded(written.encode())}"
    return f"{body}.{_encoded(_signature(secret, body))}"


def verify_token(
    token: str, secrets: Sequence[bytes], *, agent_id: str, now_ms: int
) -> Grant:
    """Return what a token allows, if it allows the agent to be registered now.

    Args:
        token: As it was handed in, by anybody.
        secrets: Those that count; more than one while a secret is being changed.
        agent_id: The agent that is to be registered.
        now_ms: The server's clock, epoch milliseconds.

    Raises:
        TokenRefused: It was made with another secret or changed, is over, or is for
            other agents; ``reason`` says which.
        ValueError: A secret is too short to be one.
    """
    for secret in secrets:
        _check_secret(secret)
    body, signature = _parts(token)
    # All are compared, each in constant time: how long it takes tells nothing.
    matches = [
        hmac.compare_digest(_signature(secret, body), signature) for secret in secrets
    ]
    if not any(matches):
        raise TokenRefused(
            "the registration token was not signed with this registry's secret: "
            "ask its operator for one",
            Refusal.FORGED,
        )
    grant = _grant(body)
    if now_ms >= grant.expires_at_ms:
        late_ms = now_ms - grant.expires_at_ms
        raise TokenRefused(
            f"the registration token expired {late_ms} ms ago: ask for a new one",
            Refusal.EXPIRED,
        )
    if not grant.covers(agent_id):
        raise TokenRefused(
            f"the registration token is for {grant.pattern!r}, not for agent "
            f"{agent_id!r}: use the token of that agent's owner",
            Refusal.OTHER_AGENT,
        )
    return grant


def _check_secret(secret: bytes) -> None:
    if len(secret) < _MIN_SECRET_BYTES:
        raise ValueError(
            f"the registry's secret has {len(secret)} bytes: "
            f"use at least {_MIN_SECRET_BYTES} random ones"
        )


def _grant_fault(pattern: object, owner: object, expires_at_ms: object) -> str | None:
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        return (
            f"pattern {pattern!r}: begin with 'agent-' and go on with letters, digits, "
            "'_', '-' and '*'"
        )
    if not isinstance(owner, str) or not 0 < len(owner) <= _MAX_OWNER:
        return (
            f"owner {owner!r}: name whose agents they are, in at most {_MAX_OWNER} "
            "characters"
        )
    if not isinstance(expires_at_ms, int) or not 0 < expires_at_ms <= _MAX_TIME_MS:
        return f"expires_at_ms {expires_at_ms!r}: give it epoch milliseconds"
    return None


def _parts(token: object) -> tuple[str, bytes]:
    """Return what was signed, and the signature."""
    if isinstance(token, str) and len(token) <= _MAX_TOKEN and token.isascii():
        body, _, signature = token.rpartition(".")
        if body.startswith(f"{_PREFIX}."):
            try:
                return body, _decoded(signature)
            except ValueError:
                pass
    raise _malformed()


def _grant(body: str) -> Grant:
    """Return the claims of a body whose signature is right."""
    try:
        claims = json.loads(_decoded(body.removeprefix(f"{_PREFIX}.")))
        told = claims["agents"], claims["owner"], claims["expires_at_ms"]
    except (ValueError, KeyError, TypeError):
        raise _malformed() from None
    if _grant_fault(*told):
        raise _malformed()
    pattern, owner, expires_at_ms = told
    return Grant(pattern=pattern, owner=owner, expires_at_ms=expires_at_ms)


def _malformed() -> TokenRefused:
    return TokenRefused(
        f"the registration token does not read {_PREFIX}.<claims>.<signature>: "
        "hand it in whole and unchanged",
        Refusal.MALFORMED,
    )


def _signature(secret: bytes, body: str) -> bytes:
    return hmac.digest(secret, body.encode(), "sha256")


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Return the bytes of base64 without padding, and of no other way to write them."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise ValueError(str(exc)) from None
    if _encoded(raw) != text:
        raise ValueError("not the one way to write these bytes")
    return raw
