"""Whether a saga moves by itself, or waits for somebody outside."""

from __future__ import annotations

from datetime import datetime

from orchestration.core.saga.children import Errand, Order, answer_of, orders
from orchestration.core.saga.decide import advance
from orchestration.core.saga.fold import fold
from orchestration.core.saga.model import Direction, SagaState
from orchestration.core.saga.timing import wake_at
from orchestration.core.saga.view import PhaseStatus, SagaView
from orchestration.testing.log import MemoryLog

__all__ = ["looks_at", "moves_by_itself"]


def moves_by_itself(log: MemoryLog, view: SagaView, now: datetime) -> bool:
    """Whether anything happens to a saga but that the time is over that it has.

    One that waits for a signal, for a lock that is not free, or for a saga that does
    the like, stands still until somebody acts.
    """
    if any(_is_news(log, errand) for errand in orders(view)):
        return True
    if view.state.is_final:
        return False
    if view.lacks_locks and view.cause is None:
        return _may_lock(log, view)
    decision = advance(view, now)
    if decision.facts or decision.lines or decision.probes:
        return True
    return any(
        phase.status is PhaseStatus.WAITING
        for direction in _at_work(view)
        for phase in view.side(direction).values()
    )


def looks_at(
    log: MemoryLog, view: SagaView, check_at: datetime | None, now: datetime
) -> datetime | None:
    """Return when the sweep's look at a saga will change something."""
    if moves_by_itself(log, view, now):
        return check_at
    ends_at = wake_at(view, now)
    if ends_at is None or check_at is None:
        return ends_at
    return max(ends_at, check_at)


def _at_work(view: SagaView) -> tuple[Direction, ...]:
    if view.state is SagaState.COMPENSATING:
        return (Direction.UNDO,)
    if view.cause is not None:
        return (Direction.PROBE,)
    return Direction.DO, Direction.PROBE


def _is_news(log: MemoryLog, errand: Errand) -> bool:
    """Whether an order is still to be carried out, or answered."""
    child = fold(errand.child_id, log.read(errand.child_id).events)
    if child is None or answer_of(child, errand.direction) is not None:
        return True
    match errand.order:
        case Order.START:
            return child.is_on_hold
        case Order.PAUSE:
            return not child.state.is_final
        case Order.CANCEL:
            return not (child.is_cancelled or child.pivot_committed)
        case Order.UNDO:
            return child.state is SagaState.COMPLETED


def _may_lock(log: MemoryLog, view: SagaView) -> bool:
    """Whether the saga would get its locks if it asked now."""
    with log.transaction() as connection:
        fences = log.take_locks(view.saga_id, view.lock_names, connection)
        connection.rollback()
    return fences is not None
