"""What a saga needs that no agent does: its locks, its children, its parent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from orchestration.adapters.saga_records import Because, Start
from orchestration.core.saga.acts import Who
from orchestration.core.saga.children import (
    Errand,
    Order,
    answer_of,
    child_start,
    orders,
)
from orchestration.core.saga.decide import Decision, advance, record, settle
from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.fold import fold
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.outcomes import Failed, Outcome
from orchestration.core.saga.timing import needs_locks, whole_ms
from orchestration.core.saga.view import Parent, SagaView
from orchestration.engine.acting import SagaDesk
from orchestration.errors import (
    DataConflict,
    InvalidSaga,
    PayloadTooLarge,
    SagaActRefused,
    SagaConflict,
)

__all__ = ["Attendant"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attendant:
    """Looks after sagas that wait for locks or for other sagas.

    Everything here may be done any number of times, by anybody, at the same time.
    """

    desk: SagaDesk

    def attend(self, saga_id: str, because: Because) -> None:
        """Do what the saga needs now; if that moves it on, send what follows."""
        recorder = self.desk.recorder
        view = recorder.log.view(saga_id)
        if needs_locks(view):
            while needs_locks(view) and not self._take_locks(view, because):
                view = recorder.log.view(saga_id)
            return
        for errand in orders(view):
            child = self._run(view, errand, because)
            outcome = (
                child
                if isinstance(child, Failed)
                else answer_of(child, errand.direction)
            )
            if outcome is not None:
                self._settle(saga_id, errand, outcome, because)

    def _take_locks(self, view: SagaView, because: Because) -> bool:
        """Take a saga's locks or wait in line; False if it has moved meanwhile."""
        recorder, saga_id = self.desk.recorder, view.saga_id
        with recorder.log.transaction() as connection:
            fences = recorder.log.take_locks(saga_id, view.lock_names, connection)
            if fences is None:
                return True  # whoever holds one wakes the saga
            fact = NewFact(EventType.LOCKS_ACQUIRED, {"locks": fences})
            now = recorder.now()
            following = advance(record(view, fact, now), now)
            decision = evolve(following, facts=(fact, *following.facts))
            answer, decision = recorder.record(
                view, decision, because, connection=connection
            )
            if not answer.is_recorded:
                connection.rollback()
                return False
        recorder.announce(decision)
        recorder.send(decision)
        return True

    def _run(
        self, view: SagaView, errand: Errand, because: Because
    ) -> SagaView | Failed:
        """Carry out one order; return the child, or why there can be none."""
        log = self.desk.recorder.log
        child = fold(errand.child_id, log.read(errand.child_id).events)
        if child is None:
            # Also of a saga that gave up: begun and cancelled, its child cannot be
            # begun by somebody who has not heard of it yet.
            if problem := self._begin(view, errand, because):
                return problem
            child = log.view(errand.child_id)
        who = Who(by=f"saga {view.saga_id}", why=f"step {errand.step}")
        try:
            if _is_to_resume(child, errand.order, who):
                return self.desk.resume(child.saga_id, who)
            match errand.order:
                case Order.START:
                    return child
                case Order.PAUSE if not child.state.is_final:
                    return self.desk.pause(child.saga_id, who)
                case Order.PAUSE:
                    return child
                case Order.CANCEL if not child.state.is_over:
                    return self.desk.cancel(child.saga_id, who)
                case Order.CANCEL:
                    return child
                case Order.UNDO:
                    return self.desk.undo(child.saga_id, who, again=errand.again)
        except SagaActRefused as exc:
            # It stands where the order does not fit: its own state is the answer.
            logger.info("%s", exc)
        return log.view(errand.child_id)

    def _above(self, view: SagaView) -> Iterator[SagaView]:
        """Yield the sagas that a saga runs in, the nearest first."""
        while view.parent is not None:
            view = self.desk.recorder.log.view(view.parent.saga_id)
            yield view

    def _begin(self, view: SagaView, errand: Errand, because: Because) -> Failed | None:
        """Begin a child; return why it cannot be begun, if so."""
        try:
            transaction, data, until = child_start(
                view, errand.step, errand.child_id, above=self._above(view)
            )
            start = Start(
                transaction=transaction,
                initial_data=data,
                parent=Parent(view.saga_id, errand.step),
                ends_by_ms=whole_ms(until) if until else None,
            )
            self.desk.door.begin(start, because)
        except SagaConflict:
            return None  # begun by another, who saw the data or the clock otherwise
        except (InvalidSaga, PayloadTooLarge, DataConflict) as exc:
            error = {"type": type(exc).__name__, "message": str(exc)}
            return Failed(error, retryable=False)
        return None

    def _settle(
        self, saga_id: str, errand: Errand, outcome: Outcome, because: Because
    ) -> None:
        """Tell the parent how its step ended, if it still waits for that."""

        def tell(view: SagaView, now: datetime) -> Decision:
            phase = view.phase(errand.step, errand.direction)
            if not phase.is_open or phase.awaits.get("saga") != errand.child_id:
                return Decision(view=view)
            return settle(
                view,
                errand.step,
                errand.direction,
                attempt=phase.attempt,
                token=phase.token,
                outcome=outcome,
                now=now,
            )

        self.desk.act(saga_id, tell, because)


def _is_to_resume(child: SagaView, order: Order, who: Who) -> bool:
    """Whether a child stands still only since its parent did.

    One that somebody else paused is left to them. A cancel ends a pause by itself, but
    for a child that is being undone already.
    """
    if not child.is_on_hold or child.paused_by != who.by:
        return False
    match order:
        case Order.START | Order.UNDO:
            return True
        case Order.CANCEL:
            return child.resumes_to is SagaState.COMPENSATING
        case Order.PAUSE:
            return False
