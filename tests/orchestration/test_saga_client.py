"""The blocking client, and sagas that begin in a caller's own transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine

from orchestration.errors import (
    ConfigurationError,
    SagaActRefused,
    SagaCompensated,
    SagaNotFound,
    SagaStillRunning,
    TransportError,
)
from orchestration.saga import SagaClient, SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def sagas(front: Front) -> SagaClient:
    """A client on the bus that the async front door uses too."""
    return SagaClient(front.bus)


@pytest.fixture(scope="module")
def engine(running: Stack) -> Iterator[Engine]:
    """An app's own way to the database, with a table of its own."""
    engine = create_engine(running.env["DATABASE_URL"])
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (saga text)")
    yield engine
    engine.dispose()


def approval() -> SagaTransaction:
    return SagaTransaction("approval", [SagaStep("wait", wait_for="approved")])


# --- blocking


def test_a_saga_is_run_and_looked_at_without_a_loop(
    sagas: SagaClient, effects: Effects
) -> None:
    transaction = linear(3)
    result = sagas.execute(transaction, {"customer": "c-1"})
    assert result["s3"] == 1
    status = sagas.get_execution_status(transaction.transaction_id)
    assert status.state is SagaState.COMPLETED
    assert sagas.history(status.saga_id)[0].type == "SAGA_STARTED"
    assert [one.saga_id for one in sagas.find(name="linear", limit=1)] == [
        status.saga_id
    ]
    assert effects.lines(status.saga_id, "do") == ["s1", "s2", "s3"]


def test_the_ends_of_sagas_are_raised_with_their_status(sagas: SagaClient) -> None:
    with pytest.raises(SagaCompensated) as caught:
        sagas.execute(linear(2, s2={"fail": "for good"}))
    assert caught.value.status.compensated_steps == ("s1",)
    with pytest.raises(SagaNotFound):
        sagas.get_execution_status("no-such-saga")


def test_every_act_is_there_for_code_that_blocks(
    sagas: SagaClient, front: Front
) -> None:
    saga_id = sagas.start(approval())
    assert sagas.pause(saga_id).is_on_hold
    assert sagas.resume(saga_id).state is not SagaState.PAUSED
    sagas.signal(saga_id, "approved", {"by": "ann"})
    assert sagas.wait(saga_id).result == {"by": "ann"}
    again = sagas.fork(saga_id)
    sagas.cancel(again)
    assert sagas.wait(again).is_cancelled
    sagas.replay_compensation(again)
    assert sagas.wait(again).state is SagaState.COMPENSATED
    failed = sagas.start(linear(2, s1={"undo_fail": "for good"}, s2={"fail": "always"}))
    assert sagas.wait(failed).state is SagaState.COMPENSATION_FAILED
    assert [letter.step for letter in sagas.dead_letters(failed)] == ["s1"]
    sagas.retry(failed)
    assert sagas.wait(failed).state is SagaState.COMPENSATION_FAILED
    sagas.skip(failed, "s1")
    assert sagas.wait(failed).uncompensated_steps == ("s1",)
    with pytest.raises(SagaActRefused):
        sagas.resolve(failed, "s1")


def test_a_wait_ends_at_its_limit_and_the_saga_goes_on(sagas: SagaClient) -> None:
    saga_id = sagas.start(approval())
    with pytest.raises(SagaStillRunning, match="still runs after 100 ms"):
        sagas.wait(saga_id, timeout_ms=100)
    sagas.signal(saga_id, "approved")
    assert sagas.wait(saga_id).state is SagaState.COMPLETED


