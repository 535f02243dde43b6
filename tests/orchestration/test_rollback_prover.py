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
ENVIRONMENT = {"ORCHESTRATION_LEASE_S": "1"}
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
    return not scenario.is_about_workers


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


def test_an_undo_that_forgets_a_part_is_found(prover: RollbackProver) -> None:
    hat, coat = step("hat", compensation="put_back_half"), step("coat")
    with pytest.raises(RollbackBroken) as broken:
        prover.prove(sale(hat, coat), SOLD, only=is_quick)
    text = str(broken.value)
    assert "coat fails before its effect: COMPENSATED" in text
    assert "hat.receipt is '30', should be nothing" in text


def test_a_saga_whose_workers_die_is_proven(prover: RollbackProver) -> None:
    twice = (
        Fault("coat", FaultKind.KILLED_AFTER, times=1),
        Fault("hat", FaultKind.KILLED_AFTER, Direction.UNDO, times=1),
    )

    def is_chosen(scenario: Scenario) -> bool:
        if scenario.faults == twice:
            return True
        is_single = [fault.times for fault in scenario] == [1]
        return is_single and scenario.is_about_workers

    hat, coat = step("hat"), step("coat", on_unknown="COMPENSATE")
    proof = prover.prove(sale(hat, coat), SOLD, only=is_chosen)
    ends = {one.scenario.faults: str(one.state) for one in proof.tried}
    kinds = FaultKind.KILLED_BEFORE, FaultKind.KILLED_AFTER, FaultKind.STALLS
    for kind in kinds:
        assert ends[(Fault("hat", kind, times=1),)] == "COMPLETED"
        assert ends[(Fault("coat", kind, times=1),)] == "COMPENSATED"
    assert ends[twice] == "COMPENSATED"
    assert len(ends) == 2 * len(kinds) + 1
    assert proof.untold == ()
