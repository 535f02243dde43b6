"""The log in memory answers as the one in Postgres does, whatever it is asked.

Everything here is asked of both, which must agree (``tests/support/twin_log.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from orchestration.adapters.saga_records import (
    AgentLimit,
    Answer,
    Because,
    Lease,
    LeaseChange,
    Record,
    Start,
    Status,
)
from orchestration.core.saga.decide import advance, record, settle
from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.model import Direction, SagaStep, SagaTransaction
from orchestration.core.saga.outcomes import Failed, Outcome, Succeeded
from orchestration.core.saga.view import Parent, SagaView
from orchestration.errors import SagaConflict, SagaNotFound
from orchestration.testing.mishaps import Chance
from tests.support.twin_log import Postgres, Twins

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

BECAUSE = Because(actor="test")
GONE = {"type": "ValueError", "message": "gone"}
OWNER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class Scene:
    """Both logs, and the words in which tests speak to them."""

    def __init__(self, postgres: Postgres) -> None:
        self.twins = Twins.on(postgres, Chance())
        self.log, self.watch = self.twins.log, self.twins.watch
        self.index, self.clock = self.twins.index, self.twins.tables.clock
        self.postgres = postgres

    def start(self, *steps: SagaStep, **options: Any) -> Start:
        given = {k: options.pop(k) for k in ("parent", "data") if k in options}
        steps = steps or (SagaStep("a", "agent", compensation="undo"),)
        saga = SagaTransaction("t", steps, transaction_id=str(uuid4()), **options)
        return Start(
            transaction=saga,
            initial_data=given.get("data", {}),
            parent=given.get("parent"),
        )

    def begin(self, *steps: SagaStep, **options: Any) -> SagaView:
        view = self.log.begin(self.start(*steps, **options), BECAUSE)
        assert view is not None
        return view

    def ask(
        self, view: SagaView, *facts: NewFact, connection: Any = None, **options: Any
    ) -> Answer:
        """Record facts; their meaning is told along."""
        after = view
        for fact in facts:
            after = record(after, fact, self.clock.now())
        given = {"check_at": None, "lease": None, "change": None, "beside": {}}
        asked = Record.of(view, after, facts, **(given | options))
        return self.log.record(asked, BECAUSE, connection=connection)

    def claim(self, view: SagaView, owner: str = OWNER, **options: Any) -> Answer:
        """Claim an attempt at the first step."""
        direction = options.pop("direction", Direction.DO)
        attempt = view.phase("a", direction).attempt + 1
        type_ = EventType.STEP_STARTED
        if direction is Direction.UNDO:
            type_ = EventType.STEP_COMPENSATION_STARTED
        told = {"step": "a", "attempt": attempt, "round": 1, "token": owner}
        asked = {
            "saga_id": view.saga_id,
            "expected": view.version,
            "facts": (NewFact(type_, told),),
            "state": view.state,
            "lease": Lease(view.saga_id, "a", direction, attempt, owner),
            "change": LeaseChange.TAKE,
            "lease_s": 15.0,
            "limit_s": 40.0,
            "read_after": view.version,
        }
        return self.log.record(Record(**(asked | options)), BECAUSE)

    def settle(
        self, saga_id: str, outcome: Outcome, direction: Direction = Direction.DO
    ) -> SagaView:
        """Record how the open attempt at the first step ended."""
        view = self.log.view(saga_id)
        phase = view.phase("a", direction)
        decision = settle(
            view,
            "a",
            direction,
            attempt=phase.attempt,
            token=phase.token,
            outcome=outcome,
            now=self.clock.now(),
        )
        lease = Lease(saga_id, "a", direction, phase.attempt, phase.token)
        answer = self.ask(
            view,
            *decision.facts,
            lease=lease,
            change=LeaseChange.DROP,
            check_at=decision.check_at,
        )
        assert answer.is_recorded
        return self.log.view(saga_id)

    def compensated(self) -> SagaView:
        """Return a saga that has been undone."""
        view = self.begin()
        self.claim(view)
        cancel = NewFact(EventType.SAGA_CANCEL_REQUESTED, {"by": "me"})
        self.ask(self.log.view(view.saga_id), cancel)
        self.settle(view.saga_id, Succeeded({}))
        self.claim(self.log.view(view.saga_id), direction=Direction.UNDO)
        return self.settle(view.saga_id, Succeeded({}), Direction.UNDO)

    def due(self) -> list[str]:
        return [saga_id for saga_id, _ in self.watch.claim_due(100)]

    def is_due(self, view: SagaView) -> bool:
        return view.saga_id in self.due()


@pytest.fixture
def scene(postgres: Postgres) -> Scene:
    return Scene(postgres)


def signalled(name: str = "go") -> NewFact:
    told = {"by": "me", "name": name, "data": 1, "signal_id": name}
    return NewFact(EventType.SIGNAL_RECEIVED, told, key=name)


def test_the_same_start_counts_once_and_another_under_its_id_is_refused(
    scene: Scene,
) -> None:
    start = scene.start(data={"x": 1})
    assert scene.log.begin(start, BECAUSE) is not None
    assert scene.log.begin(start, Because(actor="another producer")) is None
    other = Start(transaction=start.transaction, initial_data={"x": 2})
    with pytest.raises(SagaConflict):
        scene.log.begin(other, BECAUSE)


def test_there_is_no_saga_that_nobody_began(scene: Scene) -> None:
    assert scene.log.read("nobody").events == ()
    with pytest.raises(SagaNotFound):
        scene.log.view("nobody")


def test_a_decision_about_the_past_is_a_conflict_and_learns_what_happened(
    scene: Scene,
) -> None:
    view = scene.begin()
    assert scene.ask(view, signalled("one")).is_recorded
    answer = scene.ask(view, signalled("two"))
    assert answer.status is Status.CONFLICT
    assert [event.version for event in answer.events] == [1, 2]


def test_answers_carry_the_events_that_were_asked_for(scene: Scene) -> None:
    view = scene.begin()
    assert scene.claim(view).events[0].type is EventType.STEP_STARTED
    assert len(scene.claim(view, read_after=0).events) == 2
    assert scene.settle(view.saga_id, Succeeded({})).state == "COMPLETED"


def test_a_lease_lasts_as_long_as_it_is_renewed_and_never_beyond_its_limit(
    scene: Scene,
) -> None:
    view = scene.begin()
    scene.claim(view)
    lease = Lease(view.saga_id, "a", Direction.DO, 1, OWNER)
    for _ in range(3):
        scene.clock.advance(seconds=12)
        assert scene.watch.renew([lease], 15) == {OWNER: False}
        assert scene.watch.expired(10, 15) == ()
    scene.clock.advance(seconds=5)
    assert [one.step for one in scene.watch.expired(10, 15)] == ["a"]


def test_a_lease_that_was_renewed_cannot_be_expired(scene: Scene) -> None:
    view = scene.begin()
    scene.claim(view)
    lease = Lease(view.saga_id, "a", Direction.DO, 1, OWNER)
    held = scene.ask(
        scene.log.view(view.saga_id),
        signalled(),
        lease=lease,
        change=LeaseChange.EXPIRE,
    )
    assert held.status is Status.HELD
    scene.clock.advance(seconds=20)
    gone = scene.ask(
        scene.log.view(view.saga_id),
        signalled(),
        lease=lease,
        change=LeaseChange.EXPIRE,
    )
    assert gone.is_recorded
    assert scene.watch.renew([lease], 15) == {}


def test_only_the_holder_of_a_lease_drops_it(scene: Scene) -> None:
    view = scene.begin()
    scene.claim(view)
    view = scene.log.view(view.saga_id)
    for lease in (
        Lease(view.saga_id, "a", Direction.DO, 1, OTHER),
        Lease(view.saga_id, "a", Direction.DO, 2, OWNER),
        Lease(view.saga_id, "b", Direction.DO, 1, OWNER),
    ):
        answer = scene.ask(view, signalled(), lease=lease, change=LeaseChange.DROP)
        assert answer.status is Status.FENCED
    lease = Lease(view.saga_id, "a", Direction.DO, 1, OWNER)
    assert scene.ask(
        view, signalled(), lease=lease, change=LeaseChange.DROP
    ).is_recorded


@pytest.mark.parametrize("limit", [None, AgentLimit("agent", max_concurrent=1)])
def test_a_decision_in_conflict_leaves_the_lease_that_it_would_drop(
    scene: Scene, limit: AgentLimit | None
) -> None:
    begun = scene.begin()
    scene.claim(begun, limit=limit)
    lease = Lease(begun.saga_id, "a", Direction.DO, 1, OWNER)
    stale = scene.ask(begun, signalled(), lease=lease, change=LeaseChange.DROP)
    assert stale.status is Status.CONFLICT
    assert scene.watch.renew([lease], 15) == {OWNER: False}


def test_leases_that_ran_out_are_put_off_or_forgotten(scene: Scene) -> None:
    view = scene.begin()
    scene.claim(view)
    lease = Lease(view.saga_id, "a", Direction.DO, 1, OWNER)
    scene.watch.forget_lease(lease)  # not yet
    scene.clock.advance(seconds=16)
    scene.watch.put_off(lease)
    assert scene.watch.expired(10, 15) == ()
    scene.clock.advance(minutes=2)
    assert len(scene.watch.expired(10, 15)) == 1
    scene.watch.forget_lease(lease)
    assert scene.watch.expired(10, 15) == ()


def test_who_renews_hears_that_doing_is_in_vain_and_undoing_is_not(
    scene: Scene,
) -> None:
    view = scene.begin()
    scene.claim(view)
    cancel = NewFact(EventType.SAGA_CANCEL_REQUESTED, {"by": "me"})
    scene.ask(scene.log.view(view.saga_id), cancel)
    doing = Lease(view.saga_id, "a", Direction.DO, 1, OWNER)
    assert scene.watch.renew([doing], 15) == {OWNER: True}
    scene.settle(view.saga_id, Succeeded({}))
    scene.claim(scene.log.view(view.saga_id), OTHER, direction=Direction.UNDO)
    undoing = Lease(view.saga_id, "a", Direction.UNDO, 1, OTHER)
    assert scene.watch.renew([doing, undoing], 15) == {OTHER: False}


def test_a_saga_that_is_over_has_no_row_and_may_be_opened_again(scene: Scene) -> None:
    view = scene.compensated()
    assert scene.ask(view, signalled(), beside={}).is_recorded  # told of, it stays over
    told = {
        "step": "a",
        "direction": "do",
        "attempt": 7,
        "round": 1,
        "landed": True,
        "output": {},
    }
    view = scene.log.view(view.saga_id)
    late = NewFact(EventType.STEP_LATE_RESULT, told)
    assert scene.ask(view, late, check_at=scene.clock.now()).is_recorded
    view = scene.log.view(view.saga_id)
    assert view.state == "COMPENSATING"
    assert scene.is_due(view)
    assert scene.index.find(state="COMPENSATING")[0].ended_at is None


def test_what_is_told_of_a_saga_that_stays_over_does_not_end_it_anew(
    scene: Scene,
) -> None:
    view = scene.compensated()
    ended_at = view.ended_at
    scene.clock.advance(days=1)
    assert scene.ask(view, signalled()).is_recorded
    [found] = scene.index.find(state="COMPENSATED")
    assert found.ended_at == ended_at


def test_a_decision_about_a_saga_that_is_over_is_told_so_or_in_conflict(
    scene: Scene,
) -> None:
    view = scene.begin()
    scene.claim(view)
    running = scene.log.view(view.saga_id)
    scene.settle(view.saga_id, Succeeded({}))
    assert scene.ask(running, signalled()).status is Status.CLOSED
    done = scene.log.view(view.saga_id)
    assert scene.ask(done, signalled("one")).is_recorded
    assert scene.ask(done, signalled("two")).status is Status.CONFLICT
    assert scene.log.over([view.saga_id]) == (view.saga_id,)


@pytest.mark.parametrize(
    ("limit", "wait_ms"),
    [(AgentLimit("busy", max_concurrent=2), 250), (AgentLimit("busy", None, 4.0), 375)],
)
def test_an_agent_is_given_no_more_than_its_limit(
    scene: Scene, limit: AgentLimit, wait_ms: int
) -> None:
    answers = [scene.claim(scene.begin(), limit=limit) for _ in range(3)]
    busy = [answer for answer in answers if answer.status is Status.BUSY]
    assert [answer.wait_ms for answer in busy][-1:] == [wait_ms]
    scene.clock.advance(minutes=1)  # leases ran out, and the rate is free again
    assert scene.claim(scene.begin(), limit=limit).is_recorded


def take(scene: Scene, view: SagaView) -> dict[str, int] | None:
    with scene.log.transaction() as connection:
        return scene.log.take_locks(view.saga_id, view.lock_names, connection)


def test_locks_go_to_who_has_waited_longest_under_a_growing_number(
    scene: Scene,
) -> None:
    sagas = []
    for _ in range(3):
        sagas.append(scene.begin(locks=["l", "m"]))
        scene.clock.advance(seconds=1)
    first, second, third = sagas
    assert take(scene, first) == {"l": 1, "m": 1}
    assert take(scene, third) is None
    assert take(scene, second) is None
    scene.claim(first)
    scene.clock.advance(minutes=1)
    scene.due()
    scene.settle(first.saga_id, Succeeded({}))
    assert sorted(scene.due()) == sorted([second.saga_id, third.saga_id])
    assert take(scene, third) is None
    assert take(scene, second) == {"l": 2, "m": 2}
    assert take(scene, second) == {"l": 3, "m": 3}


def test_who_gives_up_is_waited_for_by_nobody(scene: Scene) -> None:
    holder, rival = scene.begin(locks=["l"]), scene.begin(locks=["l"])
    scene.clock.advance(seconds=1)
    last = scene.begin(locks=["l"])
    assert take(scene, holder) == {"l": 1}
    assert take(scene, rival) is None
    scene.claim(holder)
    scene.settle(holder.saga_id, Succeeded({}))
    assert take(scene, last) is None
    cancel = NewFact(EventType.SAGA_CANCEL_REQUESTED, {"by": "me"})
    scene.ask(rival, cancel)
    assert take(scene, last) == {"l": 2}
    assert take(scene, holder) is None  # it is over


def test_who_is_undone_again_stands_in_the_line_by_its_age(scene: Scene) -> None:
    undone = scene.begin(locks=["l"])
    scene.clock.advance(seconds=1)
    holder = scene.begin(locks=["l"])
    scene.clock.advance(seconds=1)
    last = scene.begin(locks=["l"])
    plan = {"waves": [["a"]], "cause": {}, "kept_steps": []}
    scene.ask(undone, NewFact(EventType.COMPENSATION_STARTED, plan))
    assert take(scene, holder) == {"l": 1}
    assert take(scene, undone) is None
    scene.claim(holder)
    scene.settle(holder.saga_id, Succeeded({}))
    assert take(scene, last) is None
    assert take(scene, undone) == {"l": 2}


def test_next_in_line_is_who_has_waited_longest_for_a_lock_that_is_free(
    scene: Scene,
) -> None:
    sagas = []
    for locks in (["l"], ["l", "m"], ["l"], ["m"]):
        sagas.append(scene.begin(locks=locks))
        scene.clock.advance(seconds=1)
    holder, first, second, other = sagas
    assert take(scene, holder) == {"l": 1}
    assert [take(scene, one) for one in (first, second, other)] == [None] * 3
    # The other is in line behind the first for "m", which nobody holds.
    assert scene.log.next_in_line(["l", "m", "n"]) == (first.saga_id,)
    assert scene.log.next_in_line(["l"]) == ()
    scene.claim(holder)
    scene.settle(holder.saga_id, Succeeded({}))
    assert scene.log.next_in_line(["l"]) == (first.saga_id,)
    assert take(scene, first) == {"l": 2, "m": 1}
    assert scene.log.next_in_line(["l", "m"]) == ()


def test_a_transaction_that_is_rolled_back_took_no_lock(scene: Scene) -> None:
    view = scene.begin(locks=["l"])
    with scene.log.transaction() as connection:
        assert scene.log.take_locks(view.saga_id, ["l"], connection) == {"l": 1}
        fact = NewFact(EventType.LOCKS_ACQUIRED, {"locks": {"l": 1}})
        assert scene.ask(view, fact, connection=connection).is_recorded
        connection.rollback()
    assert scene.log.view(view.saga_id).lacks_locks
    assert take(scene, view) == {"l": 1}


def test_an_error_ends_a_transaction_without_a_trace(scene: Scene) -> None:
    view = scene.begin(locks=["l"])

    def fail() -> None:
        with scene.log.transaction() as connection:
            scene.log.take_locks(view.saga_id, ["l"], connection)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert take(scene, view) == {"l": 1}


def letters(scene: Scene, view: SagaView) -> Sequence[tuple[str, int, datetime | None]]:
    found = scene.index.letters(view.saga_id)
    return [(one.step, one.tries, one.next_try_at) for one in found]


def failed_undo(scene: Scene) -> tuple[SagaView, dict[str, Any]]:
    told = {"letters": [{"step": "a", "error": GONE}, {"step": "b", "error": GONE}]}
    beside = told | {"try_again_s": 300.0, "max_tries": 3}
    view = scene.begin()
    assert scene.ask(view, signalled("one"), beside=beside).is_recorded
    return scene.log.view(view.saga_id), beside


def test_a_failed_undo_is_tried_again_less_and_less_often_and_then_left(
    scene: Scene,
) -> None:
    view, beside = failed_undo(scene)
    now = scene.clock.now()
    assert letters(scene, view)[0] == ("a", 0, now + timedelta(seconds=300))
    assert scene.index.due_letters(10) == ()
    scene.clock.advance(seconds=300)
    due = scene.index.due_letters(10)
    assert {(one.saga_id, one.step) for one in due} == {
        (view.saga_id, "a"),
        (view.saga_id, "b"),
    }
    assert scene.index.due_letters(10) == ()  # for a minute
    for tries, wait_s in ((1, 600), (2, 1_200), (3, None)):
        scene.ask(scene.log.view(view.saga_id), signalled(str(tries)), beside=beside)
        at = scene.clock.now() + timedelta(seconds=wait_s) if wait_s else None
        assert letters(scene, view)[0] == ("a", tries, at)


def test_dead_letters_are_settled_or_wait_while_they_are_tried(scene: Scene) -> None:
    view, _ = failed_undo(scene)
    beside = {"kept": ["a"], "retried": ["a"]}
    scene.ask(view, signalled("two"), beside=beside)
    assert letters(scene, view) == [("a", 0, None)]
    assert [letter.name for letter in scene.index.letters()] == ["t"]
    scene.ask(scene.log.view(view.saga_id), signalled("three"), beside={"kept": []})
    assert letters(scene, view) == []


def test_notices_come_again_until_they_are_dropped(scene: Scene) -> None:
    view = scene.begin()
    scene.ask(view, signalled("one"), beside={"notice": {"error": GONE}})
    view = scene.log.view(view.saga_id)
    scene.ask(view, signalled("two"), beside={"notice": {"error": None}})
    [first] = scene.index.due_notices(10)  # words of one saga keep their order
    assert (first.error, scene.index.due_notices(10)) == (GONE, ())
    scene.index.drop_notice(first)
    [second] = scene.index.due_notices(10)
    assert (second.error, second.version) == (None, 3)
    scene.clock.advance(seconds=9)
    assert scene.index.due_notices(10) == ()
    scene.clock.advance(seconds=1)
    [again] = scene.index.due_notices(10)
    assert (again.notice_id, again.tries) == (second.notice_id, 2)


def test_a_parent_is_looked_at_when_its_child_comes_to_a_stand(scene: Scene) -> None:
    parent = scene.begin()
    child = scene.begin(parent=Parent(parent.saga_id, "a"))
    pause = {"by": "me", "reason": "r", "on_hold": True}
    scene.ask(child, NewFact(EventType.SAGA_PAUSED, pause))
    assert scene.is_due(parent)


def test_who_looks_first_hears_that_nobody_has_sent_anything(scene: Scene) -> None:
    start = scene.start()
    with scene.log.transaction() as connection:
        scene.log.begin(start, BECAUSE, connection=connection)
    saga_id = start.transaction.transaction_id
    assert scene.watch.claim_due(10) == ((saga_id, True),)
    scene.claim(scene.log.view(saga_id))
    scene.clock.advance(seconds=10)
    assert scene.watch.claim_due(10) == ((saga_id, False),)


def test_a_start_whose_transaction_is_rolled_back_never_was(scene: Scene) -> None:
    start = scene.start()
    with scene.log.transaction() as connection:
        scene.log.begin(start, BECAUSE, connection=connection)
        connection.rollback()
    assert scene.log.read(start.transaction.transaction_id).events == ()
    assert scene.index.count_open(10) == 0


def test_a_look_is_put_off_by_who_claims_it_and_set_by_who_is_up_to_date(
    scene: Scene,
) -> None:
    view = scene.begin()
    assert not scene.is_due(view)
    scene.clock.advance(seconds=10)
    assert scene.is_due(view)
    assert not scene.is_due(view)
    scene.watch.look_at(view, scene.clock.now())
    assert scene.is_due(view)
    scene.claim(view)
    scene.watch.look_at(view, scene.clock.now())
    assert not scene.is_due(view)


def test_a_record_brings_a_look_forward_and_never_puts_it_off(scene: Scene) -> None:
    view = scene.begin()
    later = scene.clock.now() + timedelta(hours=1)
    scene.ask(view, signalled("one"), check_at=later)
    scene.clock.advance(seconds=10)
    assert scene.is_due(view)
    view = scene.log.view(view.saga_id)
    scene.ask(view, signalled("two"), check_at=scene.clock.now())
    assert scene.is_due(view)


def test_rows_that_were_lost_are_made_anew_from_the_events(scene: Scene) -> None:
    view = scene.begin(
        locks=["l"], search_attributes={"town": "Rome"}, timeout_ms=60_000
    )
    fences = take(scene, view)
    scene.ask(view, NewFact(EventType.LOCKS_ACQUIRED, {"locks": fences}))
    scene.claim(scene.log.view(view.saga_id))
    over = scene.compensated()
    scene.postgres.forget()
    tables = scene.twins.tables
    for side in (tables.open, tables.ended, tables.leases, tables.locks):
        side.clear()
    tables.attributes.clear()
    scene.log.heal(view.saga_id)
    scene.log.heal(over.saga_id)
    assert scene.is_due(view)
    lease = Lease(view.saga_id, "a", Direction.DO, 1, OWNER)
    assert scene.watch.renew([lease], 15) == {OWNER: False}
    assert scene.index.find(attributes={"town": "Rome"})[0].state == "RUNNING"
    assert scene.index.find(state="COMPENSATED")[0].saga_id == over.saga_id
    rival = scene.begin(locks=["l"])
    assert take(scene, rival) is None


def test_a_row_behind_its_events_is_healed_by_the_next_decision(scene: Scene) -> None:
    view = scene.begin()
    scene.claim(view)
    scene.postgres.db.rows("UPDATE orch.open_saga SET version = 1")
    scene.twins.tables.change(view.saga_id, version=1)
    view = scene.log.view(view.saga_id)
    assert scene.ask(view, signalled()).status is Status.CONFLICT
    assert scene.ask(view, signalled()).is_recorded


def test_one_call_gets_each_slot_of_a_schedule(scene: Scene) -> None:
    assert scene.watch.claim_tick("sweep", 1.0)
    assert not scene.watch.claim_tick("sweep", 1.0)
    scene.clock.advance(seconds=1)
    assert scene.watch.claim_tick("sweep", 1.0)
    assert scene.watch.claim_tick("sweep", 3_600.0)


def test_lists_are_newest_first_and_go_on_where_a_page_ended(scene: Scene) -> None:
    for town in ("Rome", "Bonn", "Rome"):
        scene.begin(search_attributes={"town": town, "floor": 2})
        scene.clock.advance(seconds=1)
    scene.compensated()
    page = scene.index.find(limit=2)
    assert [one.state for one in page] == ["COMPENSATED", "RUNNING"]
    rest = scene.index.find(after=page[-1])
    assert [one.search_attributes["town"] for one in rest] == ["Bonn", "Rome"]
    assert len(scene.index.find(attributes={"town": "Rome", "floor": 2})) == 2
    assert scene.index.find(name="other") == ()
    at = rest[0].started_at
    assert len(scene.index.find(started_after=at, started_before=at)) == 0
    assert len(scene.index.find(started_after=at)) == 3
    assert scene.index.count_open(2) == 2


def test_sagas_that_ended_long_ago_are_forgotten(scene: Scene) -> None:
    scene.compensated()
    scene.clock.advance(days=2)
    scene.compensated()
    assert scene.index.retire(86_400, 10) == 1
    assert scene.index.retire(86_400, 10) == 0
    assert len(scene.index.find()) == 1


def test_what_a_saga_waits_for_is_shown_until_it_moves_on(scene: Scene) -> None:
    view = scene.begin()
    scene.log.note_waiting(view.saga_id, "a worker")
    assert scene.log.waiting_for(view.saga_id) == "a worker"
    scene.claim(view)
    assert scene.log.waiting_for(view.saga_id) is None
    assert scene.log.waiting_for("nobody") is None


def test_a_failure_is_decided_upon_alike(scene: Scene) -> None:
    view = scene.begin(SagaStep("a", "agent", retry_policy={"max_attempts": 1}))
    scene.claim(view)
    view = scene.settle(view.saga_id, Failed(GONE))
    assert view.state == "COMPENSATED"
    assert advance(view, scene.clock.now()).facts == ()
