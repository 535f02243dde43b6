"""What the sweep does with one swarm that moves and stands still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from orchestration.adapters.saga_records import Because
from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.fold import SwarmStatus, SwarmView
from orchestration.core.swarm.outcome import ended, never_came_back
from orchestration.core.swarm.run import RUN, run_of
from orchestration.engine.swarm_desk import SwarmDesk
from orchestration.engine.swarm_running import MOST_TRIES
from orchestration.engine.swarm_states import SwarmStates

__all__ = ["SwarmSweeper"]


@dataclass(frozen=True, slots=True)
class SwarmSweeper:
    """Moves on what messages have not, and ends what nobody else will end."""

    desk: SwarmDesk
    states: SwarmStates

    def look(self, swarm_id: str, sends: int, because: Because) -> bool:
        """Look at a swarm that stands still; return whether it was sent again.

        Args:
            swarm_id: The swarm.
            sends: How often it was claimed since it stands still, this time included.
            because: The task that looks.
        """
        view = self.desk.log.view(swarm_id)
        if view.status is not SwarmStatus.RUNNING or view.kind != RUN:
            return False
        if (end := self._end(view)) is not None:
            type_, reason = end
            held = self.states.read(swarm_id)
            state = self.states.at_hand(held)
            self._write(held.view, ended(type_, held.view, state, reason), because)
            return False
        if view.tries >= MOST_TRIES:  # it is still waited for
            return False
        self.desk.send(view, sends=sends)
        return True

    def _end(self, view: SwarmView) -> tuple[EventType, str] | None:
        now = self.desk.clock.now()
        if view.is_stopping:
            return EventType.SWARM_STOPPED, "it was asked to stop"
        if view.is_late(now):
            return EventType.SWARM_TIMED_OUT, "its time was over"
        run, _ = run_of(view.spec)
        # A single process may have to do all of an iteration's tasks.
        limit = timedelta(milliseconds=run.task_timeout_ms * run.tasks(view.size))
        if (
            view.tries >= MOST_TRIES
            and view.tried_at is not None
            and now >= view.tried_at + limit
        ):
            return EventType.SWARM_FAILED, never_came_back(view)
        return None

    def _write(self, view: SwarmView, fact: NewFact, because: Because) -> None:
        """Record an end, unless the swarm has gone on meanwhile."""
        if self.desk.log.record(view, [fact], because).view is not None:
            self.desk.ends.tell(view.swarm_id)
