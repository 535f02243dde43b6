"""What the sweep does with one saga that stands still."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from orchestration.adapters.saga_records import Because, Lease, LeaseChange
from orchestration.core.saga.decide import advance, overdue
from orchestration.core.saga.outcomes import Lost
from orchestration.core.saga.timing import check_at
from orchestration.core.saga.view import PhaseStatus, SagaView
from orchestration.engine.attempts import Claimed, close_attempt
from orchestration.engine.recording import Recorder

__all__ = ["Looks", "Sweeper"]


class Looks(Protocol):
    """The side tables that say when to look at which saga."""

    def look_at(self, view: SagaView, at: datetime | None) -> None:
        """Have the sweep look at a saga then, if it has not moved on."""

    def forget_lease(self, lease: Lease) -> None:
        """Drop a lease that ran out and whose attempt is closed already."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Moves on what messages have not."""

    recorder: Recorder
    looks: Looks

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

    def look(self, saga_id: str, because: Because, *, is_unsent: bool = False) -> None:
        """Decide anew about a saga that may stand still, and send what is overdue.

        Args:
            saga_id: The saga.
            because: The task that looks.
            is_unsent: Nobody has sent anything of it yet.
        """
        recorder = self.recorder
        while True:
            view = recorder.log.view(saga_id)
            if view.state.is_over:  # its row is a leftover
                recorder.log.heal(saga_id)
                return
            now = recorder.now()
            decision = advance(view, now)
            if not decision.facts:
                recorder.send(decision if is_unsent else overdue(decision, now))
                self.looks.look_at(view, check_at(view, now))
                return
            answer, decision = recorder.record(view, decision, because)
            if answer.is_recorded:
                recorder.send(decision)
                return
