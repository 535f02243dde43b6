"""When standing fields are read, laid on, and evaporated: by runs, and by beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestration.adapters.database import Database
from orchestration.adapters.field_log import FieldLog
from orchestration.adapters.saga_records import Because
from orchestration.adapters.swarm_log import SwarmLog, Written
from orchestration.core.swarm.events import NewFact
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.learning import at_begin, learned
from orchestration.core.swarm.partitions.standing import FieldKey, FieldTime, Left
from orchestration.core.swarm.task import SwarmTask

__all__ = ["FieldSummary", "StandingFields"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSummary:
    """What is known of some work by now.

    Attributes:
        handler: Who does it.
        source: Where its rows are from.
        layout: What its groups are: ``given``, or so many ``blocks``.
        tick: Up to which beat has evaporated it.
        now: The tick that ``groups`` are told for: none is missed.
        laid_at: When a run laid on it last.
        groups: What is left, by group.
    """

    handler: str
    source: str
    layout: str
    tick: int
    now: int
    laid_at: datetime
    groups: Mapping[int, Left]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingFields:
    """The standing fields as runs and beat use them.

    Attributes:
        tick_s: How long a tick lasts, seconds.
    """

    db: Database
    swarms: SwarmLog
    log: FieldLog
    tick_s: float

    def at_begin(self, task: SwarmTask) -> Mapping[str, Any]:
        """Return what a run of a task is to begin with; empty: nothing is known."""
        key = FieldKey.of(task)
        field = self.log.read(key)
        if not field.groups:
            return {}
        time, _, now = self.log.clock()
        if time is None:
            return {}
        tick = time.later(now, self.tick_s).tick
        return at_begin(task, tick, field.left(tick))

    def record_end(
        self, colony: Colony, view: SwarmView, end: NewFact, because: Because
    ) -> Written:
        """Record that a run is over, and in the same transaction what it has learned.

        Returns:
            As for ``SwarmLog.record``; others may have been first, with this run or on
            its field: then nothing is recorded.
        """
        found = learned(colony)
        given = (view, [end], because)
        if not found:
            return self.swarms.record(*given, expected=colony.version)
        key = FieldKey.of(colony.plan.task)
        time = self._time(because)

        def run() -> Written:
            with self.db.begin() as held:
                written = self.swarms.record(
                    *given, expected=colony.version, connection=held
                )
                if not written.is_new:
                    return written
                before = self.log.read(key, connection=held)
                told = {"tick": time.tick, "groups": found}
                laid = (key, view.swarm_id, told, before, because)
                if not self.log.lay(*laid, connection=held):
                    return Written(None)  # and what was recorded here is not
                held.commit()
                return written

        return self.db.patiently(run)

    def evaporate(self, because: Because) -> dict[str, int]:
        """Record the ticks that are over by now, however many; each counts once.

        Returns:
            How many ``ticks``, and how many fields they have ``evaporated`` and of
            these ``forgotten``; empty: there was nothing to do.
        """
        if not self.log.is_any():
            return {}  # a field that comes into being catches up by itself
        time, version, now = self.log.clock()
        if time is None:
            self._time(because)
            return {}
        later = time.later(now, self.tick_s)
        if later.tick == time.tick:
            return {}
        done = self.log.evaporate(FieldTime.of(later.told), version, because)
        if done is None:
            return {}
        evaporated, forgotten = done
        ticks = later.tick - time.tick
        return {"ticks": ticks, "evaporated": evaporated, "forgotten": forgotten}

    def listed(self, limit: int) -> Sequence[FieldSummary]:
        """Return what is known by now, the field laid on last first."""
        time, _, now = self.log.clock()
        tick = 0 if time is None else time.later(now, self.tick_s).tick
        return [
            FieldSummary(
                **row.key.told,
                tick=row.tick,
                now=tick,
                laid_at=row.laid_at,
                groups=row.field.left(tick),
            )
            for row in self.log.listed(limit)
        ]

    def _time(self, because: Because) -> FieldTime:
        """Return which tick it is; the first who asks has the clock begin."""
        while True:
            time, version, now = self.log.clock()
            if time is not None:
                return time.later(now, self.tick_s)
            first = FieldTime.of(FieldTime(0, now).told)
            if self.log.evaporate(first, version, because) is not None:
                return first
