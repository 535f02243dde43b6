"""Each guard of ``guards.py``, switched off, lets something wrong through.

Most guards stand behind others. So each is shown in three scenes: with all of them
nothing is wrong; with those off that would hold it as well, this one holds alone;
without it the wrong is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import pytest

import tasks.saga
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_records import Because
from orchestration.adapters.schema import migrate_all
from orchestration.contracts import SAGA_START
from orchestration.core.saga import acts, decide, fold, forward, outcomes
from orchestration.core.saga.decide import Refusal
from orchestration.core.saga.events import NewFact
from orchestration.engine import attempts, attending
from orchestration.engine.scheduling import Scheduler
from tests.chaos.guards import Guard
from tests.chaos.scenes import acts as between
from tests.chaos.scenes import attempts as ends
from tests.chaos.scenes import log, messages
from tests.support.servers import fresh_database
from tests.support.switches import Switches
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Shown:
    """How a guard is shown.

    Attributes:
        scene: Returns whether something wrong got through.
        off: Switches it off.
        behind: Other guards that would hold the same off.
    """

    scene: Callable[[WorkerSide], bool]
    off: Callable[[Switches, WorkerSide], None]
    behind: tuple[Guard, ...] = ()


NOT_ONCE: Final = (Guard.ROW_VERSION, Guard.APPEND_VERSION)
"""Off, where another guard is to be seen that holds even if versions do not."""


_OF_THE_ROW: Final = "o.version = p_expected"


def _no_row_version(off: Switches, _: WorkerSide) -> None:
    off.function("orch.saga_record", f"{_OF_THE_ROW} AND status", "status", times=2)


def _no_row_lock(off: Switches, _: WorkerSide) -> None:
    # As the row was when the statement began, not once the others are done with it.
    before = "(SELECT i.version FROM orch.open_saga AS i WHERE i.saga_id = p_saga)"
    unlocked = f"{before} = p_expected"
    off.function(
        "orch.saga_record",
        f"{_OF_THE_ROW} AND status",
        f"{unlocked} AND status",
        times=2,
    )


def _no_append_version(off: Switches, _: WorkerSide) -> None:
    off.function("es.as_expected", "p_version = p_expected", "true")


def _no_event_id(off: Switches, _: WorkerSide) -> None:
    off.monkeypatch.setattr(NewFact, "event_id", lambda *_: uuid4())


def _no_store_id(off: Switches, _: WorkerSide) -> None:
    off.run("ALTER TABLE es.events DROP CONSTRAINT events_event_id_stream_id_key")
    off.function("es.append_one", "ON CONFLICT (event_id, stream_id) DO NOTHING")


def _no_heal_version(off: Switches, _: WorkerSide) -> None:
    check = "IF p_version IS DISTINCT FROM ("
    off.function("orch.saga_heal", check, "IF false AND p_version = (")


def _no_start_once(off: Switches, _: WorkerSide) -> None:
    off.function("orch.saga_begin", "p_saga, 0, p_event_id", "p_saga, -1, p_event_id")


def _no_start_task_id(off: Switches, _: WorkerSide) -> None:
    task = type(tasks.saga.app.tasks[SAGA_START])
    off.method(task, "run", "self.request.id\n", "str(__import__('uuid').uuid4())\n")


def _claims(old: str) -> Callable[[Switches, WorkerSide], None]:
    return lambda off, _: off.code(decide.claim, old, "if False:")


def _settles(old: str, new: str) -> Callable[[Switches, WorkerSide], None]:
    return lambda off, _: off.code(decide.settle, old, new)


def _records(old: str, new: str) -> Callable[[Switches, WorkerSide], None]:
    return lambda off, _: off.function("orch.saga_record", old, new)


def _asks(of: str, name: str, old: str, new: str = "") -> Callable[..., None]:
    return lambda off, side: off.query(getattr(side.rt, of).sql, name, old, new)


def _puts(module: object, name: str, other: object) -> Callable[..., None]:
    return lambda off, _: off.put(getattr(module, name), other)


def _codes(module: object, name: str, old: str, new: str) -> Callable[..., None]:
    return lambda off, _: off.code(getattr(module, name), old, new)


LOG: Final = {
    Guard.ROW_VERSION: Shown(
        log.one_message_twice,
        _no_row_version,
        (Guard.APPEND_VERSION, Guard.EVENT_ID),
    ),
    Guard.ROW_LOCK: Shown(
        log.two_claims_at_once,
        _no_row_lock,
        (Guard.APPEND_VERSION, Guard.EVENT_ID),
    ),
    Guard.APPEND_VERSION: Shown(
        log.one_message_twice,
        _no_append_version,
        (Guard.ROW_VERSION, Guard.EVENT_ID),
    ),
    Guard.EVENT_ID: Shown(log.one_message_twice, _no_event_id, NOT_ONCE),
    Guard.STORE_ID: Shown(log.one_message_twice, _no_store_id, NOT_ONCE),
    Guard.HEAL_VERSION: Shown(log.healed_by_one_who_looked_before, _no_heal_version),
    Guard.START_ONCE: Shown(
        log.begun_again_when_over, _no_start_once, (Guard.EVENT_ID,)
    ),
    Guard.START_TASK_ID: Shown(log.start_message_twice, _no_start_task_id),
}
CLAIMS: Final = {
    Guard.CLAIM_HELD: Shown(
        log.message_while_it_runs,
        _claims("if phase.is_open:"),
        (Guard.CLAIM_SETTLED, Guard.CLAIM_NOT_DUE, Guard.CLAIM_NOT_READY),
    ),
    Guard.CLAIM_SETTLED: Shown(
        log.message_when_it_is_done,
        _claims("if phase.status not in (PhaseStatus.IDLE, PhaseStatus.WAITING):"),
        (Guard.CLAIM_NOT_DUE, Guard.CLAIM_NOT_READY),
    ),
    Guard.CLAIM_NOT_DUE: Shown(
        log.message_before_the_retry_is_due,
        _claims("if not phase.is_ready(now):"),
        (Guard.CLAIM_NOT_READY,),
    ),
    Guard.CLAIM_NOT_READY: Shown(
        log.message_before_its_turn,
        _claims("if step not in ready(view, direction, now):"),
    ),
    Guard.CLAIM_ANOTHERS: Shown(
        log.message_to_an_agent_that_was_not_chosen,
        _claims("if agent_id is not None and agent_id != view.agent_of(step):"),
    ),
    Guard.CLAIM_ENDED: Shown(
        log.message_of_a_saga_that_turned,
        _claims("if refusal := _not_allowed(view, step, direction):"),
    ),
    Guard.FALSE_HINT: Shown(
        log.message_that_lies,
        _codes(
            attempts,
            "_by_hint",
            "if isinstance(fact, Refusal):",
            "if False:",
        ),
    ),
}
OUTCOMES: Final = {
    Guard.OUTCOME_FENCE: Shown(
        ends.back_from_the_dead,
        _settles("if (phase.attempt, phase.token) == (attempt, token):", "if True:"),
    ),
    Guard.FOLD_FENCE: Shown(
        ends.back_from_the_dead,
        _codes(fold, "_open_phase", "if same and phase.is_open", "if phase.is_open"),
        (*NOT_ONCE, Guard.LEASE_FENCE),
    ),
    Guard.LEASE_FENCE: Shown(
        ends.back_from_the_dead,
        _records("status := 'fenced'", "status := 'ok'"),
        (*NOT_ONCE, Guard.FOLD_FENCE),
    ),
    Guard.TOLD_AGAIN: Shown(
        ends.outcome_told_again, _puts(decide, "_is_told_again", lambda *_: False)
    ),
    Guard.LATE_ONCE: Shown(
        ends.late_result_told_again,
        _settles("if (step, direction, attempt, phase.round) in view.late:", "if 0:"),
        (Guard.EVENT_ID,),
    ),
    Guard.LATE_ROLLBACK: Shown(
        ends.database_work_of_two_attempts,
        _codes(attempts, "close_attempt", "if connection is not None:  #", "if 0:  #"),
        (Guard.LATE_DROP,),
    ),
    Guard.LATE_DROP: Shown(
        ends.database_work_of_two_attempts,
        _codes(
            tasks.saga,
            "_close",
            "if connection is not None and decision.is_late:",
            "if False:",
        ),
        (Guard.LATE_ROLLBACK,),
    ),
    Guard.KEY_OF_ROUND: Shown(
        ends.outside_system_that_knows_its_keys,
        _puts(outcomes, "idempotency_key", lambda *_: str(uuid4())),
    ),
}
LEASES: Final = {
    Guard.EXPIRY_RENEWED: Shown(
        ends.renewed_after_the_sweep_looked,
        _records(
            "l.attempt = p_attempt AND l.until < clock_timestamp()",
            "l.attempt = p_attempt",
        ),
    ),
    Guard.EXPIRY_AFTER_RESTART: Shown(
        ends.expired_while_the_server_was_away,
        _asks(
            "watch",
            "expired",
            "pg_postmaster_start_time() < "
            "clock_timestamp() - make_interval(secs => %s)",
            "%s > 0",
        ),
    ),
    Guard.EXPIRY_OVERTAKEN: Shown(
        ends.ended_after_the_sweep_looked,
        _codes(
            attempts, "close_attempt", "if change is LeaseChange.EXPIRE:", "if False:"
        ),
    ),
    Guard.RENEW_OWNER: Shown(
        ends.renewed_by_the_dead,
        _asks("watch", "renew", "AND l.owner = mine.owner"),
    ),
}
MESSAGES: Final = {
    Guard.CHAIN_CUT_REFUSED: Shown(
        messages.refused_with_a_tail,
        _codes(tasks.saga, "_stop_here", "task.request.chain = None", "pass"),
    ),
    Guard.CHAIN_CUT_TURNED: Shown(
        messages.turned_with_a_tail,
        _codes(tasks.saga, "_go_on", "task.request.chain = None", "pass"),
    ),
    Guard.SENT_SINCE: Shown(
        messages.branch_ends_beside_one_that_waits,
        _settles(
            "_then(view, fact, now, before=view)", "_then(view, fact, now, before=None)"
        ),
    ),
    Guard.RETRY_GAP: Shown(
        messages.failed_with_no_wait,
        _codes(
            outcomes,
            "_wait_after_failure",
            "return 1 + backoff_ms",
            "return backoff_ms",
        ),
    ),
    Guard.OVERDUE: Shown(
        messages.looked_at_when_it_has_just_begun,
        _puts(decide, "overdue", lambda decision, _: decision),
    ),
    Guard.LOOK_CLAIMED: Shown(
        messages.two_sweeps_at_once,
        _asks(
            "watch", "claim_due", "clock_timestamp() + interval '10 s'", "o.check_at"
        ),
    ),
    Guard.LETTER_CLAIMED: Shown(
        messages.two_who_try_again,
        _asks(
            "index",
            "due_letters",
            "clock_timestamp() + interval '1 min'",
            "d.next_try_at",
        ),
    ),
    Guard.NOTICE_CLAIMED: Shown(
        messages.two_who_notify,
        _asks(
            "index",
            "due_notices",
            "clock_timestamp() + interval '10 s' * power(2, least(n.tries, 6))",
            "n.due_at",
        ),
    ),
    Guard.TICK_SLOT: Shown(
        messages.two_beats,
        _asks("watch", "claim_tick", "t.slot NOT IN (excluded.slot,", "-1 NOT IN (0,"),
    ),
    Guard.SCHEDULE_ID: Shown(
        messages.one_slot_twice,
        lambda off, _: off.method(
            Scheduler, "run", "{int(slot.timestamp())}", "{__import__('uuid').uuid4()}"
        ),
    ),
    Guard.SCHEDULE_MOVED: Shown(
        messages.slot_after_slot,
        lambda off, _: off.query(
            load_queries("schedules.sql"), "move", "AND next_at = %(slot)s"
        ),
    ),
}
ACTS: Final = {
    Guard.SIGNAL_ONCE: Shown(
        between.signal_twice,
        _codes(acts, "signal", "if signal_id in view.heard:", "if False:"),
        (Guard.EVENT_ID,),
    ),
    Guard.CANCEL_ONCE: Shown(
        between.cancel_twice,
        _codes(acts, "cancel", "if view.is_cancelled:", "if False:"),
    ),
    Guard.CHILD_ID: Shown(
        between.undone_with_its_parent,
        _puts(forward, "child_id", lambda *_: str(uuid4())),
    ),
    Guard.CHILD_TOLD_ONCE: Shown(
        between.child_tells_twice,
        lambda off, _: off.method(
            attending.Attendant,
            "_settle",
            "if not phase.is_open or errand.child_id not in phase.awaits.values():",
            "if False:",
        ),
        (Guard.TOLD_AGAIN,),
    ),
    Guard.LOCK_HOLDER: Shown(
        between.two_who_want_a_lock,
        lambda off, _: off.function("orch.saga_locks", "k.holder <> p_saga", "false"),
    ),
}
SHOWN: Final = LOG | CLAIMS | OUTCOMES | LEASES | MESSAGES | ACTS


# What its scene leaves behind cannot be put right.
OWN_DATABASE: Final = (Guard.STORE_ID,)


@pytest.fixture(scope="module")
def shared_database(postgres_server: str) -> Iterator[str]:
    """A database whose functions each test puts back as they were."""
    with fresh_database(postgres_server) as url:
        migrate_all(url)
        yield url


@pytest.fixture
def side(
    guard: Guard,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[WorkerSide]:
    shared = "database_url" if guard in OWN_DATABASE else "shared_database"
    database_url = request.getfixturevalue(shared)
    with worker_side(database_url, redis_url, monkeypatch) as side:
        side.run("TRUNCATE orch.open_saga, orch.ended_saga, orch.lease")
        monkeypatch.setattr("tasks.recovery.runtime", lambda _: side.rt)
        monkeypatch.setattr("tasks.recovery.because_of", lambda _: Because())
        monkeypatch.setattr("tasks.saga.runtime", lambda _: side.rt)
        yield side


@pytest.fixture
def off(side: WorkerSide, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switches]:
    switches = Switches(side.database_url, monkeypatch)
    yield switches
    switches.restore()


@pytest.mark.parametrize("guard", Guard, ids=lambda guard: guard.name)
def test_without_a_guard_something_wrong_gets_through(
    guard: Guard, side: WorkerSide, off: Switches
) -> None:
    shown = SHOWN[guard]
    assert not shown.scene(side), "wrong although every guard is there"
    for other in shown.behind:
        SHOWN[other].off(off, side)
    assert not shown.scene(side), f"wrong though it is there: {guard}"
    shown.off(off, side)
    assert shown.scene(side), f"nothing is wrong without it: {guard}"


def test_there_is_a_guard_for_each_reason_to_refuse_a_claim() -> None:
    assert {f"CLAIM_{refusal.name}" for refusal in Refusal} <= set(Guard.__members__)