def test_one_client_serves_many_threads(sagas: SagaClient, effects: Effects) -> None:
    transactions = [linear(2) for _ in range(8)]
    results: dict[str, dict[str, object]] = {}

    def run(transaction: SagaTransaction) -> None:
        results[transaction.transaction_id] = sagas.execute(transaction)

    threads = [threading.Thread(target=run, args=(t,)) for t in transactions * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(result["s2"] == 1 for result in results.values())
    done = [effects.lines(one.transaction_id, "do") for one in transactions]
    assert done == [["s1", "s2"]] * 8


def test_a_client_may_open_and_close_connections_of_its_own(
    running: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
        monkeypatch.setenv(name, running.env[name])
    prefix = running.env["ORCHESTRATION_KEY_PREFIX"]
    monkeypatch.setenv("ORCHESTRATION_KEY_PREFIX", prefix)
    with SagaClient() as own:
        assert own.execute(linear(1))["s1"] == 1
        saga_id = own.start(approval())
        wait = threading.Thread(target=lambda: _wait_in_vain(own, saga_id))
        wait.start()
        wait_until(lambda: saga_id in own._bus.saga_ends._waiting, "somebody waits")
    wait.join()


def _wait_in_vain(client: SagaClient, saga_id: str) -> None:
    # The second, if it was about to look just then.
    with pytest.raises((TransportError, ConfigurationError)):
        client.wait(saga_id)


# --- in the caller's transaction


def begin(
    sagas: SagaClient, engine: Engine, transaction: SagaTransaction, *, commits: bool
) -> None:
    """Start a saga beside an order, and commit both or neither."""
    with engine.connect() as connection:
        saga_id = sagas.start(transaction, connection=connection)
        connection.exec_driver_sql("INSERT INTO orders VALUES (%s)", (saga_id,))
        with pytest.raises(SagaNotFound):  # others do not see it yet
            sagas.get_execution_status(saga_id)
        if commits:
            connection.commit()
        else:
            connection.rollback()


def test_a_saga_begins_when_the_callers_transaction_commits(
    sagas: SagaClient, engine: Engine, effects: Effects
) -> None:
    transaction = linear(2)
    begin(sagas, engine, transaction, commits=True)
    status = sagas.wait(transaction.transaction_id)
    assert status.state is SagaState.COMPLETED
    assert effects.lines(status.saga_id, "do") == ["s1", "s2"]
    with engine.connect() as connection:
        orders = connection.exec_driver_sql("SELECT saga FROM orders").scalars().all()
    assert orders.count(status.saga_id) == 1


def test_its_first_steps_are_sent_by_the_next_sweep_not_by_a_resend(
    sagas: SagaClient, engine: Engine
) -> None:
    transaction = SagaTransaction("fan", [step("a"), step("b"), step("c", "a", "b")])
    with engine.begin() as connection:
        saga_id = sagas.start(transaction, connection=connection)
        is_unsent, due_after = connection.exec_driver_sql(
            "SELECT is_unsent, check_at - started_at FROM orch.open_saga"
            " WHERE saga_id = %s",
            (saga_id,),
        ).one()
    # A message that is lost is sent again after ten seconds; this one never was.
    assert is_unsent
    assert due_after < timedelta(seconds=2)
    assert sagas.wait(saga_id).state is SagaState.COMPLETED


def test_a_saga_whose_callers_transaction_is_rolled_back_never_was(
    sagas: SagaClient, engine: Engine, effects: Effects
) -> None:
    transaction = linear(1)
    begin(sagas, engine, transaction, commits=False)
    other = linear(1)
    begin(sagas, engine, other, commits=True)
    assert sagas.wait(other.transaction_id).state is SagaState.COMPLETED
    with pytest.raises(SagaNotFound):
        sagas.get_execution_status(transaction.transaction_id)
    assert effects.all(transaction.transaction_id) == []
    # Its id is free.
    assert sagas.execute(transaction)["s1"] == 1


def test_a_saga_that_begins_with_locks_conditions_and_signals_begins_so_too(
    sagas: SagaClient, engine: Engine
) -> None:
    transaction = SagaTransaction(
        "odd",
        [step("a", when="False"), SagaStep("wait", wait_for="go")],
        locks=["callers"],
    )
    begin(sagas, engine, transaction, commits=True)
    saga_id = transaction.transaction_id
    wait_until(
        lambda: len(sagas.history(saga_id)) == 4, "it was passed over, and waits"
    )
    sagas.signal(saga_id, "go")
    assert sagas.wait(saga_id).state is SagaState.COMPLETED


def test_one_transaction_begun_twice_in_it_begins_one_saga(
    sagas: SagaClient, engine: Engine, effects: Effects
) -> None:
    transaction = linear(1)
    with engine.begin() as connection:
        for _ in range(2):
            sagas.start(transaction, connection=connection)
    assert sagas.wait(transaction.transaction_id).state is SagaState.COMPLETED
    assert effects.lines(transaction.transaction_id, "do") == ["s1"]
