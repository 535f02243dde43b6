"""Scenes of attempts that end twice or late, and of leases that run out."""

from __future__ import annotations

from orchestration.adapters.saga_records import (
    Because,
    Lease,
    LeaseChange,
)
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Lost, Succeeded
from orchestration.core.saga.view import PhaseStatus
from orchestration.engine.action import Ended, WorkConnection
from orchestration.engine.attempts import Claimed, close_attempt
from tests.chaos.scenes.common import (
    answer_lost,
    given_up,
)
from tests.support.worker_side import WorkerSide


def back_from_the_dead(side: WorkerSide) -> bool:
    """A frozen worker tells its outcome while another attempt runs."""
    saga_id, first = given_up(side)
    side.open(saga_id, "s1")
    side.close(first, Succeeded({"x": "late"}))
    return side.rt.log.view(saga_id).do_of("s1").status is PhaseStatus.DONE


def outcome_told_again(side: WorkerSide) -> bool:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")
    with answer_lost(side):
        side.close(claimed, Succeeded({}))
    return "STEP_LATE_RESULT" in side.types(saga_id)


def late_result_told_again(side: WorkerSide) -> bool:
    saga_id, first = given_up(side)
    side.open(saga_id, "s1")
    knowing = Claimed(side.rt.log.view(saga_id), first.lease)
    with answer_lost(side):
        side.close(knowing, Succeeded({}))
    return side.types(saga_id).count("STEP_LATE_RESULT") > 1


def database_work_of_two_attempts(side: WorkerSide) -> bool:
    """Both attempts work on their connection, and the first ends last."""
    from tasks.saga import _Ahead, _close

    side.run("CREATE TABLE IF NOT EXISTS business (saga text)")
    saga_id, first = given_up(side)
    second = side.open(saga_id, "s1")
    for claimed in (second, first):
        work = WorkConnection(side.rt.db, 60)
        insert = "INSERT INTO business VALUES (%s)"
        work.get().exec_driver_sql(insert, (saga_id,))
        ended, unused = Ended(Succeeded({})), _Ahead(None, side.rt, Direction.DO)
        try:
            _close(side.rt, claimed, ended, work, Because(), unused)
        finally:
            work.drop()
    return side.row("SELECT count(*) FROM business WHERE saga = %s", saga_id) != (1,)


def outside_system_that_knows_its_keys(side: WorkerSide) -> bool:
    """It takes an effect once for each key; two attempts ask it."""
    from orchestration.engine.action import _context

    saga_id, first = given_up(side)
    keys = set()
    for claimed in (first, side.open(saga_id, "s1")):
        work = WorkConnection(side.rt.db, 60)
        with side.rt.keeper.holding(claimed.lease) as held:
            context = _context(claimed.view, "s1", Direction.DO, held, work)
        keys.add(context.idempotency_key)
    return len(keys) > 1


def renewed_after_the_sweep_looked(side: WorkerSide) -> bool:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")
    side.run("UPDATE orch.lease SET until = now() - interval '1 s'")
    [lease] = [one for one in _expired(side, 0.1) if one.saga_id == saga_id]
    side.rt.watch.renew([claimed.lease], 30)
    side.rt.sweeper.expire(lease, Because())
    return "STEP_UNKNOWN" in side.types(saga_id)


def _expired(side: WorkerSide, lease_s: float) -> tuple[Lease, ...]:
    return side.rt.watch.expired(100, lease_s)


def expired_while_the_server_was_away(side: WorkerSide) -> bool:
    side.open(side.begin(), "s1")
    side.run("UPDATE orch.lease SET until = now() - interval '1 s'")
    # As if it had been up for less than a lease: nobody could renew before.
    return bool(_expired(side, 1e6))


def ended_after_the_sweep_looked(side: WorkerSide) -> bool:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")
    side.close(claimed, Succeeded({}))
    lost = Lost({"type": "WorkerLost", "message": "x"}, at_once=True)
    close_attempt(side.rt.recorder, claimed, lost, Because(), change=LeaseChange.EXPIRE)
    return "STEP_LATE_RESULT" in side.types(saga_id)


def renewed_by_the_dead(side: WorkerSide) -> bool:
    """A frozen worker wakes up and renews, while the next holder has died."""
    saga_id, first = given_up(side)
    side.open(saga_id, "s1")
    until = "SELECT until FROM orch.lease WHERE saga_id = %s"
    before = side.row(until, saga_id)
    side.rt.watch.renew([first.lease], 3_600)
    return side.row(until, saga_id) != before
