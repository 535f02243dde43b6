"""Whether the hashes on record of shared work are those of what is on record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.core.swarm.events import ENDS, EventType, SwarmEvent
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.facts import digest_of, told_of
from orchestration.core.swarm.partitions.outcome import state_hash
from orchestration.core.swarm.providers import PartitionResult

__all__ = ["Checked", "checked_again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of computing every hash again.

    Attributes:
        ticks: How many ticks are on record.
        differs_at: The tick at which a hash came out otherwise, or the one after the
            partition of which it did; None: none did.
        recorded: That hash as it is on record, hex.
        found: As it came out.
        state_hash: SHA-256 of what came of all partitions, in their order.
    """

    ticks: int
    differs_at: int | None = None
    recorded: str = ""
    found: str = ""
    state_hash: str


Work = Callable[[Mapping[str, Any]], PartitionResult]
"""Does a partition again: of what is on record of it."""


def checked_again(
    swarm_id: str, events: Sequence[SwarmEvent], work: Work | None = None
) -> Checked:
    """Compute again the hash of each partition's result, of each tick, and of the end.

    Args:
        swarm_id: The swarm.
        events: All of its events, oldest first.
        work: Does a partition again, so that its hash is of what that comes to; None:
            of what is on record.

    Raises:
        ValueError: It does not share out work.
    """
    colony = Colony.of(swarm_id, events[0])
    different: tuple[int, str, str] | None = None
    for event in events[1:]:
        colony.apply(event)
        for recorded, found in _hashes(colony, event, work):
            if different is None and recorded != found:
                is_tick = event.type is EventType.SWARM_TICKED
                different = (colony.ticks + (not is_tick), recorded, found)
    at, recorded, found = different or (None, "", "")
    return Checked(
        ticks=colony.ticks,
        differs_at=at,
        recorded=recorded,
        found=found,
        state_hash=state_hash(colony),
    )


def _hashes(
    colony: Colony, event: SwarmEvent, work: Work | None
) -> Iterator[tuple[str, str]]:
    """Yield each hash that an event tells, and the same as it comes out."""
    data = event.data
    if event.type is EventType.PARTITION_COMMITTED:
        told = {name: data[name] for name in ("rows", "quality", "value")}
        yield data["digest"], digest_of(told)
        if work is not None:
            yield data["digest"], digest_of(told_of(work(data)))
    elif event.type is EventType.SWARM_TICKED:
        yield data["state"], colony.agents.digest()
    elif event.type in ENDS and "state_hash" in data["result"]:
        yield data["result"]["state_hash"], state_hash(colony)
