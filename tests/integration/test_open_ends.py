"""What the doctor says of dead letters, notices and schedules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestration.adapters.schedules import SagaSchedule, Schedules
from orchestration.cli.checkup import Finding, Verdict
from orchestration.cli.open_ends import open_ends
from orchestration.cli.session import session
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed, Succeeded
from tests.support.front import linear
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FOR_GOOD = Failed({"type": "X", "message": "x"}, retryable=False)


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    monkeypatch.setenv("ORCHESTRATION_FAILURE_TASK", "tests.told")
    monkeypatch.setenv("ORCHESTRATION_LETTER_MAX_TRIES", "1")
    with worker_side(database_url, redis_url, monkeypatch) as side:
        yield side


def found(side: WorkerSide) -> dict[str, Finding]:
    with session(side.rt.settings) as opened:
        return {one.subject: one for one in open_ends(opened)}


def stuck(side: WorkerSide) -> str:
    saga_id = side.begin()
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    side.close(side.open(saga_id, "s2"), FOR_GOOD)
    side.close(side.open(saga_id, "s1", Direction.UNDO), FOR_GOOD)
    return saga_id


def test_nothing_is_found_where_nothing_is_open(side: WorkerSide) -> None:
    side.begin()
    assert {one.verdict for one in found(side).values()} == {Verdict.FINE}


def test_an_undo_is_told_of_once_it_is_tried_no_more(side: WorkerSide) -> None:
    saga_id = stuck(side)
    assert found(side)["dead letters"].verdict is Verdict.FINE
    side.run("UPDATE orch.dead_letter SET next_try_at = NULL")
    letters = found(side)["dead letters"]
    assert letters.verdict is Verdict.DOUBTFUL
    assert letters.says.startswith("1 undos failed for good")
    assert saga_id in letters.way_out


def test_an_undo_that_is_being_tried_waits_for_nobody(side: WorkerSide) -> None:
    saga_id = stuck(side)
    side.run("UPDATE orch.dead_letter SET next_try_at = NULL")
    side.run("UPDATE orch.open_saga SET state = 'COMPENSATING'")
    assert found(side)["dead letters"].verdict is Verdict.FINE
    assert side.rt.index.letters(saga_id)


def test_words_that_do_not_get_through_are_wrong(side: WorkerSide) -> None:
    stuck(side)
    assert found(side)["notices"].verdict is Verdict.FINE
    side.run("UPDATE orch.notice SET tries = 2")
    notices = found(side)["notices"]
    assert notices.verdict is Verdict.WRONG
    assert notices.says.startswith("1 were not taken yet, the first at ")
    side.run("UPDATE orch.notice SET tries = 0, recorded_at = now() - interval '1 h'")
    assert found(side)["notices"].verdict is Verdict.WRONG


def test_a_schedule_whose_start_was_refused_is_named(side: WorkerSide) -> None:
    table = Schedules(side.rt.db)
    schedule = SagaSchedule(
        name="nightly",
        definition=linear(1).to_json(),
        initial_data={},
        every_s=60.0,
        cron=None,
        next_at=table.now(),
    )
    table.save(schedule, None)
    assert found(side)["schedules"].verdict is Verdict.FINE
    table.move(schedule, table.now(), error="no worker hosts it")
    refused = found(side)["schedules"]
    assert refused.verdict is Verdict.DOUBTFUL
    assert (
        refused.says == "nightly started nothing at its last slot: no worker hosts it"
    )
