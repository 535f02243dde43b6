"""Sagas that are steps of other sagas: what is asked of them, and what they answer.

A swarm that is a step is asked for the same, but that nothing of it can be undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestration.core.saga.data import saga_result, step_input
from orchestration.core.saga.locks import lock_names
from orchestration.core.saga.model import Direction, SagaState, SagaTransaction
from orchestration.core.saga.outcomes import Failed, Lost, Outcome, Succeeded
from orchestration.core.saga.view import PhaseStatus, SagaView
from orchestration.errors import InvalidSaga

__all__ = ["Errand", "Order", "answer_of", "child_start", "failed_child", "orders"]


class Order(StrEnum):
    """What a saga asks of a child; each may be asked any number of times."""

    START = "start"
    CANCEL = "cancel"
    PAUSE = "pause"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Errand:
    """An order to the child of one step: a saga, or a swarm.

    Attributes:
        again: Of an order to undo that is given once more: what tells it from those
            before, so that undos which failed are tried again once for each.
    """

    step: str
    direction: Direction
    child_id: str
    order: Order
    again: str = ""
    is_swarm: bool = False


def orders(view: SagaView) -> tuple[Errand, ...]:
    """Return what the saga, as it stands, has to ask of its children."""
    out = []
    for direction in (Direction.DO, Direction.UNDO):
        for name, phase in view.side(direction).items():
            awaits = phase.awaits
            child = awaits.get("saga") or awaits.get("swarm")
            if phase.status is not PhaseStatus.AWAITING or child is None:
                continue
            if view.is_on_hold:
                order = Order.PAUSE
            elif direction is Direction.UNDO:
                order = Order.UNDO
            elif view.cause is not None:
                order = Order.CANCEL
            else:
                order = Order.START
            is_again = order is Order.UNDO and phase.attempt > 1
            again = f"{view.saga_id}:{name}:{phase.attempt}" if is_again else ""
            is_swarm = "swarm" in awaits
            out.append(Errand(name, direction, child, order, again, is_swarm))
    return tuple(out)


def child_start(
    view: SagaView, step: str, child_id: str, *, above: Iterable[SagaView] = ()
) -> tuple[SagaTransaction, dict[str, Any], datetime | None]:
    """Return the child's definition, its initial data, and by when it has to end.

    Args:
        view: The parent.
        step: Its step that runs the child.
        child_id: The child's id.
        above: The sagas that the parent runs in.

    Raises:
        InvalidSaga: It wants a lock that one of them holds, and would wait for ever.
        DataConflict: Its data cannot be told.
    """
    phase = view.do_of(step)
    definition = view.plan.by_name[step].saga
    if isinstance(definition, SagaTransaction) or definition is None:
        raise TypeError(f"step {step!r} runs no saga")
    transaction = SagaTransaction.from_json(definition, transaction_id=child_id)
    data = step_input(view, step, Direction.DO)
    wanted = _locks(transaction, data)
    faults = [
        f"it wants the locks {', '.join(held)}, which saga {one.saga_id} holds, in "
        "which it runs: name them in one of the two"
        for one in ((view, *above) if wanted else ())
        if (held := sorted(wanted & {*one.lock_names}))
    ]
    if faults:
        raise InvalidSaga(transaction.name, faults)
    return transaction, data, phase.until


def _locks(transaction: SagaTransaction, data: Mapping[str, Any]) -> set[str]:
    try:
        return {*lock_names(transaction.locks, data)}
    except ValueError:  # told where it is begun
        return set()


def answer_of(child: SagaView, direction: Direction) -> Outcome | None:
    """Return what a child's state means for its step; None: it is still at it."""
    if direction is Direction.UNDO:
        return _undone(child)
    match child.state:
        case SagaState.COMPLETED:
            return Succeeded(saga_result(child))
        case SagaState.COMPENSATED:
            return Failed(_error_of(child), retryable=False)
        case SagaState.COMPENSATION_FAILED:
            # What it did is there in part: the step's undo will tell.
            return Lost(_error_of(child))
        case _:
            return None


def _undone(child: SagaView) -> Outcome | None:
    match child.state:
        case SagaState.COMPENSATED:
            return Succeeded({})
        case SagaState.COMPENSATION_FAILED:
            return Failed(_error_of(child), retryable=False)
        case SagaState.COMPLETED if child.pivot_committed:
            error = {
                "type": "PivotCommitted",
                "message": f"saga {child.saga_id} is past its point of no return",
            }
            return Failed(error, retryable=False)
        case _:
            return None


def failed_child(view: SagaView, step: str) -> str | None:
    """Return the id of the saga whose undoing failed, if a step runs one."""
    phase = view.undo_of(step)
    return phase.awaits.get("saga") if phase.status is PhaseStatus.FAILED else None


def _error_of(child: SagaView) -> dict[str, Any]:
    cause = child.cause or {}
    error = cause.get("error") or {}
    why = error.get("message") or cause.get("reason", "")
    return {
        "type": error.get("type", "ChildSaga"),
        "message": f"saga {child.saga_id} is {child.state}: {why}",
    }
