"""The facts of a swarm's life: event types, their identity, and what they say.

=======================  =============================================================
``SWARM_STARTED``        ``kind``, ``name``, ``spec`` (all that it was told),
                         ``spec_hash``, ``seed``, ``agents``, ``digest`` (of the state
                         before anything was valued), ``timeout_ms`` (null: none);
                         ``standing``: what runs before have left of shared work
``SWARM_ITERATED``       ``first`` (iteration), ``count``, ``hashes`` (the chain's link
                         of each), ``best`` (after each; null: none), ``convergence``,
                         ``state`` (SHA-256 of the whole state after the last),
                         ``agents`` (in each; left out: as many as at first)
``SWARM_SENT_AGAIN``     ``tries``: how often work that did not come back was begun anew
``SWARM_ATTEMPT_FAILED``  ``iteration``, ``attempt``, ``error``, ``retry_in_ms`` (null:
                         there is no further attempt)
``SWARM_PAUSED``         ``by``, ``why``
``SWARM_RESUMED``        ``by``, ``why``
``SWARM_STOP_REQUESTED``  ``by``, ``why``
``SWARM_COMPLETED``      ``reason``, ``result``; so have the other four ends
``SWARM_STOPPED``        somebody asked for it
``SWARM_TIMED_OUT``      its time was over
``SWARM_FAILED``         it could not go on: the ``reason`` says why
``SWARM_NON_DETERMINISTIC``  a state came out otherwise than it is on record
=======================  =============================================================

``partitions.facts`` tells of the facts of swarms that share out partitions.

An iteration's event has the id of what it is about, so that two processes that have
done the same iterations write one event; all others have that of the version at which
they were decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

__all__ = ["ENDS", "EventType", "NewFact", "SwarmEvent", "stream_of", "swarm_uuid"]


class EventType(StrEnum):
    """Every type of event on a swarm's stream."""

    SWARM_STARTED = "SWARM_STARTED"
    SWARM_ITERATED = "SWARM_ITERATED"
    SWARM_SENT_AGAIN = "SWARM_SENT_AGAIN"
    SWARM_ATTEMPT_FAILED = "SWARM_ATTEMPT_FAILED"
    SWARM_PAUSED = "SWARM_PAUSED"
    SWARM_RESUMED = "SWARM_RESUMED"
    SWARM_STOP_REQUESTED = "SWARM_STOP_REQUESTED"
    SWARM_COMPLETED = "SWARM_COMPLETED"
    SWARM_STOPPED = "SWARM_STOPPED"
    SWARM_TIMED_OUT = "SWARM_TIMED_OUT"
    SWARM_FAILED = "SWARM_FAILED"
    SWARM_NON_DETERMINISTIC = "SWARM_NON_DETERMINISTIC"
    SWARM_TICKED = "SWARM_TICKED"
    PARTITION_COMMITTED = "PARTITION_COMMITTED"
    PARTITION_FAILED = "PARTITION_FAILED"
    PARTITION_REPEATED = "PARTITION_REPEATED"


ENDS: Final = frozenset(
    {
        EventType.SWARM_COMPLETED,
        EventType.SWARM_STOPPED,
        EventType.SWARM_TIMED_OUT,
        EventType.SWARM_FAILED,
        EventType.SWARM_NON_DETERMINISTIC,
    }
)
"""After one of these nothing happens to a swarm any more."""

_SWARMS = uuid5(NAMESPACE_URL, "urn:agent-foundation-orchestration:swarm")


@lru_cache(maxsize=4_096)
def swarm_uuid(swarm_id: str) -> UUID:
    """Return the correlation id of everything that a swarm causes."""
    return uuid5(_SWARMS, swarm_id)


def stream_of(swarm_id: str) -> str:
    """Return the name of a swarm's event stream."""
    return f"swarm-{swarm_id}"


@dataclass(frozen=True, slots=True)
class SwarmEvent:
    """One recorded fact; ``recorded_at`` is the database's clock, in UTC."""

    version: int
    type: EventType
    data: Mapping[str, Any]
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact about to be recorded.

    Attributes:
        key: What makes it the same fact when it is told again, for facts that are not
            about the swarm as a whole, such as a partition's commit.
    """

    type: EventType
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    def event_id(self, swarm_id: str, version: int) -> UUID:
        """Return its id, a UUID of version 5.

        Args:
            swarm_id: The swarm.
            version: The version that it was decided at.
        """
        if self.type is EventType.SWARM_ITERATED:
            key = f"{self.data['first']}:{self.data['count']}"
        else:
            key = self.key or str(version)
        return uuid5(swarm_uuid(swarm_id), f"{self.type}:{key}")
