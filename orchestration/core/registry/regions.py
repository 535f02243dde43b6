"""What one region shows of the agents of others, and who holds a name that is twice.

Each region is the only one that writes its own agents. Others keep copies of them, and
show a copy under its id unless an agent of their own has that id. What is shown is
recorded in the agent's own stream here, so that its version orders all of it:

========================  ============================================================
Type                      Payload
========================  ============================================================
``AGENT_COPIED``          ``agent_id``, ``region``, ``copy_version`` (of its stream
                          there), ``descriptor``, ``location``, ``owner``, ``status``,
                          ``health_score``, ``registered_at``, ``last_heartbeat_ms``,
                          ``as_of``
``AGENT_COPY_ENDED``      ``agent_id``, ``region``
========================  ============================================================

What is about a region as a whole stands in the stream ``regions-<name>``:

========================  ============================================================
``REGION_STALE``          ``region``, ``silent_s``, ``standing``
``REGION_HEALED``         ``region``, ``silent_s``
``REGION_RESTORED``       ``region``, ``cursor``, ``head`` (null: its log is empty)
``NAME_CONTESTED``        ``region``, ``agent_id``, ``holder`` (a region)
``NAME_SETTLED``          ``region``, ``agent_id``
========================  ============================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

__all__ = [
    "Claim",
    "RegionEvent",
    "Standing",
    "holder",
    "parse_peers",
    "region_event_id",
    "region_stream",
    "standing_of",
]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_REGIONS: Final = uuid5(NAMESPACE_URL, "urn:agent-foundation-orchestration:regions")


class RegionEvent(StrEnum):
    """Every type of event about a region as a whole."""

    REGION_STALE = "REGION_STALE"
    REGION_HEALED = "REGION_HEALED"
    REGION_RESTORED = "REGION_RESTORED"
    NAME_CONTESTED = "NAME_CONTESTED"
    NAME_SETTLED = "NAME_SETTLED"


class Standing(StrEnum):
    """How much what is known of a region is worth."""

    FRESH = "FRESH"
    """It was reached lately."""
    STALE = "STALE"
    """It was not: its agents are shown as DEGRADED at best."""
    LOST = "LOST"
    """It was not for long: its agents are shown as INACTIVE."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A region has an agent of that id, registered then by its database's clock."""

    region: str
    registered_at: datetime


def holder(claims: Iterable[Claim]) -> str:
    """Return the region that an id belongs to: the earlier one, then the first by name.

    Raises:
        ValueError: There are no claims.
    """
    return min(claims, key=lambda claim: (claim.registered_at, claim.region)).region


def standing_of(silent_s: float, *, stale_s: float, lost_s: float) -> Standing:
    """Return what is known of a region is worth after some seconds of silence."""
    if silent_s >= lost_s:
        return Standing.LOST
    return Standing.STALE if silent_s >= stale_s else Standing.FRESH


def region_stream(region: str) -> str:
    """Return the stream of what is about a region as a whole."""
    return f"regions-{region}"


def region_event_id(stream: str, version: int, data: Mapping[str, Any]) -> UUID:
    """Return an event's id, from where it stands and what it is about."""
    return uuid5(_REGIONS, f"{stream}:{version}:{data.get('region')}")


def parse_peers(told: str, own: str) -> dict[str, str]:
    """Return database URLs by region, from ``name=URL`` separated by spaces.

    Args:
        told: The setting.
        own: Name of the region that this is; needed if there are others.

    Raises:
        ValueError: One sentence that names what is wrong; it shows no URL.
    """
    if own and not _NAME.fullmatch(own):
        raise ValueError(
            f"the region's name {own!r} is none: use small letters, digits and '-'"
        )
    peers: dict[str, str] = {}
    for part in told.split():
        name, _, url = part.partition("=")
        if not _NAME.fullmatch(name) or not url.startswith("postgresql://"):
            raise ValueError(
                f"the peer number {len(peers) + 1} is none: give "
                "name=postgresql://user@host/database, separated by spaces"
            )
        if name in peers or name == own:
            raise ValueError(
                f"the peer {name!r} is named twice or is this region itself: give each "
                "region a name of its own"
            )
        peers[name] = url
    if peers and not own:
        raise ValueError(
            "there are peers, and this region has no name: set ORCHESTRATION_REGION"
        )
    return peers
