"""The whole saga on a real worker: to its end, undone, and through a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.csrd.transaction import (
    COMPANY_WITHOUT_FACTOR,
    csrd_transaction,
    report_request,
)
from orchestration.errors import SagaCompensated
from orchestration.saga import SagaState
from tests.support.front import Front, front_door
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration
AGENTS = ("-I", "examples.csrd.agents", "--without-mingle")


@pytest.fixture
def front(stack: Stack, home: Path) -> Iterator[Front]:
    stack.env |= {"CSRD_HOME": str(home), "ORCHESTRATION_LEASE_S": "6"}
    stack.chores("--without-mingle", wait=False)
    stack.beat(wait=False)
    with front_door(stack.env) as front:
        yield front


def test_the_saga_publishes_or_leaves_no_trace(
    stack: Stack, front: Front, home: Path, snapshot: Callable[[Path], object]
) -> None:
    stack.worker(*AGENTS, "-c", "2")
    result = front.execute(csrd_transaction(), **report_request())
    assert result["scope2_location_based_tco2e"] == "27787.615378294"
    assert Path(result["published"]["path"]).name == result["report_id"]
    before = snapshot(home)

    transaction = csrd_transaction()
    with pytest.raises(SagaCompensated, match="LI-VDZ"):
        front.execute(transaction, **report_request(COMPANY_WITHOUT_FACTOR))
    status = front.status(transaction.transaction_id)
    assert status.state is SagaState.COMPENSATED
    assert status.failed_step == "calculate_metrics"
    assert set(status.compensated_steps) == {
        "validate_completeness",
        "collect_esg_data",
    }
    assert snapshot(home) == before


def test_a_worker_killed_while_collecting_delays_the_report_and_no_more(
    stack: Stack, front: Front, home: Path
) -> None:
    worker = stack.worker(*AGENTS, "-c", "1")
    transaction = csrd_transaction(read_delay_ms=100)
    saga_id = front.start(transaction, **report_request())
    half_done = "work/*/.collected.*/electricity/*.csv"
    wait_until(lambda: list(home.glob(half_done)), "a site that is collected")
    worker.kill()
    stack.worker(*AGENTS, "-c", "1")
    assert front.wait(saga_id).state is SagaState.COMPLETED
    reports = [path.name for path in (home / "outbox").iterdir()]
    assert len(reports) == 1
    assert sorted(path.name for path in (home / "work" / saga_id).iterdir()) == [
        "calculations",
        "collected",
        "draft",
        "validation",
    ]
