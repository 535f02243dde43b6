"""The worker's side of sagas in this process: its log, and what it would send."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, create_engine

from orchestration.adapters.saga_records import Because, Start
from orchestration.adapters.schema import migrate_all
from orchestration.contracts import Hint, StepMessage
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.model import Direction, SagaTransaction
from orchestration.core.saga.outcomes import Outcome
from orchestration.engine.acting import SagaDesk
from orchestration.engine.attempts import Claimed, close_attempt, open_attempt
from tasks.celery_app import app
from tasks.runtime import Runtime, _make
from tests.support.front import linear


class Sent:
    """Stands in for the sender: keeps the decisions that would have been sent."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.attended: list[str] = []

    def send(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def attend(self, saga_ids: Iterable[str]) -> None:
        self.attended += saga_ids

    @property
    def steps(self) -> list[str]:
        """First step of every line sent."""
        return [line[0] for one in self.decisions for line in one.lines]


class WorkerSide:
    """One worker process' tools, on a database of the test's own."""

    def __init__(self, rt: Runtime, sent: Sent, database_url: str) -> None:
        self.rt = rt
        self.sent = sent
        self.database_url = database_url

    def begin(self, transaction: SagaTransaction | None = None, **options: Any) -> str:
        """Record a saga's start, by default of a linear one; send nothing."""
        transaction = transaction or linear(options.pop("count", 2), **options)
        saga_id = transaction.transaction_id
        self.rt.log.begin(Start(transaction=transaction, initial_data={}), Because())
        return saga_id

    def message(self, saga_id: str, step: str) -> StepMessage:
        return StepMessage(
            saga_id=saga_id,
            step=step,
            agent_id="agent-effects",
            action="work",
            timeout_ms=60_000,
        )

    def open(
        self,
        saga_id: str,
        step: str,
        direction: Direction = Direction.DO,
        hint: Hint | None = None,
    ) -> Claimed:
        """Claim a step; it must be free."""
        message = self.message(saga_id, step)
        claimed = open_attempt(self.rt.recorder, message, direction, hint, Because())
        assert isinstance(claimed, Claimed), claimed
        return claimed

    def close(self, claimed: Claimed, outcome: Outcome, **options: Any) -> Decision:
        return close_attempt(self.rt.recorder, claimed, outcome, Because(), **options)

    def types(self, saga_id: str) -> list[str]:
        return [str(event.type) for event in self.rt.log.read(saga_id).events]

    @contextlib.contextmanager
    def sql(self) -> Iterator[Connection]:
        """Open a connection of somebody else's."""
        engine = create_engine(self.database_url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def row(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        """Return the first row of a query of the side tables, if there is one."""
        with self.sql() as connection:
            found = connection.exec_driver_sql(query, parameters).first()
            return None if found is None else tuple(found)

    def run(self, statement: str, *parameters: Any) -> None:
        with self.sql() as connection:
            connection.exec_driver_sql(statement, parameters)


@contextlib.contextmanager
def worker_side(
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lease_s: float = 0.2,
) -> Iterator[WorkerSide]:
    """Make a worker's runtime on an empty database."""
    migrate_all(database_url)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    # The sweep believes in dead workers once the server is up for one lease.
    monkeypatch.setenv("ORCHESTRATION_LEASE_S", str(lease_s))
    monkeypatch.setenv("ORCHESTRATION_KEY_PREFIX", f"{uuid4().hex}_")
    sent = Sent()
    made = _make(app)
    recorder = replace(made.recorder, sender=sent)
    door = replace(made.desk.door, recorder=recorder)
    rt = replace(made, recorder=recorder, desk=SagaDesk(recorder, door))
    try:
        yield WorkerSide(rt, sent, database_url)
    finally:
        rt.close()
