"""Where swarms that move are begun and acted upon. Front doors and workers share it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from orchestration.adapters.saga_records import Because
from orchestration.contracts import DEFAULT_QUEUE, pool_queue
from orchestration.core.saga.acts import Who
from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.fold import SwarmStatus, SwarmView
from orchestration.core.swarm.outcome import ended
from orchestration.core.swarm.run import RUN, SwarmRun, run_of, started
from orchestration.engine.swarm_ports import Clock, Ends, Log, Sender
from orchestration.engine.swarm_states import whole_ms
from orchestration.errors import (
    InvalidSwarm,
    SwarmActRefused,
    TransportError,
    UnknownFitness,
)

__all__ = ["SwarmDesk"]

logger = logging.getLogger(__name__)
# Workers serve both, unless told otherwise: which of them it is need not be told.
_OF_ALL_WORKERS: Final = (DEFAULT_QUEUE, pool_queue("default"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmDesk:
    """Begins swarms, and does to them what is asked.

    Attributes:
        queue_of: Returns the queue where a fitness is served; None: nobody ever
            announced it.
        most_agents: How many agents a swarm may have.
    """

    log: Log
    sender: Sender
    ends: Ends
    clock: Clock
    queue_of: Callable[[str], str | None]
    most_agents: int

    def begin(self, swarm_id: str, run: SwarmRun, because: Because) -> SwarmView:
        """Begin a run; one that has begun exactly so before is returned.

        Raises:
            InvalidSwarm: It has faults; all are named, and nothing has been started.
            UnknownFitness: No worker ever announced its fitness.
            SwarmConflict: The id is taken by another swarm.
        """
        if faults := run.faults(self.most_agents):
            raise InvalidSwarm(run.name, faults)
        queue = self.queue_of(run.fitness) if run.fitness else DEFAULT_QUEUE
        if queue is None:
            fault = (
                f"fitness {run.fitness!r} is hosted by no worker: start one that "
                "imports its module (-I), or use one of the standard functions"
            )
            raise UnknownFitness(run.name, [fault])
        if queue not in _OF_ALL_WORKERS:
            run = replace(run, queue=queue)
        view, is_new = self.log.begin(swarm_id, started(run), because)
        if is_new:
            self.send(view)
        return view

    def send(self, view: SwarmView, *, sends: int = 0) -> None:
        """Send a swarm's next iterations; what is not taken, the sweep sends again."""
        run, _ = run_of(view.spec)
        # As if nothing was kept: at worst a snapshot is taken that need not be.
        kept_ms = whole_ms(view.started_at)
        try:
            self.sender.iterate(view, run, kept_ms=kept_ms, sends=sends)
        except TransportError:
            logger.warning("swarm %s not sent yet", view.swarm_id)

    def stop(self, swarm_id: str, who: Who, because: Because) -> SwarmView:
        """End a swarm as it stands, once what runs has ended. Twice is once.

        Raises:
            SwarmActRefused: It is over.
        """

        def act(view: SwarmView) -> NewFact | None:
            if view.is_stopping:
                return None
            if view.status is SwarmStatus.PAUSED and view.kind == RUN:
                reason = f"it was asked to stop by {who.by}"
                return ended(EventType.SWARM_STOPPED, view, None, reason)
            return NewFact(EventType.SWARM_STOP_REQUESTED, who.told)

        view = self._act(swarm_id, "stop", act, because)
        if view.status.is_over:
            self.ends.tell(swarm_id)
        return view

    def pause(self, swarm_id: str, who: Who, because: Because) -> SwarmView:
        """Let what runs end, and begin nothing; its time stands still. Twice is once.

        Raises:
            SwarmActRefused: It is over, or about to stop.
        """

        def act(view: SwarmView) -> NewFact | None:
            if view.is_stopping:
                raise _refused(view, "pause", "it is about to stop")
            if view.status is SwarmStatus.PAUSED:
                return None
            return NewFact(EventType.SWARM_PAUSED, who.told)

        return self._act(swarm_id, "pause", act, because)

    def resume(self, swarm_id: str, who: Who, because: Because) -> SwarmView:
        """Go on after a pause. Twice is once.

        Raises:
            SwarmActRefused: It is over.
        """

        def act(view: SwarmView) -> NewFact | None:
            if view.status is SwarmStatus.RUNNING:
                return None
            return NewFact(EventType.SWARM_RESUMED, who.told)

        view = self._act(swarm_id, "resume", act, because)
        if view.kind == RUN and view.status is SwarmStatus.RUNNING:
            self.send(view)
        return view

    def _act(
        self,
        swarm_id: str,
        what: str,
        act: Callable[[SwarmView], NewFact | None],
        because: Because,
    ) -> SwarmView:
        """Record an act upon a swarm that is on its way."""

        def decide(view: SwarmView) -> NewFact | None:
            if view.status.is_over:
                raise _refused(view, what, "only one on its way can be acted upon")
            return act(view)

        return self.log.act(swarm_id, decide, because)


def _refused(view: SwarmView, what: str, why: str) -> SwarmActRefused:
    return SwarmActRefused(
        f"swarm {view.swarm_id} is {view.status}: cannot {what} it; {why}",
        view.swarm_id,
    )
