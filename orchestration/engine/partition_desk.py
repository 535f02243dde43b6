"""Where swarms that share out partitions begin, tick and end. Workers and front doors.

A tick is the control loop beside the agents' work: it takes in what has been settled,
has agents live on, gives back what is taken for lost, wakes who rests while there is
something to do, and ends what is over. It may be made at any time, any number of times
at once: what it records is recorded once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from eventstore import NotCanonical
from orchestration.adapters.announcements import Announcements
from orchestration.adapters.partition_log import PartitionLog
from orchestration.adapters.partition_queue import PartitionQueue
from orchestration.adapters.partition_records import (
    Layout,
    Pace,
    QueueState,
    Settling,
)
from orchestration.adapters.partition_sender import PartitionSender
from orchestration.adapters.push import Ends
from orchestration.adapters.saga_records import Because
from orchestration.adapters.swarm_log import SwarmLog
from orchestration.core.swarm.events import NewFact
from orchestration.core.swarm.fold import SwarmStatus, SwarmView, apply, fold
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.partitions.colony import Colony, Plan
from orchestration.core.swarm.partitions.control import (
    end_of,
    idle_to_wake,
    lost_turns,
    pullers,
    ticked,
)
from orchestration.core.swarm.partitions.facts import How, failed, started
from orchestration.core.swarm.partitions.outcome import efficiency_at
from orchestration.core.swarm.providers import Provided, announced_name
from orchestration.core.swarm.task import SwarmTask
from orchestration.engine.payload import checked_payload
from orchestration.engine.standing_fields import StandingFields
from orchestration.engine.swarm_ports import Clock
from orchestration.errors import (
    InvalidSwarm,
    SwarmHandlerNotFound,
    SwarmNotFound,
    SwarmSourceNotFound,
    TransportError,
)
from orchestration.swarm_metrics import SwarmMetrics

__all__ = ["Known", "PartitionDesk"]

logger = logging.getLogger(__name__)
_KEPT: Final = 32  # swarms that a process remembers
_RACES: Final = 20
_SILENCE: Final = {"type": "LeaseExpired", "message": "nobody was heard of in time"}


@dataclass(slots=True)
class Known:
    """A swarm as a process knows it."""

    colony: Colony
    view: SwarmView


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionDesk:
    """Begins such swarms and looks after them.

    Attributes:
        fields: What runs leave behind for later ones.
        most_agents: How many agents a swarm may have.
        max_payload_bytes: Limit of what a swarm is told.
        lease_ms: How long an attempt outlives its worker.
        on_end: Is called with each swarm that is over, once that is on record.
    """

    swarms: SwarmLog
    log: PartitionLog
    fields: StandingFields
    queue: PartitionQueue
    sender: PartitionSender
    announcements: Announcements
    ends: Ends
    clock: Clock
    metrics: SwarmMetrics
    most_agents: int
    max_payload_bytes: int
    lease_ms: int
    on_end: Callable[[SwarmView], None] = lambda _: None
    _known: dict[str, Known] = field(default_factory=dict)
    # What a process knows of a swarm is changed in place.
    _one_by_one: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, task: SwarmTask, because: Because) -> bool:
        """Record that a swarm begins, and send its first tick; False if it has begun.

        Raises:
            InvalidSwarm: The task has faults; all are named, and nothing has started.
            SwarmHandlerNotFound: No worker ever announced its handler.
            SwarmSourceNotFound: No worker ever announced its data source.
            PayloadTooLarge: It is told more than an event may hold.
            SwarmConflict: The id is that of another swarm.
        """
        if faults := task.faults(self.most_agents):
            raise InvalidSwarm(str(task.objective), faults)
        self._check_hosts(task)
        told = started(task).data
        try:
            checked_payload("the swarm's task", told, self.max_payload_bytes)
        except NotCanonical as exc:
            raise InvalidSwarm(task.objective, [str(exc)]) from exc
        fact = started(task, self.fields.at_begin(task))
        _, is_new = self.swarms.begin(task.swarm_id, fact, because)
        if is_new:
            self._send_tick(Plan(task, task.swarm_id))
        return is_new

    def _check_hosts(self, task: SwarmTask) -> None:
        handler = task.handler_name or ""
        if not self.announcements.knows(announced_name(Provided.HANDLER, handler)):
            fault = (
                f"handler {handler!r} is hosted by no worker: start one that imports "
                f"its module (-I), with @partition_handler({handler!r})"
            )
            raise SwarmHandlerNotFound(task.objective, [fault])
        source = task.source_name or ""
        if task.needs_source and not self.announcements.knows(
            announced_name(Provided.SOURCE, source)
        ):
            fault = (
                f"data source {source!r} is hosted by no worker: start one that "
                f"imports its module (-I), with @data_source({source!r})"
            )
            raise SwarmSourceNotFound(task.objective, [fault])

    def nudge(self, view: SwarmView) -> None:
        """Have a swarm looked after now that something was asked of it."""
        self._send_tick(Plan.of(view.swarm_id, view.spec))

    def patrol(self, swarm_id: str, because: Because) -> None:
        """Look after a swarm, and show it in this process's metrics."""
        with self._one_by_one:
            known = self.read(swarm_id)
            if self._tick(known, because):
                efficiency = efficiency_at(known.colony, self.clock.now())
                roles = _counted(known.colony)
                self.metrics.moved(known.view, roles, efficiency=efficiency)

    def forget_ended(self) -> None:
        """Show swarms no more that other processes have ended."""
        if shown := self.metrics.shown:
            self.metrics.forget(self.swarms.over(shown))

    def tick(self, swarm_id: str, because: Because) -> bool:
        """Look after a swarm; return whether it goes on.

        Raises:
            SwarmNotFound: There is no such swarm.
        """
        with self._one_by_one:
            return self._tick(self.read(swarm_id), because)

    def _tick(self, known: Known, because: Because) -> bool:
        swarm_id = known.view.swarm_id
        if known.view.status.is_over:
            self.queue.drop(swarm_id)
            self._forget(swarm_id)
            return False
        if self._is_due_to_end(known):
            return not self._end(known, because)
        if known.view.status is SwarmStatus.PAUSED:
            self._set_state(known, QueueState.PAUSED)
            return True
        self.build(known)
        self._reap(known, because)
        if self._is_due_to_end(known):
            return not self._end(known, because)
        if known.colony.has_news:
            self._live(known, because)
        self._go_on(known)
        return True

    def read(self, swarm_id: str) -> Known:
        """Return a swarm with all that is on record by now.

        Raises:
            SwarmNotFound: There is no such swarm.
        """
        known = self._known.get(swarm_id)
        after = 0 if known is None else known.colony.version
        events = self.swarms.read(swarm_id, after=after, whole=True)
        if known is None:
            view = fold(swarm_id, events[:1])
            if view is None:
                raise SwarmNotFound(f"there is no swarm {swarm_id}", swarm_id)
            known = Known(Colony.of(swarm_id, events[0]), view)
            events = events[1:]
            while len(self._known) >= _KEPT:
                self._forget(next(iter(self._known)))
            self._known[swarm_id] = known
        for event in events:
            if event.version > known.colony.version:
                known.colony.apply(event)
                known.view = apply(known.view, event)
        return known

    def build(self, known: Known) -> bool:
        """See to it that there is a queue; return whether it had to be built."""
        colony, swarm_id = known.colony, known.view.swarm_id
        if self.queue.pace(swarm_id).state is not None:
            return False
        over = colony.done.keys() | colony.given_up
        # Attempts that nobody knows of any more may have had the next number.
        retry = {
            p: (colony.attempts[p] + 1, colony.failures.get(p, 0), colony.last_agent[p])
            for p in sorted(colony.attempts.keys() - over)
        }
        layout = Layout(
            roles=pullers(colony),
            orders=colony.orders.told(),
            ready=colony.untried,
            retry=retry,
            over=over,
            deadline_ms=_deadline_ms(known.view.deadline),
        )
        return self.queue.build(swarm_id, layout)

    def record(
        self, swarm_id: str, facts: Sequence[NewFact], because: Because
    ) -> tuple[bool, ...] | None:
        """Record facts, each once; see the log's method of that name."""
        recorded = self.log.record(swarm_id, facts, because)
        if recorded is None and not (view := self.swarms.view(swarm_id)).status.is_over:
            self.swarms.heal(view)  # its row was lost, or restored from elsewhere
            recorded = self.log.record(swarm_id, facts, because)
        return recorded

    def _is_due_to_end(self, known: Known) -> bool:
        view = known.view
        is_late = view.is_late(self.clock.now())
        return known.colony.is_finished or view.is_stopping or is_late

    def _reap(self, known: Known, because: Because) -> None:
        """Record what nobody was heard of as having come to nothing."""
        plan, swarm_id = known.colony.plan, known.view.swarm_id
        able = pullers(known.colony)
        for held in self.queue.expired(swarm_id):
            if held.partition in known.colony.done:
                # Its process ended between the record and telling the queue of it.
                self.queue.settle(swarm_id, held, Settling.OVER)
                self._wake(plan, [held.agent] if held.agent in able else [])
                continue
            failures = known.colony.failures.get(held.partition, 0) + 1
            wait_ms = plan.retry_in_ms(failures)
            fact = failed(
                held.partition,
                held.agent,
                held.attempt,
                how=How.EXPIRED,
                error=_SILENCE,
                retry_in_ms=wait_ms,
                timing={"busy_ms": 0.0, "worker": ""},
            )
            recorded = self.record(swarm_id, [fact], because)
            if recorded is None:
                return
            how = Settling.OVER if wait_ms is None else Settling.RETRY
            self.queue.settle(
                swarm_id,
                held,
                how,
                wait_ms=wait_ms or 0,
                tick_every=plan.tick_every,
            )
            # Its turn went with its worker.
            self._wake(plan, [held.agent] if held.agent in able else [])
        self.read(swarm_id)

    def _live(self, known: Known, because: Because) -> None:
        """Have agents live on by a tick, and learn of groups."""
        colony, swarm_id = known.colony, known.view.swarm_id
        # Not on what others will fold: it is theirs only once it is on record.
        fact = ticked(colony)
        number = colony.ticks + 1
        told = (number, colony.convergence)
        recorded = self.log.record(swarm_id, [fact], because, ticked=told)
        before = set(colony.agents.ids)
        self.read(swarm_id)
        if recorded is None or not recorded[0]:
            return  # another tick was faster
        self._give_back(known, before.difference(colony.agents.ids))

    def _give_back(self, known: Known, dead: set[int]) -> None:
        """Have a nurse give back at once what agents had who died."""
        swarm_id, agents = known.view.swarm_id, known.colony.agents
        if not dead or not agents.counts[AgentRole.NURSE]:
            return  # it is given back when its time is over
        for held in self.queue.held_by(swarm_id, dead):
            self.queue.settle(swarm_id, held, Settling.BACK)

    def _go_on(self, known: Known) -> None:
        """Bring the queue up to date, and wake who is to ask again."""
        colony, swarm_id = known.colony, known.view.swarm_id
        plan, roles = colony.plan, pullers(colony)
        self.queue.update(swarm_id, roles, colony.orders.told(), colony.untried)
        self._set_state(known, QueueState.OPEN)
        pace = self.queue.pace(swarm_id)
        lost = lost_turns(pace.unseen_ms, pace.still_ms, self.lease_ms)
        wanted = idle_to_wake(
            pace.idle,
            roles,
            ready=pace.ready,
            due=pace.due,
            asking=len(pace.unseen_ms),
        )
        self._wake(plan, [*(one for one in lost if one in roles), *wanted])
        if pace.next_due_ms is not None and not pace.ready:
            self._send_tick(plan, wait_ms=pace.next_due_ms + 5)
        self._note_waiting(known, pace)

    def _note_waiting(self, known: Known, pace: Pace) -> None:
        """Show in the status that nobody is there who could do the work."""
        if pace.held or pace.still_ms < self.lease_ms / 2:
            return
        name = known.colony.plan.task.handler_name or ""
        announced = announced_name(Provided.HANDLER, name)
        if self.announcements.offline([announced]):
            what = f"a worker that hosts handler {name!r}"
            self.swarms.note_waiting(known.view.swarm_id, what)

    def _set_state(self, known: Known, state: QueueState) -> None:
        view = known.view
        if self.queue.pace(view.swarm_id).state not in (None, state):
            deadline_ms = _deadline_ms(view.deadline)
            self.queue.set_state(view.swarm_id, state, deadline_ms)

    def _end(self, known: Known, because: Because) -> bool:
        """Record that a swarm is over; return whether it is."""
        swarm_id = known.view.swarm_id
        self._set_state(known, QueueState.OVER)
        for _ in range(_RACES):
            if known.view.status.is_over:
                break
            if known.colony.has_news:
                self._live(known, because)
                continue  # who was faster may have ended it meanwhile
            fact = end_of(known.colony, known.view, self.clock.now())
            written = self.fields.record_end(known.colony, known.view, fact, because)
            known = self.read(swarm_id)
            if written.is_new:
                self.metrics.moved(known.view, _counted(known.colony))
        if not known.view.status.is_over:
            return False  # too much is being settled; the next tick ends it
        self.ends.tell(swarm_id)
        self.on_end(known.view)
        self.queue.drop(swarm_id)
        self._forget(swarm_id)
        return True

    def _wake(self, plan: Plan, agents: Sequence[int]) -> None:
        turns = self.queue.wake(plan.swarm_id, agents)
        try:
            for agent, turn in turns.items():
                self.sender.turn(plan, agent, turn)
        except TransportError:
            logger.warning("swarm %s: turns not sent yet", plan.swarm_id)

    def _send_tick(self, plan: Plan, *, wait_ms: int = 0) -> None:
        try:
            self.sender.tick(plan, wait_ms=wait_ms)
        except TransportError:
            logger.warning("swarm %s: tick not sent yet", plan.swarm_id)

    def _forget(self, swarm_id: str) -> None:
        self._known.pop(swarm_id, None)


def _counted(colony: Colony) -> dict[str, int]:
    return {str(role): count for role, count in colony.agents.counts.items()}


def _deadline_ms(deadline: datetime | None) -> int:
    return 0 if deadline is None else round(deadline.timestamp() * 1_000)
