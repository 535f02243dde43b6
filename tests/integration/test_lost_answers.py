"""The database did what it was asked, and its answer never came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine

from orchestration.adapters.database import Database
from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_records import Because, Start
from orchestration.adapters.schema import migrate_all
from orchestration.contracts import Hint, StepMessage
from orchestration.core.saga import acts
from orchestration.core.saga.acts import Who
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.core.saga.view import SagaView
from orchestration.engine.acting import SagaDesk
from orchestration.engine.attempts import Claimed, close_attempt, open_attempt
from orchestration.settings import Settings
from tasks.celery_app import app
from tasks.runtime import Runtime, _make
from tests.support.front import linear

pytestmark = pytest.mark.integration


class Deaf(Database):
    """Runs the next statement twice, as after a connection lost before its answer."""

    deaf = False

    def rows(
        self, statement: str, parameters: Sequence[Any] = (), **options: Any
    ) -> Sequence[Sequence[Any]]:
        if self.deaf:
            self.deaf = False
            super().rows(statement, parameters, **options)
        return super().rows(statement, parameters, **options)


@pytest.fixture
def rt(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Runtime, Deaf]]:
    migrate_all(database_url)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    made = _make(app)
    db = Deaf(Settings.from_env().database_url)
    made.db.close()
    object.__setattr__(made, "log", SagaLog(db))
    recorder = replace(made.recorder, log=made.log, clock=db.clock)
    object.__setattr__(made, "recorder", recorder)
    yield made, db
    made.close()


def begun(rt: Runtime, count: int = 2, **options: Any) -> str:
    transaction = linear(count, **options)
    saga_id = transaction.transaction_id
    rt.log.begin(Start(transaction=transaction, initial_data={}), Because())
    return saga_id


def message(saga_id: str, step: str) -> StepMessage:
    return StepMessage(
        saga_id=saga_id, step=step, agent_id="a", action="work", timeout_ms=60_000
    )


@pytest.mark.parametrize("hint", [None, Hint(version=1, check_at_ms=None)])
def test_a_claim_told_twice_is_still_the_claimants(
    rt: tuple[Runtime, Deaf], hint: Hint | None
) -> None:
    runtime, db = rt
    saga_id = begun(runtime)
    if hint is not None:
        db.deaf = True
    claimed = open_attempt(
        runtime.recorder, message(saga_id, "s1"), Direction.DO, hint, Because()
    )
    assert isinstance(claimed, Claimed)
    assert claimed.lease.attempt == 1
    other = open_attempt(
        runtime.recorder, message(saga_id, "s1"), Direction.DO, None, Because()
    )
    assert other == "another delivery holds it"
    types = [event.type for event in runtime.log.read(saga_id).events]
    assert types == ["SAGA_STARTED", "STEP_STARTED"]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Succeeded({"x": 1}), "STEP_COMPLETED"),
        (Failed({"type": "ValueError", "message": str(uuid4())}), "STEP_FAILED"),
    ],
    ids=["succeeded", "failed"],
)
def test_an_outcome_told_twice_is_recorded_once_and_what_follows_is_known(
    rt: tuple[Runtime, Deaf], outcome: Succeeded | Failed, told: str
) -> None:
    runtime, db = rt
    saga_id = begun(runtime)
    claimed = open_attempt(
        runtime.recorder, message(saga_id, "s1"), Direction.DO, None, Because()
    )
    assert isinstance(claimed, Claimed)
    db.deaf = True
    decision = close_attempt(runtime.recorder, claimed, outcome, Because())
    assert not decision.is_late
    types = [event.type for event in runtime.log.read(saga_id).events]
    assert types == ["SAGA_STARTED", "STEP_STARTED", told]
    if isinstance(outcome, Succeeded):
        assert decision.lines == (("s2",),)


def test_an_outcome_whose_lease_row_was_lost_counts_all_the_same(
    rt: tuple[Runtime, Deaf],
) -> None:
    runtime, db = rt
    saga_id = begun(runtime)
    claimed = open_attempt(
        runtime.recorder, message(saga_id, "s1"), Direction.DO, None, Because()
    )
    assert isinstance(claimed, Claimed)
    engine = create_engine(db.engine.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM orch.lease")
        connection.exec_driver_sql("DELETE FROM orch.open_saga")
    engine.dispose()
    decision = close_attempt(runtime.recorder, claimed, Succeeded({}), Because())
    assert not decision.is_late
    assert runtime.log.view(saga_id).completed == ("s1",)


def test_an_operators_act_told_twice_is_recorded_once_and_told_as_done(
    rt: tuple[Runtime, Deaf],
) -> None:
    runtime, db = rt
    saga_id = begun(runtime)
    desk = SagaDesk(runtime.recorder, runtime.desk.door)
    for act, state in (
        (acts.pause, "PAUSED"),
        (acts.resume, "RUNNING"),
        (acts.cancel, "COMPENSATED"),
    ):

        def unheard(view: SagaView, now: datetime, act: Any = act) -> Decision:
            db.deaf = True  # from here on: the saga has been read
            return act(view, now, Who("ann"))  # type: ignore[no-any-return]

        assert desk.act(saga_id, unheard, Because()).state == state
    types = [event.type for event in runtime.log.read(saga_id).events]
    assert types == [
        "SAGA_STARTED",
        "SAGA_PAUSED",
        "SAGA_RESUMED",
        "SAGA_CANCEL_REQUESTED",
        "COMPENSATION_STARTED",
        "COMPENSATION_COMPLETED",
    ]
