"""Claims, leases and rows of open sagas, when something about them is not right."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_records import Because, Start
from orchestration.contracts import Hint
from orchestration.core.saga.acts import Who
from orchestration.core.saga.decide import Refusal
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.engine.attempts import open_attempt
from orchestration.errors import SagaConflict
from orchestration.saga import SagaStep, SagaTransaction
from tasks.recovery import sweep
from tests.support.front import linear, step
from tests.support.switches import Switches
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    with worker_side(database_url, redis_url, monkeypatch) as side:
        monkeypatch.setattr("tasks.recovery.runtime", lambda _: side.rt)
        monkeypatch.setattr("tasks.recovery.because_of", lambda _: Because())
        yield side


def test_healing_never_sets_a_row_back(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = side.begin()
    before = side.rt.log.view(saga_id)
    side.open(saga_id, "s1")
    # As if the saga moved on between the healer's look and its write.
    monkeypatch.setattr(SagaLog, "view", lambda *_: before)
    side.rt.log.heal(saga_id)
    row = side.row("SELECT version FROM orch.open_saga WHERE saga_id = %s", saga_id)
    assert row == (2,)


@pytest.mark.parametrize("what", ["a claim", "an outcome"])
def test_what_meets_a_row_that_is_just_being_healed_is_not_taken_for_recorded(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1") if what == "an outcome" else None
    side.run("DELETE FROM orch.open_saga")
    # Between two statements of the function: the row was not there, and now it is.
    side.run(
        """
        CREATE FUNCTION healed() RETURNS void LANGUAGE sql AS $$
        INSERT INTO orch.open_saga (saga_id, name, state, version, started_at)
        SELECT substr(s.name, 6), 's', 'RUNNING', s.version, s.recorded_at
        FROM es.streams AS s WHERE s.category = 'saga'
        ON CONFLICT DO NOTHING $$
        """
    )
    switches = Switches(side.database_url, monkeypatch)
    missed = "IF v_row IS NULL THEN"
    switches.function("orch.saga_record", missed, f"{missed} PERFORM healed();")
    if claimed:
        side.close(claimed, Succeeded({}))
    else:
        side.open(saga_id, "s1")
    types = ["SAGA_STARTED", "STEP_STARTED", "STEP_COMPLETED"]
    assert side.types(saga_id) == types[: 3 if claimed else 2]
    leases = side.row("SELECT count(*) FROM orch.lease")
    assert leases == (0 if claimed else 1,)


def test_an_outcome_and_a_healer_do_not_wait_for_each_other(side: WorkerSide) -> None:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")
    with ThreadPoolExecutor(1) as another, side.rt.db.begin() as healer:
        healer.exec_driver_sql("SET LOCAL deadlock_timeout = '100ms'")
        healer.exec_driver_sql("SELECT FROM orch.open_saga FOR UPDATE")
        closing = another.submit(side.close, claimed, Succeeded({}))
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        wait_until(lambda: side.row(waits) == (1,), "the outcome waits for the row")
        healer.exec_driver_sql(
            "INSERT INTO orch.lease SELECT * FROM orch.lease ON CONFLICT DO NOTHING"
        )
        healer.commit()
        closing.result(timeout=120)
    assert side.types(saga_id) == ["SAGA_STARTED", "STEP_STARTED", "STEP_COMPLETED"]


def test_healing_never_brings_back_a_saga_that_is_over(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = side.begin(count=1)
    claimed = side.open(saga_id, "s1")
    before = side.rt.log.view(saga_id)
    side.close(claimed, Succeeded({}))
    monkeypatch.setattr(SagaLog, "view", lambda *_: before)
    side.rt.log.heal(saga_id)
    assert side.row("SELECT 1 FROM orch.open_saga WHERE saga_id = %s", saga_id) is None


@pytest.mark.parametrize("wrong", [1, 7])
def test_a_row_that_disagrees_with_the_events_is_healed_by_the_next_decision(
    side: WorkerSide, wrong: int
) -> None:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")
    side.run("UPDATE orch.open_saga SET version = %s", wrong)
    decision = side.close(claimed, Succeeded({}))
    assert decision.lines == (("s2",),)
    assert side.row("SELECT version FROM orch.open_saga") == (3,)


def test_a_healed_saga_gets_the_leases_of_its_open_attempts_back(
    side: WorkerSide,
) -> None:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")
    side.run("DELETE FROM orch.lease")
    side.run("DELETE FROM orch.open_saga")
    side.rt.log.heal(saga_id)
    found = side.row("SELECT step, attempt, owner::text FROM orch.lease")
    assert found == ("s1", 1, claimed.lease.owner)
    assert side.rt.watch.renew([claimed.lease], 5) == {claimed.lease.owner: False}


@pytest.mark.parametrize("named", ["s2", "no-such-step"])
def test_a_message_that_lies_about_the_version_begins_nothing(
    side: WorkerSide, named: str
) -> None:
    saga_id = side.begin()
    lie = Hint(version=1, check_at_ms=None)
    message = side.message(saga_id, named)
    refusal = open_attempt(side.rt.recorder, message, Direction.DO, lie, Because())
    assert refusal is Refusal.NOT_READY
    assert side.row("SELECT 1 FROM orch.lease") is None
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    side.close(side.open(saga_id, "s2"), Succeeded({}))
    assert side.types(saga_id)[-1] == "SAGA_COMPLETED"


def test_a_lie_about_a_step_that_does_not_exist_keeps_no_saga_from_undoing(
    side: WorkerSide,
) -> None:
    saga_id = side.begin()
    lie = Hint(version=1, check_at_ms=None)
    message = side.message(saga_id, "no-such-step")
    open_attempt(side.rt.recorder, message, Direction.DO, lie, Because())
    open_attempt(
        side.rt.recorder, message, Direction.UNDO, lie | {"version": 3}, Because()
    )
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    failed = Failed({"type": "X", "message": "x"}, retryable=False)
    side.close(side.open(saga_id, "s2"), failed)
    side.close(side.open(saga_id, "s1", Direction.UNDO), Succeeded({}))
    assert side.types(saga_id)[-1] == "COMPENSATION_COMPLETED"


def test_an_undo_is_not_told_that_its_saga_has_given_up(side: WorkerSide) -> None:
    saga_id = side.begin()
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    failed = Failed({"type": "X", "message": "x"}, retryable=False)
    other = side.open(saga_id, "s2")
    side.close(other, failed)
    undo = side.open(saga_id, "s1", Direction.UNDO)
    with side.rt.keeper.holding(undo.lease) as held:
        side.rt.keeper.renew_now()
        assert not held.cancelled


def test_running_steps_are_told_that_their_saga_has_given_up(side: WorkerSide) -> None:
    saga_id = side.begin(SagaTransaction("two", [step("a"), step("b"), step("c", "a")]))
    one, two = side.open(saga_id, "a"), side.open(saga_id, "b")
    side.close(two, Failed({"type": "X", "message": "x"}, retryable=False))
    with side.rt.keeper.holding(one.lease) as held:
        side.rt.keeper.renew_now()
        assert held.cancelled


def test_a_late_result_is_recorded_though_the_work_of_its_connection_is_undone(
    side: WorkerSide,
) -> None:
    saga_id = side.begin()
    late = side.open(saga_id, "s1")
    side.run("UPDATE orch.lease SET until = now() - interval '1 s'")
    sweep.run()  # closes it as lost; due again at once
    side.open(saga_id, "s1")
    work = side.rt.db.begin()
    work.exec_driver_sql("SELECT 1")
    decision = side.close(late, Succeeded({"x": 1}), connection=work)
    assert decision.is_late
    work.close()
    assert "STEP_LATE_RESULT" in side.types(saga_id)


def test_the_same_saga_may_be_started_by_two_producers(side: WorkerSide) -> None:
    transaction, log = linear(1), side.rt.log

    def start(**data: int) -> Start:
        return Start(transaction=transaction, initial_data=data)

    assert log.begin(start(a=1), Because(actor="producer"))
    because = Because(task_id="5f1b5d9a-5b5a-4b0e-8f6e-000000000000", actor="w1@host")
    assert log.begin(start(a=1), because) is None
    with pytest.raises(SagaConflict):
        log.begin(start(a=2), because)


def test_a_schedule_whose_period_grows_goes_on(side: WorkerSide) -> None:
    log = side.rt.watch
    assert log.claim_tick("x", 0.001)
    ages_s = 1e9  # which do not end between two statements
    assert log.claim_tick("x", ages_s)
    assert not log.claim_tick("x", ages_s)


def test_leases_that_cannot_be_expired_do_not_keep_others_from_it(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.recovery._PER_TICK", 2)
    good = side.begin()
    side.open(good, "s1")
    for n in range(2):
        side.run(
            "INSERT INTO orch.lease VALUES (%s, 's', 'do', 1, gen_random_uuid(),"
            " now() - interval '1 day', now())",
            f"nobody{n}",
        )
    side.run(
        "UPDATE orch.lease SET until = now() - interval '1 s' WHERE saga_id = %s", good
    )
    side.run("UPDATE orch.open_saga SET check_at = NULL")
    sweep.run(period_s=0.001)
    sweep.run(period_s=0.001)
    assert "STEP_UNKNOWN" in side.types(good)


def test_more_actions_than_pooled_connections_leave_room_for_the_lease_keeper(
    side: WorkerSide,
) -> None:
    held = [side.rt.db.begin() for _ in range(24)]
    try:
        assert side.rt.db.rows("SELECT 1")[0][0] == 1
    finally:
        for one in held:
            one.close()


def test_times_are_told_in_utc_whatever_the_servers_zone(side: WorkerSide) -> None:
    name = side.row("SELECT current_database()")
    assert name is not None
    side.run(f"ALTER DATABASE {name[0]} SET timezone TO 'Asia/Tokyo'")
    side.rt.db.close()
    saga_id = side.begin()
    [event] = side.rt.log.read(saga_id).events
    assert str(event.recorded_at.tzinfo) == "UTC"


def test_an_action_may_think_longer_than_a_frozen_worker_may_hold_a_row(
    side: WorkerSide,
) -> None:
    work = side.rt.db.begin(60)
    limit = work.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
    work.close()
    assert limit == "1min"


def test_a_connection_that_died_in_the_pool_is_not_handed_to_an_action(
    side: WorkerSide,
) -> None:
    side.rt.db.rows("SELECT 1")
    side.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'orchestration%%'"
        " AND datname = current_database()"
    )
    work = side.rt.db.begin()
    try:
        assert work.exec_driver_sql("SELECT 1").scalar() == 1
    finally:
        work.close()


def test_nobody_is_given_up_before_the_server_has_been_up_for_a_lease(
    side: WorkerSide,
) -> None:
    saga_id = side.begin()
    side.open(saga_id, "s1")
    side.run("UPDATE orch.lease SET until = now() - interval '1 s'")
    assert side.rt.watch.expired(10, lease_s=1e6) == ()
    assert [lease.step for lease in side.rt.watch.expired(10, lease_s=0.1)] == ["s1"]


def test_a_fork_says_in_its_first_event_of_what_by_whom_and_why(
    side: WorkerSide,
) -> None:
    approval = SagaTransaction("approval", [SagaStep("approve", wait_for="approved")])
    saga_id = side.begin(approval)
    fork = side.rt.desk.fork(saga_id, Who("ann@desk", "wrong order"))
    started = side.rt.log.read(fork).events[0]
    assert started.data["forked_from"] == saga_id
    assert (started.data["by"], started.data["why"]) == ("ann@desk", "wrong order")
