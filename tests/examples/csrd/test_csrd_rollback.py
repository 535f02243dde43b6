"""Whatever goes wrong in a step of the report, the files are as the saga says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from examples.csrd import agents
from examples.csrd.transaction import csrd_transaction, report_request
from orchestration.testing import InMemory, RollbackProver, Scenario

HOSTED = (
    agents.collector,
    agents.validator,
    agents.calculator,
    agents.reporter,
    agents.publisher,
)


def is_one_for_good(scenario: Scenario) -> bool:
    return [fault.times for fault in scenario] == [None]


@pytest.mark.slow
def test_the_report_can_be_rolled_back_from_every_step(home: Path) -> None:
    def paths() -> set[str]:
        return {path.relative_to(home).as_posix() for path in home.rglob("*")}

    def reset() -> None:
        shutil.rmtree(home)
        (home / "work").mkdir(parents=True)

    prover = RollbackProver(InMemory(agents=HOSTED), snapshot=paths, reset=reset)
    proof = prover.prove(csrd_transaction(), report_request(), only=is_one_for_good)
    ends = {str(one.scenario): str(one.state) for one in proof.tried}
    assert ends["calculate_metrics is killed after its effect"] == "COMPENSATED"
    assert ends["generate_report is killed after its effect"] == "PAUSED"  # the pivot
    assert ends["publish_report is killed after its effect"] == "PAUSED"
    assert proof.untold == ()
