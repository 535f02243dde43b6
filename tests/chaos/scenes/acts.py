"""Scenes of signals, operators, child sagas and locks."""

from __future__ import annotations

from uuid import uuid4

from orchestration.adapters.saga_records import Because
from orchestration.core.saga.outcomes import Succeeded
from orchestration.saga import SagaStep, SagaTransaction
from tests.chaos.scenes.common import (
    FOR_GOOD,
    WHO,
    announce,
    sagas_of,
)
from tests.support.front import linear, step
from tests.support.worker_side import WorkerSide


def signal_twice(side: WorkerSide) -> bool:
    """Two steps wait for a signal of one name; one signal comes, twice."""
    first = SagaStep("a", wait_for="go")
    second = SagaStep("b", wait_for="go", depends_on=["a"])
    saga_id = side.begin(SagaTransaction("two", [first, second]))
    for _ in range(2):
        side.rt.desk.signal(saga_id, WHO, name="go", data={}, signal_id="one")
    return "b" in side.rt.log.view(saga_id).completed


def cancel_twice(side: WorkerSide) -> bool:
    saga_id = side.begin()
    side.open(saga_id, "s1")
    for _ in range(2):
        side.rt.desk.cancel(saga_id, WHO)
    return side.types(saga_id).count("SAGA_CANCEL_REQUESTED") > 1


def undone_with_its_parent(side: WorkerSide) -> bool:
    """The parent asks for its child to do it, and again to undo it."""
    before = sagas_of(side)
    parent, _ = _with_child_done(side)
    side.rt.attendant.attend(parent, Because())
    side.close(side.open(parent, "last"), FOR_GOOD)
    side.rt.attendant.attend(parent, Because())
    return sagas_of(side) - before > 2


def _with_child_done(side: WorkerSide) -> tuple[str, str]:
    announce(side)
    child = SagaStep("child", saga=linear(1))
    parent = side.begin(SagaTransaction("parent", [child, step("last", "child")]))
    side.rt.sweeper.look(parent, Because())
    side.rt.attendant.attend(parent, Because())
    child_id = side.rt.log.view(parent).do_of("child").awaits["saga"]
    side.close(side.open(child_id, "s1"), Succeeded({}))
    return parent, child_id


def child_tells_twice(side: WorkerSide) -> bool:
    """Two who attend see the child's end, and both tell the parent."""
    from orchestration.core.saga.children import orders

    parent, _ = _with_child_done(side)
    [errand] = orders(side.rt.log.view(parent))
    for _ in range(2):
        side.rt.attendant._settle(parent, errand, Succeeded({}), Because())
    return "STEP_LATE_RESULT" in side.types(parent)


def two_who_want_a_lock(side: WorkerSide) -> bool:
    name = str(uuid4())
    fences = []
    for saga_id in (side.begin(locks=[name]), side.begin(locks=[name])):
        with side.rt.log.transaction() as connection:
            fences.append(side.rt.log.take_locks(saga_id, [name], connection))
    return None not in fences
