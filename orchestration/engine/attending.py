"""What a saga needs that no agent does: locks, a choice of agents, its children."""

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
from orchestration.core.saga.forward import routed
from orchestration.core.saga.model import Direction, SagaState
from orchestration.core.saga.outcomes import Failed, Outcome
from orchestration.core.saga.timing import needs_locks, unrouted, whole_ms
from orchestration.core.saga.view import Parent, SagaView
from orchestration.engine.acting import SagaDesk
from orchestration.engine.ports import Chooser, Swarms
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
    """Looks after sagas that wait for locks, for an agent, or for others.

    Everything here may be done any number of times, by anybody, at the same time.

    Attributes:
        chooser: Who chooses agents by capability; None: such steps wait.
        swarms: Who runs swarms; None: a step that runs one fails.
    """

    desk: SagaDesk
    chooser: Chooser | None = None
    swarms: Swarms | None = None

    def attend(self, saga_id: str, because: Because) -> None:
        """Do what the saga needs now; if that moves it on, send what follows."""
        recorder = self.desk.recorder
        view = recorder.log.view(saga_id)
        if needs_locks(view):
            while needs_locks(view) and not self._take_locks(view, because):
                view = recorder.log.view(saga_id)
            return
        for name in unrouted(view, again=True):
            self._choose(view, name, because)
        for errand in orders(view):
            outcome = self._outcome(view, errand, because)
            if outcome is not None:
                self._settle(saga_id, errand, outcome, because)

    def _outcome(
        self, view: SagaView, errand: Errand, because: Because
    ) -> Outcome | None:
        """Carry out one order; return what became of the step by that, if anything."""
        if errand.is_swarm:
            if self.swarms is None:
                error = {"type": "NoSwarms", "message": "nobody here runs swarms"}
                return Failed(error, retryable=False)
            return self.swarms.attend(view, errand, because)
        child = self._run(view, errand, because)
        return (
            child if isinstance(child, Failed) else answer_of(child, errand.direction)
        )

    def _choose(self, view: SagaView, name: str, because: Because) -> None:
        """Choose who makes a step's next attempt, if somebody is there for it.

        Whoever was chosen and has not begun is left to it, unless gone.
        """
        step, chooser = view.plan.by_name[name], self.chooser
        phase = view.do_of(name)
        if chooser is None or step.capability is None:
            return
        is_chosen = not view.lacks_agent(name)
        if is_chosen and (view.keeps_agent(name) or chooser.is_live(phase.agent_id)):
            return
        target = step.target(Direction.DO) or ""
        agent = chooser.choose(step.capability, target, other_than=phase.agent_id)
        if agent is None:
            what = f"an agent with capability {step.capability} and action {target}"
            self.desk.recorder.log.note_waiting(view.saga_id, what)
            return

        def tell(seen: SagaView, now: datetime) -> Decision:
            known = seen.do_of(name)
            if name not in unrouted(seen, again=True) or known != phase:
                return Decision(view=seen)
            why = {"capability": step.capability}
            fact = routed(
                name,
                attempt=known.attempt + 1,
                round_=known.round,
                agent_id=agent,
                why=why,
            )
            following = advance(record(seen, fact, now), now, before=seen)
            return evolve(following, facts=(fact, *following.facts))

        self.desk.act(view.saga_id, tell, because)

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
            if not phase.is_open or errand.child_id not in phase.awaits.values():
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
