"""What the sweep does with one saga that stands still."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from orchestration.adapters.saga_records import Because, Lease, LeaseChange
from orchestration.core.saga.decide import Decision, advance, overdue
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Lost
from orchestration.core.saga.timing import check_at, must_be_lost
from orchestration.core.saga.view import PhaseStatus, SagaView
from orchestration.engine.attempts import Claimed, close_attempt
from orchestration.engine.recording import Recorder

__all__ = ["Looks", "Queues", "Sweeper"]


class Looks(Protocol):
    """The side tables that say when to look at which saga."""

    def look_at(self, view: SagaView, at: datetime | None) -> None:
        """Have the sweep look at a saga then, if it has not moved on."""

    def forget_lease(self, lease: Lease) -> None:
        """Drop a lease that ran out and whose attempt is closed already."""


class Queues(Protocol):
    """Who knows whether workers keep up with what is sent to them."""

    def is_long(self, agent_id: str) -> bool:
        """Whether a message for the agent may well be waiting its turn."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Moves on what messages have not.

    Attributes:
        queues: Where they wait; None: nobody can tell, and what is late is lost.
    """

    recorder: Recorder
    looks: Looks
    queues: Queues | None = None

    def expire(self, lease: Lease, because: Because) -> None:
        """Close an attempt whose holder has not been heard of in time."""
        view = self.recorder.log.view(lease.saga_id)
        phase = view.phase(lease.step, lease.direction)
        if phase.status is not PhaseStatus.RUNNING or phase.attempt != lease.attempt:
            self.looks.forget_lease(lease)
            return
        limit = timedelta(milliseconds=view.plan.limit_ms(lease.step))
        started_at, now = phase.started_at, self.recorder.now()
        timed_out = started_at is not None and now >= started_at + limit
        message = (
            f"its {limit.total_seconds():g} s were over"
            if timed_out
            else "its worker was not heard of until the lease ran out"
        )
        error = {"type": "TimedOut" if timed_out else "WorkerLost", "message": message}
        mine = replace(lease, owner=phase.token)
        decision = close_attempt(
            self.recorder,
            Claimed(view, mine),
            Lost(error, timed_out=timed_out, at_once=True),
            because,
            change=LeaseChange.EXPIRE,
        )
        self.recorder.send(decision)

    def look(self, saga_id: str, because: Because, *, is_unsent: bool = False) -> int:
        """Decide anew about a saga that may stand still, and send what is overdue.

        Args:
            saga_id: The saga.
            because: The task that looks.
            is_unsent: Nobody has sent anything of it yet.

        Returns:
            How many messages for steps were sent once more.
        """
        recorder = self.recorder
        while True:
            view = recorder.log.view(saga_id)
            if view.state.is_over:  # its row is a leftover
                recorder.log.heal(saga_id)
                return 0
            now = recorder.now()
            decision = advance(view, now)
            if not decision.facts:
                if not is_unsent:
                    decision = self._unqueued(overdue(decision, now), now)
                recorder.send(decision)
                self.looks.look_at(view, check_at(view, now))
                return 0 if is_unsent else len(decision.lines) + len(decision.probes)
            answer, decision = recorder.record(view, decision, because)
            if answer.is_recorded:
                recorder.send(decision)
                return 0

    def _unqueued(self, decision: Decision, now: datetime) -> Decision:
        """Leave out what waits its turn: a queue that is long is not made longer."""
        view, queues = decision.view, self.queues

        def is_lost(name: str, direction: Direction) -> bool:
            if queues is None or must_be_lost(view, name, direction, now):
                return True
            return not queues.is_long(view.agent_of(name))

        return evolve(
            decision,
            lines=tuple(x for x in decision.lines if is_lost(x[0], decision.direction)),
            probes=tuple(x for x in decision.probes if is_lost(x, Direction.PROBE)),
        )
