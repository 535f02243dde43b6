"""What runs leave behind of what work costs, and what is left of it when one begins.

A standing field belongs to a handler and its data. Each run lays on a group what its
partitions took and how good they were, which counts for so much in a mean in which
what is old counts less. Time evaporates it in ticks, which are counted on record: a
field keeps what was laid and the tick of it, so that whoever has missed ticks, beat or
reader, comes to the very numbers of those who have not.

===================  ================================================================
``FIELD_LAID``       ``handler``, ``source``, ``layout``, ``swarm`` (its id), ``tick``,
                     ``groups`` (group: work of it and its quality); on a field's
                     stream
``FIELDS_EVAPORATED``  ``tick`` (the last one done), ``at`` (when that one ended, epoch
                     ms); on the stream ``field-clock``
===================  ================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil, log
from typing import Any, Final, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from orchestration.core.swarm.pheromone import PheromoneSettings, Trail
from orchestration.core.swarm.task import SwarmTask

__all__ = [
    "CLOCK",
    "FieldEvent",
    "FieldKey",
    "FieldTime",
    "Left",
    "StandingField",
    "evaporated_id",
    "laid_id",
]

CLOCK: Final = "field-clock"
"""The stream on which ticks are counted."""

SETTINGS: Final = PheromoneSettings(evaporation=0.01)
_NEWEST: Final = 0.3
"""The weight of the newest run in the mean."""

_FORGOTTEN: Final = 0.01
"""Evidence below which a group counts as not known."""

_FIELDS: Final = uuid5(NAMESPACE_URL, "urn:agent-foundation-orchestration:field")
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class FieldEvent(StrEnum):
    """What is recorded of standing fields."""

    FIELD_LAID = "FIELD_LAID"
    FIELDS_EVAPORATED = "FIELDS_EVAPORATED"


@dataclass(frozen=True, slots=True)
class FieldKey:
    """Which work a field is about.

    Attributes:
        handler: Who does it.
        source: Where its rows are from.
        layout: What its groups are: ``given`` by tasks, or so many ``blocks`` of
            neighbours.
    """

    handler: str
    source: str
    layout: str

    @classmethod
    def of(cls, task: SwarmTask) -> Self:
        """Return the field that a task reads and lays on."""
        blocks = max(task.group_of) + 1
        layout = "given" if task.groups is not None else f"blocks-{blocks}"
        return cls(task.handler_name or "", task.source_name or "", layout)

    @property
    def uuid(self) -> UUID:
        """Its id, and the correlation id of all that is laid on it."""
        return uuid5(_FIELDS, f"{self.handler}\n{self.source}\n{self.layout}")

    @property
    def stream(self) -> str:
        """The name of its event stream."""
        return f"field-{self.uuid.hex}"

    @property
    def told(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"handler": self.handler, "source": self.source, "layout": self.layout}


@dataclass(frozen=True, slots=True)
class FieldTime:
    """How many ticks are done.

    Attributes:
        tick: The last one.
        at: When it ended; by the database's clock, UTC.
    """

    tick: int
    at: datetime

    def later(self, now: datetime, tick_s: float) -> FieldTime:
        """Return the time with all ticks that are over by now, however many."""
        passed = max(0, (now - self.at) // timedelta(seconds=tick_s))
        return FieldTime(
            self.tick + passed, self.at + passed * timedelta(seconds=tick_s)
        )

    @property
    def told(self) -> dict[str, int]:
        """Return it as JSON."""
        passed = (self.at - _EPOCH) // timedelta(milliseconds=1)
        return {"tick": self.tick, "at": passed}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return the time that an event tells of."""
        return cls(told["tick"], _EPOCH + timedelta(milliseconds=told["at"]))


@dataclass(frozen=True, slots=True)
class Left:
    """What is left on a group.

    Attributes:
        evidence: How much of what is known of it is left, 0.0 to 1.0.
        work_ms: Mean time that the whole of the data would take at its pace if no
            weights are told, else that of a partition of weight 1; milliseconds.
        pheromone: Mean quality of what was done, evaporated since it was laid.
    """

    evidence: float
    work_ms: float
    pheromone: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Sums in which each run has a weight; all at the same tick.

    Attributes:
        evidence: Of the weights.
        work: Of weighted times.
        found: Of weighted qualities.
    """

    tick: int
    evidence: float
    work: float
    found: float

    def at(self, tick: int) -> Left:
        # A reader may be ahead of whoever laid last, and never behind.
        part = Trail(1.0, self.tick).at(max(tick, self.tick), SETTINGS)
        return Left(
            self.evidence * part,
            self.work / self.evidence,
            self.found / self.evidence * part,
        )

    def laid(self, work_ms: float, quality: float, tick: int) -> _Group:
        now = max(tick, self.tick)
        sums = (self.evidence, self.work, self.found)
        told = (1.0, work_ms, quality)
        after = (
            Trail(one * (1.0 - _NEWEST), self.tick).laid(
                _NEWEST * amount, now, SETTINGS
            )
            for one, amount in zip(sums, told, strict=True)
        )
        return _Group(now, *(trail.level for trail in after))

    @property
    def fades_at(self) -> int:
        """The first tick at which it counts as not known."""
        rate = log(1.0 - SETTINGS.evaporation)
        return self.tick + max(0, ceil(log(_FORGOTTEN / self.evidence) / rate))


@dataclass(frozen=True, slots=True)
class StandingField:
    """What is known of the groups of some work.

    Attributes:
        version: Of its stream.
    """

    version: int = 0
    groups: Mapping[int, _Group] = field(default_factory=dict)

    @classmethod
    def fold(cls, events: Iterable[Mapping[str, Any]]) -> Self:
        """Return the field that all of its events make, oldest first."""
        after = cls()
        for told in events:
            after = after.laid(told)
        return after

    def laid(self, told: Mapping[str, Any]) -> Self:
        """Return it after one more event."""
        groups, tick = dict(self.groups), told["tick"]
        for name, (work_ms, quality) in told["groups"].items():
            known = groups.get(int(name), _Group(tick, 0.0, 0.0, 0.0))
            groups[int(name)] = known.laid(work_ms, quality, tick)
        return type(self)(self.version + 1, groups)

    def left(self, tick: int) -> dict[int, Left]:
        """Return what is known of each group at a tick, evaporated up to then."""
        found = {group: one.at(tick) for group, one in sorted(self.groups.items())}
        return {
            group: one for group, one in found.items() if one.evidence >= _FORGOTTEN
        }

    @property
    def fades_at(self) -> int:
        """The first tick at which nothing of it is known any more."""
        return max((one.fades_at for one in self.groups.values()), default=0)

    @property
    def told(self) -> dict[str, Any]:
        """Return it as JSON, to the last bit."""
        groups = {
            str(group): [one.tick, one.evidence, one.work, one.found]
            for group, one in self.groups.items()
        }
        return {"version": self.version, "groups": groups}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return the field that ``told`` has told of."""
        groups = {int(group): _Group(*one) for group, one in told["groups"].items()}
        return cls(told["version"], groups)


def laid_id(swarm_id: str) -> UUID:
    """Return the id of the event that a swarm lays; each does so once."""
    return uuid5(_FIELDS, f"{FieldEvent.FIELD_LAID}:{swarm_id}")


def evaporated_id(tick: int) -> UUID:
    """Return the id of the event that says that a tick is done."""
    return uuid5(_FIELDS, f"{FieldEvent.FIELDS_EVAPORATED}:{tick}")
