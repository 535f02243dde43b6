"""Sagas that are steps of others: begun, cancelled, paused, undone and answered for."""

from __future__ import annotations

from orchestration.core.saga.model import SagaState, SagaStep
from tests.unit.scripted import saga, step
from tests.unit.shop import Shop, fails


def kid(name: str = "kid", *after: str, **options: object) -> SagaStep:
    """Return a step that runs a saga of two steps."""
    child = saga(step("c1"), step("c2", "c1"), **options)
    return SagaStep(name, depends_on=after, saga=child)


def test_undoing_a_step_undoes_the_whole_saga_that_it_ran() -> None:
    shop = Shop()
    shop.does["bad"] = fails
    status = shop.run(saga(kid(), step("bad", "kid")))
    assert status.state is SagaState.COMPENSATED
    assert shop.effects == {}
    assert shop.child("kid").state is SagaState.COMPENSATED
    assert shop.child("kid").compensated_steps == ("c2", "c1")
