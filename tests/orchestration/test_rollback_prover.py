"""The prover on real workers, whose children it kills and freezes."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.core.saga.model import Direction
from orchestration.saga import SagaStep, SagaTransaction
from orchestration.testing import (
    Fault,
    FaultKind,
    OnWorkers,
    RollbackBroken,
    RollbackProver,
    Scenario,
)
from tests.support.front import Front

pytestmark = pytest.mark.integration

MODULES = "tests.support.market_agents,orchestration.testing.worker"
# Nobody but who is killed or frozen is taken for lost, on a busy host too.
ENVIRONMENT = {"ORCHESTRATION_LEASE_S": "5"}
SOLD = {"euros": 30}


@pytest.fixture
def prover(front: Front, folder: Path) -> RollbackProver:
    """A prover whose world is the market's files."""

    def files() -> list[Path]:
        return [file for file in sorted(folder.iterdir()) if file.suffix]

    def snapshot() -> dict[str, str]:
        return {file.name: file.read_text() for file in files()}

    def reset() -> None:
        for file in files():
            file.unlink()

    return RollbackProver(OnWorkers(front.client), snapshot=snapshot, reset=reset)


def step(name: str, **options: object) -> SagaStep:
    given = {
        "action": "deliver",
        "compensation": "put_back",
    }
    return SagaStep(name, "agent-market", **(given | options))  # type: ignore[arg-type]


def sale(*steps: SagaStep) -> SagaTransaction:
    return SagaTransaction("sale", steps)


def is_quick(scenario: Scenario) -> bool:
    undos = scenario.faults[1:]
    return not scenario.is_about_workers and all(one.times is None for one in undos)


def is_single(scenario: Scenario) -> bool:
    return is_quick(scenario) and len(scenario.faults) == 1


def test_a_saga_whose_steps_fail_is_proven(prover: RollbackProver) -> None:
    label = step(
        "label", action="celery:market.label", compensation="celery:market.unlabel"
    )
    proof = prover.prove(sale(label, step("coat")), SOLD, only=is_quick)
    ends = {str(one.scenario): str(one.state) for one in proof.tried}
    assert ends["coat fails after its effect, once"] == "COMPLETED"
    assert ends["coat fails before its effect"] == "COMPENSATED"
    undo = "coat fails after its effect; the undo of label fails before its effect"
    assert ends[undo] == "COMPENSATION_FAILED"
    assert proof.untold == ()
    assert prover.stage.client.dead_letters() == ()


def test_a_saga_within_a_saga_is_proven(prover: RollbackProver) -> None:
    def is_chosen(scenario: Scenario) -> bool:
        steps = [(one.step, one.kind, one.times) for one in scenario]
        return steps in (
            [("inner/coat", FaultKind.FAILS_AFTER, None)],
            [("bag", FaultKind.FAILS_BEFORE, None)],
            [
                ("bag", FaultKind.FAILS_BEFORE, None),
                ("inner/hat", FaultKind.FAILS_BEFORE, None),
            ],
        )

    inner = SagaStep("inner", saga=sale(step("hat"), step("coat")))
    proof = prover.prove(sale(inner, step("bag")), SOLD, only=is_chosen)
    ends = {str(one.scenario): str(one.state) for one in proof.tried}
    assert ends["inner/coat fails after its effect"] == "COMPENSATED"
    undo = "the undo of inner/hat fails before its effect"
    assert ends[f"bag fails before its effect; {undo}"] == "COMPENSATION_FAILED"
    assert prover.stage.client.dead_letters() == ()


def test_an_undo_that_forgets_a_part_is_found(prover: RollbackProver) -> None:
    hat, coat = step("hat", compensation="put_back_half"), step("coat")
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale(hat, coat), SOLD, only=is_single)
    text = str(broken.value)
    assert "coat fails before its effect: COMPENSATED" in text
    assert "hat.receipt is '30', should be nothing" in text


@pytest.mark.slow
def test_a_saga_whose_workers_die_is_proven(prover: RollbackProver) -> None:
    before, after = FaultKind.KILLED_BEFORE, FaultKind.KILLED_AFTER
    twice = (
        Fault("coat", after, times=1),
        Fault("hat", after, Direction.UNDO, times=1),
    )
    chosen = {
        (Fault("hat", before, times=1),): "COMPLETED",
        (Fault("hat", after, times=1),): "COMPLETED",
        (Fault("coat", before, times=1),): "COMPENSATED",
        (Fault("coat", after, times=1),): "COMPENSATED",
        (Fault("coat", FaultKind.STALLS, times=1),): "COMPENSATED",
        twice: "COMPENSATED",
    }

    def is_chosen(scenario: Scenario) -> bool:
        return scenario.faults in chosen

    hat, coat = step("hat"), step("coat", on_unknown="COMPENSATE")
    proof = prover.prove(sale(hat, coat), SOLD, only=is_chosen)
    assert {one.scenario.faults: str(one.state) for one in proof.tried} == chosen
    assert proof.untold == ()
