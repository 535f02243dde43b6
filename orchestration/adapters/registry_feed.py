"""What goes into the registry's hot state and comes out of it, and in which form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np

from orchestration.core.registry.checksum import digests, id_hash, status_number
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
    broken_since,
)
from orchestration.core.registry.packed import BLOB_BYTES

__all__ = [
    "Delta",
    "FeedChange",
    "Glance",
    "Heard",
    "Kind",
    "Position",
    "Snapshot",
    "change_arguments",
    "checksum_of",
    "halves",
    "moment",
    "read_agent",
    "read_delta",
    "read_snapshot",
    "text",
]

_NEVER: Final = "-"


class Kind(StrEnum):
    """What a change is about."""

    PUT = "put"
    """All about an agent: it is new, or says something else of itself."""
    STATUS = "status"
    """Where it stands."""
    GONE = "gone"
    """It is not registered any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedChange:
    """One change of one agent.

    Attributes:
        kind: What it is about.
        agent_id: The agent.
        version: Of the event that recorded it.
        status: Where it stands since.
        health: How well it was then.
        heard_ms: When it had last been heard of, epoch milliseconds; None: never.
        violations: The promises that it breaks, each with the time since when, epoch
            milliseconds.
        document: What it says of itself and where it runs, JSON; empty unless ``put``.
    """

    kind: Kind
    agent_id: str
    version: int
    status: AgentStatus
    health: float = 1.0
    heard_ms: int | None = None
    violations: Mapping[str, int] = field(default_factory=dict)
    document: str = ""

    @classmethod
    def of(cls, state: AgentState) -> Self:
        """Return the change that tells all about an agent."""
        heard = state.last_heartbeat
        document: dict[str, Any] = {
            "descriptor": state.descriptor.to_json(),
            "location": state.location,
            "registered_at": state.registered_at.isoformat(),
        }
        if state.region:
            as_of = state.as_of and state.as_of.isoformat()
            document |= {"region": state.region, "as_of": as_of}
        return cls(
            kind=Kind.PUT,
            agent_id=state.descriptor.agent_id,
            version=state.version,
            status=state.status,
            health=state.health_score,
            heard_ms=None if heard is None else round(heard.timestamp() * 1_000),
            violations=state.violations,
            document=json.dumps(document),
        )

    @classmethod
    def gone(cls, agent_id: str, version: int) -> Self:
        """Return the change that tells of an agent that it has left."""
        return cls(
            kind=Kind.GONE,
            agent_id=agent_id,
            version=version,
            status=AgentStatus.DECOMMISSIONED,
        )

    @property
    def state(self) -> str:
        """Where it stands, as Redis keeps it; a digest may follow."""
        heard = _NEVER if self.heard_ms is None else self.heard_ms
        broken = ",".join(f"{t}:{since}" for t, since in self.violations.items())
        return (
            f"{self.version} {self.status} {self.health!r} {heard} {broken or _NEVER}"
        )

    @classmethod
    def read(cls, kind: str, agent_id: str, state: str, document: str = "") -> Self:
        """Return the change that was told in these words."""
        version, status, health, heard, broken, *_ = state.split(" ")
        return cls(
            kind=Kind(kind),
            agent_id=agent_id,
            version=int(version),
            status=AgentStatus(status),
            health=float(health),
            heard_ms=None if heard == _NEVER else int(heard),
            violations=_violations(broken),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One entry of the feed.

    Attributes:
        position: Its id in the stream.
        nth: Its number in its epoch: one that is missing has been trimmed away.
        changes: Of agents.
        agent_ids: Whose heartbeats follow.
        blobs: Their heartbeats, packed.
    """

    position: str
    nth: int
    changes: Sequence[FeedChange] = ()
    agent_ids: Sequence[str] = ()
    blobs: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the feed: its epoch, an entry's id, and the entry's number."""

    epoch: str
    entry: str
    nth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that the hot state holds, and where the feed goes on from there.

    Attributes:
        position: Where the feed goes on.
        agents: Everybody, each a ``put``.
        blobs: Last heartbeats by agent, packed.
        is_whole: It agrees with its checksum; otherwise some of it was lost.
    """

    position: Position
    agents: Sequence[FeedChange]
    blobs: Mapping[str, bytes]
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of heartbeats.

    Attributes:
        now_ms: Redis' time, epoch milliseconds.
        unknown: Agents that are not registered, as far as Redis knows.
        late: How many came when they did not count any more.
    """

    now_ms: int
    unknown: tuple[str, ...]
    late: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The last heartbeats of some agents, at one moment.

    Attributes:
        epoch: What they belong to.
        heard_since_ms: Since when heartbeats are surely heard, epoch milliseconds.
        now_ms: The moment, on Redis' clock.
        is_restarted: Redis was down since it was last heard anew.
        promises: What the sweep before kept of the agents' SLAs; empty: nothing.
        blobs: Packed; None: there is none.
    """

    epoch: str
    heard_since_ms: int
    now_ms: int
    is_restarted: bool
    promises: bytes
    blobs: Sequence[bytes | None]


def read_delta(position: bytes, fields: Mapping[bytes, bytes]) -> Delta:
    """Return an entry of the stream."""
    told = json.loads(fields.get(b"changes", b"[]"))
    blobs = fields.get(b"beats", b"")
    return Delta(
        position=position.decode(),
        nth=int(fields[b"nth"]),
        changes=tuple(
            FeedChange.read(kind, agent_id, state, json.dumps(said) if said else "")
            for kind, agent_id, state, said in told
        ),
        agent_ids=fields[b"agents"].decode().split("\n") if blobs else (),
        blobs=tuple(
            blobs[at : at + BLOB_BYTES] for at in range(0, len(blobs), BLOB_BYTES)
        ),
    )


def read_snapshot(epoch: str, replies: Sequence[Any]) -> Snapshot:
    """Return everything that an epoch holds.

    Args:
        epoch: Which one.
        replies: Number of deltas and both halves of the checksum; the feed's last
            entry; documents, states and heartbeats by agent.
    """
    (nth, high, low), last, documents, states, beats = replies
    agents = tuple(
        FeedChange.read(Kind.PUT, text(one), text(states[one]), text(document))
        for one, document in documents.items()
        if one in states
    )
    told = (int(high or 0), int(low or 0))
    is_same = documents.keys() == states.keys()
    return Snapshot(
        position=Position(epoch, text(last[0][0]) if last else "0-0", int(nth or 0)),
        agents=agents,
        blobs={text(one): blob[:BLOB_BYTES] for one, blob in beats.items()},
        is_whole=is_same and halves(checksum_of(agents)) == told,
    )


def read_agent(change: FeedChange) -> RegisteredAgent:
    """Return the agent that a ``put`` tells of."""
    said: dict[str, Any] = json.loads(change.document)
    as_of = said.get("as_of")
    return RegisteredAgent(
        descriptor=AgentDescriptor.from_json(said["descriptor"]),
        health_score=change.health,
        status=change.status,
        location=said["location"],
        registered_at=datetime.fromisoformat(said["registered_at"]),
        last_heartbeat=moment(change.heard_ms),
        version=change.version,
        region=said.get("region", ""),
        as_of=None if as_of is None else datetime.fromisoformat(as_of),
        violations=broken_since(change.violations),
    )


def change_arguments(changes: Sequence[FeedChange]) -> list[str | int]:
    """Return changes as ``registry_change.lua`` takes them."""
    found: list[str | int] = []
    for change, digest in zip(changes, _digests(changes), strict=True):
        high, low = halves(digest)
        words = (change.kind, change.agent_id, change.state, change.document)
        found += [*words, high, low]
    return found


def checksum_of(changes: Sequence[FeedChange]) -> int:
    """Return the checksum of a replica that holds these agents."""
    return sum(_digests(changes)) % 2**64


def halves(number: int) -> tuple[int, int]:
    """Return the high and the low 32 bits of a number of 64."""
    return number >> 32, number & 0xFFFFFFFF


def moment(epoch_ms: int | None) -> datetime | None:
    """Return epoch milliseconds as a moment."""
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1_000, UTC)


def text(given: object) -> str:
    """Return a reply of Redis as text; nothing is the empty text."""
    if isinstance(given, bytes):
        return given.decode()
    return "" if given is None else str(given)


def _violations(told: str) -> dict[str, int]:
    if told == _NEVER:
        return {}
    pairs = (one.split(":") for one in told.split(","))
    return {term: int(since_ms) for term, since_ms in pairs}


def _digests(changes: Sequence[FeedChange]) -> list[int]:
    """Return what each agent adds to the checksum."""
    found: list[int] = digests(
        np.array([id_hash(one.agent_id) for one in changes], np.uint64),
        np.array([one.version for one in changes], np.int64),
        np.array([status_number(one.status) for one in changes], np.int8),
    ).tolist()
    return found
