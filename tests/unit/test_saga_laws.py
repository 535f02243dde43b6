"""Laws that hold for every saga, whatever fails, is lost, repeated or late."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestration.core.saga.checks import definition_faults
from orchestration.core.saga.model import SagaState, SagaStep, SagaTransaction
from orchestration.testing import Mishaps
from tests.unit.drawn_world import SEEDS, Drawn, DrawnWorld, drawn_worlds
from tests.unit.laws import check_all
from tests.unit.ledger import DO, Trouble
from tests.unit.profiles import examples
from tests.unit.sagas import transactions

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover

ALL_WELL = st.just(Mishaps())


@given(transactions(plain=False))
def test_what_is_drawn_has_no_faults(transaction: SagaTransaction) -> None:
    assert definition_faults(transaction) == ()


@examples(400)
@given(drawn_worlds())
def test_every_saga_ends_and_keeps_the_laws(drawn: Drawn) -> None:
    check_all(DrawnWorld(drawn).run())


@examples(150)
@given(drawn_worlds(acts=8))
def test_sagas_that_people_act_upon_keep_the_laws(drawn: Drawn) -> None:
    check_all(DrawnWorld(drawn).run())


@examples(150)
@given(drawn_worlds(mishaps=ALL_WELL))
def test_without_mishaps_each_attempt_is_sent_once(drawn: Drawn) -> None:
    """Also with steps that fail, are slow or lose their answers."""
    # The broker gives the message of a killed worker to another.
    assume(not any(trouble.kills for trouble, _ in drawn.troubles.values()))
    world = DrawnWorld(drawn).run()
    sent = Counter(
        message.label for message in world.machine.queue.sent if message.step
    )
    assert max(sent.values(), default=1) == 1


@examples(100)
@given(transactions(), SEEDS)
def test_without_troubles_every_saga_completes_and_no_message_is_in_vain(
    transaction: SagaTransaction, seed: int
) -> None:
    world = DrawnWorld(Drawn(sagas=((transaction, {}),), seed=seed))
    world.start()
    world.machine.run_until_idle()
    view = world.view("saga-0")
    is_late = view.cause is not None and view.cause["reason"] == "timeout"
    assert view.state is SagaState.COMPLETED or is_late
    assert is_late or not world.machine.workers.refused
    assert not world.machine.queue.messages


def test_the_same_world_runs_the_same_way_each_time() -> None:
    steps = [SagaStep(name, "agent", compensation="undo") for name in "abc"]
    drawn = Drawn(
        sagas=((SagaTransaction("t", steps), {}),) * 2,
        troubles={("c", DO): (Trouble.LOST_AFTER, 9)},
        mishaps=Mishaps(lose=0.3, repeat=0.3, delay=0.3, die=0.2, freeze=0.2),
        seed=7,
    )
    one, other = DrawnWorld(drawn).run(), DrawnWorld(drawn).run()
    told = [[(e.type, e.recorded_at) for e in w.events("saga-1")] for w in (one, other)]
    assert told[0] == told[1]


def test_a_world_sees_a_saga_that_nobody_looks_at() -> None:
    """Without the sweep a lost message is the end: the world has eyes for that."""
    transaction = SagaTransaction("t", [SagaStep("a", "agent")])
    world = DrawnWorld(Drawn(sagas=((transaction, {}),), mishaps=Mishaps(lose=1.0)))
    world.start()
    world.machine.log.tables.change("saga-0", check_at=None)
    with pytest.raises(RuntimeError, match="nobody looks at it any more"):
        world.machine.run_until_idle()
