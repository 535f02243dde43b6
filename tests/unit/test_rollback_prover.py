"""A prover finds what is wrong with a saga, and nothing wrong with one that is right.

The agent sells things. What it does well can be asked for twice and undone, whether it
was done or not; beside that it has actions with one mistake each.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from orchestration.agents import ActionContext, Agent
from orchestration.core.saga.model import (
    CompensationStrategy,
    Direction,
    SagaStep,
    SagaTransaction,
)
from orchestration.errors import ConfigurationError, NonRetryable
from orchestration.testing import (
    Fault,
    FaultKind,
    InMemory,
    Proof,
    RollbackBroken,
    RollbackProver,
    Scenario,
)

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover

seller = Agent("agent-seller")
Data = dict[str, Any]

EMPTY: dict[str, Any] = {"stock": 5, "taken": {}, "paid": {}, "mails": [], "asked": []}
world: dict[str, Any] = {}


def reset() -> None:
    world.clear()
    world.update(copy.deepcopy(EMPTY))


def snapshot() -> dict[str, Any]:
    return {key: value for key, value in world.items() if key != "asked"}


@pytest.fixture(autouse=True)
def empty_world() -> Iterator[None]:
    reset()
    yield
    world.clear()


@pytest.fixture
def prover() -> RollbackProver:
    return RollbackProver(InMemory(agents=[seller]), snapshot=snapshot, reset=reset)


# --- what the agent does well


@seller.action()
def take(data: Data, context: ActionContext) -> Data:
    thing = f"{context.saga_id} {context.step}"
    if thing not in world["taken"]:
        world["stock"] -= 1
    world["taken"][thing] = data.get("color", "red")
    return {"taken": 1}


@seller.action()
def put_back(data: Data, context: ActionContext) -> None:
    if world["taken"].pop(f"{context.saga_id} {context.step}", None):
        world["stock"] += 1


@seller.action()
async def pay(data: Data, context: ActionContext) -> Data:
    world["paid"][context.step] = data.get("euros", 30)
    return {"receipt": context.step}


@seller.action()
async def pay_back(data: Data, context: ActionContext) -> None:
    world["paid"].pop(context.step, None)


@seller.action()
def was_paid(data: Data, context: ActionContext) -> Data:
    return {"happened": context.step in world["paid"], "output": {"receipt": "?"}}


@seller.action()
def mail(data: Data, context: ActionContext) -> None:
    if context.idempotency_key not in world["mails"]:
        world["mails"].append(context.idempotency_key)


@seller.action()
def look(data: Data, context: ActionContext) -> Data:
    return {"color": "blue"}


@seller.action()
def wear(data: Data, context: ActionContext) -> None:
    if not world["taken"]:
        raise NonRetryable("there is no hat")
    world["paid"]["worn"] = True


@seller.action()
def take_off(data: Data, context: ActionContext) -> None:
    world["paid"].pop("worn", None)


# --- and with a mistake


@seller.action()
def put_back_half(data: Data, context: ActionContext) -> None:
    world["taken"].pop(f"{context.saga_id} {context.step}", None)


@seller.action()
def put_back_strictly(data: Data, context: ActionContext) -> None:
    thing = f"{context.saga_id} {context.step}"
    if thing not in world["taken"]:
        raise NonRetryable(f"{context.step} was not taken")
    put_back(data, context)


@seller.action()
def put_back_blindly(data: Data, context: ActionContext) -> None:
    world["taken"].pop(f"{context.saga_id} {context.step}", None)
    world["stock"] += 1


@seller.action()
def put_back_at_first(data: Data, context: ActionContext) -> None:
    if context.step not in world["asked"]:
        world["asked"].append(context.step)
        put_back(data, context)


@seller.action()
def mail_blindly(data: Data, context: ActionContext) -> None:
    world["mails"].append("a mail")


def step(name: str, *after: str, **options: Any) -> SagaStep:
    given = {"action": "take", "compensation": "put_back", "depends_on": after}
    return SagaStep(name, "agent-seller", **(given | options))


def saga(*steps: SagaStep, **options: Any) -> SagaTransaction:
    return SagaTransaction("sale", steps, **options)


def payment(name: str, *after: str, **options: Any) -> SagaStep:
    return step(name, *after, action="pay", compensation="pay_back", **options)


def found_in(broken: pytest.ExceptionInfo[RollbackBroken]) -> str:
    return "\n".join(map(str, broken.value.proof.broken))


def ends(proof: Proof) -> dict[str, str]:
    return {str(one.scenario): str(one.state) for one in proof.tried}


# --- sagas that are right


@pytest.mark.parametrize("strategy", CompensationStrategy)
def test_a_saga_is_proven_in_every_order_of_undoing(
    prover: RollbackProver, strategy: CompensationStrategy
) -> None:
    proof = prover.prove(
        saga(
            step("hat"),
            step("coat", "hat", metadata={"compensate": True}),
            payment("price", "hat"),
            step("mail", "coat", "price", action="mail", compensation=None),
            compensation_strategy=strategy,
        ),
        stays=["mail"],
    )
    assert proof.broken == ()
    assert set(ends(proof).values()) == {
        "COMPLETED",
        "COMPENSATED",
        "COMPENSATION_FAILED",
    }
    assert len(proof.untold) < len(proof.tried) / 10


def test_each_way_to_go_wrong_is_tried_with_each_undo(prover: RollbackProver) -> None:
    proof = prover.prove(saga(step("hat"), step("coat")))
    told = ends(proof)
    assert told["all goes well"] == "COMPLETED"
    for kind in FaultKind:
        assert told[f"coat {kind}, once"] == "COMPLETED"
        if kind is not FaultKind.STALLS:
            assert told[f"coat {kind}"] == "COMPENSATED"
    for kind in (FaultKind.FAILS_BEFORE, FaultKind.FAILS_AFTER):
        both = f"coat is killed after its effect; the undo of hat {kind}"
        assert told[f"{both}, once"] == "COMPENSATED"
        assert told[both] == "COMPENSATION_FAILED"
    assert told["hat fails before its effect"] == "COMPENSATED"
    assert "hat fails before its effect; the undo of hat fails" not in str(proof)


def test_after_its_pivot_a_saga_goes_forward_or_pauses(prover: RollbackProver) -> None:
    proof = prover.prove(
        saga(
            step("hat"),
            SagaStep("pay", "agent-seller", is_pivot=True),
            SagaStep("mail", "agent-seller"),
        )
    )
    told = ends(proof)
    assert told["hat fails after its effect"] == "COMPENSATED"
    assert told["pay fails before its effect"] == "COMPENSATED"
    assert told["pay is killed after its effect, once"] == "PAUSED"
    assert told["mail fails before its effect"] == "PAUSED"
    assert told["mail is killed before its effect, once"] == "COMPLETED"


def test_a_probe_is_asked_and_goes_wrong_too(prover: RollbackProver) -> None:
    proof = prover.prove(saga(step("hat"), payment("price", probe="was_paid")))
    told = ends(proof)
    lost = "price is killed after its effect, once"
    assert told[lost] == "COMPLETED"
    assert told[f"{lost}; the probe of price fails before its effect, once"]
    assert told[f"{lost}; the probe of price fails before its effect"] == "PAUSED"


def test_sagas_within_sagas_and_items_of_lists_go_wrong_too(
    prover: RollbackProver,
) -> None:
    order = saga(step("hat"), payment("price"))
    proof = prover.prove(
        saga(
            step("coat"),
            step("bag", map="bags"),
            SagaStep("order", saga=order),
            step("last"),
        ),
        {"bags": [1, 2]},
        only=lambda scenario: not scenario.is_about_workers,
    )
    told = ends(proof)
    assert told["order/price fails before its effect"] == "COMPENSATED"
    undo = "last fails before its effect; the undo of order/hat fails before its effect"
    assert told[undo] == "COMPENSATION_FAILED"
    assert told["bag fails after its effect"] == "COMPENSATED"


def test_signals_are_sent_and_conditions_hold_or_not(prover: RollbackProver) -> None:
    proof = prover.prove(
        saga(
            step("hat"),
            SagaStep("approval", wait_for="approved"),
            payment("price", when="euros > 10"),
            payment("tip", when="euros > 1000"),
        ),
        signals={"approved": {"euros": 20}},
    )
    assert "price fails" in str(proof)
    assert "tip" not in str(proof)


def test_a_saga_that_halts_says_what_stands(prover: RollbackProver) -> None:
    proof = prover.prove(saga(step("hat"), step("coat"), on_failure="HALT"))
    assert ends(proof)["coat fails before its effect"] == "FAILED"
    assert proof.untold == ()


def test_undos_that_go_on_without_a_failed_one_leave_its_effect_alone(
    prover: RollbackProver,
) -> None:
    steps = [step("hat"), step("coat"), step("bag")]
    proof = prover.prove(saga(*steps, on_compensation_failure="CONTINUE"))
    assert proof.untold == ()


# --- sagas that are wrong


def test_an_undo_that_forgets_a_part_is_found(prover: RollbackProver) -> None:
    sale = saga(step("hat"), step("coat", compensation="put_back_half"), step("bag"))
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale)
    text = found_in(broken)
    assert "bag fails before its effect: COMPENSATED" in text
    assert "the world should be as before" in text
    assert "stock is 4, should be 5" in text
    assert "coat" in text


def test_a_compensation_that_is_missing_is_found(prover: RollbackProver) -> None:
    sale = saga(
        step("hat"), step("price", action="pay", compensation=None), step("coat")
    )
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale)
    assert "coat fails before its effect: COMPENSATED" in found_in(broken)
    assert "but the effect of price stands" in found_in(broken)
    assert "paid.price is 30, should be nothing" in found_in(broken)


def test_an_effect_may_stay_where_that_is_said(prover: RollbackProver) -> None:
    sale = saga(step("hat"), step("price", action="pay", compensation=None))
    proof = prover.prove(sale, stays=["price"])
    assert ends(proof)["price is killed after its effect"] == "COMPENSATED"


def test_an_undo_that_counts_twice_is_found(prover: RollbackProver) -> None:
    sale = saga(step("hat", compensation="put_back_blindly"), step("coat"))
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale)
    text = found_in(broken)
    undo = "coat fails before its effect; the undo of hat fails after its effect, once"
    assert f"{undo}: COMPENSATED" in text
    assert "stock is 6, should be 5" in text


def test_an_action_that_counts_twice_is_found(prover: RollbackProver) -> None:
    sale = saga(step("hat"), step("mail", action="mail_blindly", compensation=None))
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale, stays=["mail"])
    text = found_in(broken)
    assert "mail fails after its effect, once: COMPLETED" in text
    assert "as after a run without faults" in text
    assert "['a mail', 'a mail'], should be ['a mail']" in text


def test_an_undo_that_insists_on_its_effect_is_found(prover: RollbackProver) -> None:
    sale = saga(step("hat"), step("coat", compensation="put_back_strictly"))
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale)
    text = found_in(broken)
    assert "coat is killed before its effect: COMPENSATION_FAILED" in text
    assert "the undo of coat fails, and not on purpose" in text
    assert "NonRetryable: coat was not taken" in text


def test_an_effect_that_lands_after_its_undo_and_stays_is_found(
    prover: RollbackProver,
) -> None:
    sale = saga(
        step("hat"),
        step("coat", compensation="put_back_at_first", on_unknown="COMPENSATE"),
    )
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale)
    text = found_in(broken)
    assert "coat takes effect after it was given up, once: COMPENSATED" in text
    assert "but the effect of coat stands" in text


def test_a_step_that_is_not_read_only_is_found(prover: RollbackProver) -> None:
    sale = saga(
        step("look", action="take", compensation=None, read_only=True), step("hat")
    )
    with pytest.raises(RollbackBroken, match="the effect of look stands"):
        prover.prove(sale)


def test_what_cannot_be_compared_is_not_said_to_be_right(
    prover: RollbackProver,
) -> None:
    worn = step("worn", action="wear", compensation="take_off")
    sale = saga(step("hat"), worn, step("coat"), compensation_strategy="FORWARD")
    proof = prover.prove(sale)
    assert proof.untold
    assert "of worn alone there is no run" in str(proof)
    assert f"{len(proof.untold)} could not be judged" in proof.summary()


def test_a_saga_without_an_end_is_found_and_nothing_tried_beside_it() -> None:
    class Forgetful(InMemory):
        def run(self, *given: Any, **options: Any) -> Any:
            signals = {} if options.get("faults") else options["signals"]
            return super().run(*given, **(options | {"signals": signals}))

    stage = Forgetful(agents=[seller])
    prover = RollbackProver(stage, snapshot=snapshot, reset=reset)
    waits = saga(step("hat"), SagaStep("approval", wait_for="approved"))
    proof = prover.examine(waits, signals={"approved": {}})
    assert [len(one.faults) for one in proof.tried] == [0, 1]
    assert "it has not ended: it is WAITING, for signal approved" in str(proof)


# --- what cannot be judged at all


def test_a_saga_that_does_not_complete_proves_nothing(prover: RollbackProver) -> None:
    with pytest.raises(ConfigurationError, match="WAITING even if nothing goes wrong"):
        prover.prove(saga(step("hat"), SagaStep("approval", wait_for="approved")))


def test_a_snapshot_that_shows_nothing_proves_nothing() -> None:
    blind = RollbackProver(InMemory(agents=[seller]), snapshot=dict, reset=reset)
    with pytest.raises(ConfigurationError, match="let snapshot"):
        blind.prove(saga(step("hat")))


def test_a_reset_that_leaves_something_proves_nothing() -> None:
    lazy = RollbackProver(
        InMemory(agents=[seller]), snapshot=snapshot, reset=world["taken"].clear
    )
    with pytest.raises(ConfigurationError, match="put the world back: stock is 4"):
        lazy.prove(saga(step("hat")))


def test_a_snapshot_that_varies_proves_nothing() -> None:
    runs = []

    def varied() -> dict[str, Any]:
        if world["taken"]:
            runs.append(None)
        return {**snapshot(), "at": len(runs)} if world["taken"] else snapshot()

    fickle = RollbackProver(InMemory(agents=[seller]), snapshot=varied, reset=reset)
    with pytest.raises(ConfigurationError, match=r"what varies.*at is 2, should be 1"):
        fickle.prove(saga(step("hat")))


def test_nothing_tried_is_nothing_proven(prover: RollbackProver) -> None:
    with pytest.raises(RollbackBroken, match="nothing was tried"):
        prover.prove(saga(step("hat")), only=lambda _: False)


def test_workers_that_let_no_faults_happen_prove_nothing() -> None:
    class Deaf(InMemory):
        def run(self, *given: Any, **options: Any) -> Any:
            return super().run(*given, **(options | {"faults": ()}))

    stage = Deaf(agents=[seller])
    with pytest.raises(ConfigurationError, match=r"the module orchestration\.testing"):
        RollbackProver(stage, snapshot=snapshot, reset=reset).prove(saga(step("hat")))


def test_scenarios_are_words_and_can_be_chosen_by_their_faults() -> None:
    fault = Fault("hat", FaultKind.FAILS_AFTER, Direction.UNDO, times=1)
    scenario = Scenario((Fault("coat", FaultKind.KILLED_BEFORE), fault))
    assert str(scenario) == (
        "coat is killed before its effect; the undo of hat fails after its effect, once"
    )
    assert scenario.is_about_workers
    assert [one.step for one in scenario] == ["coat", "hat"]
