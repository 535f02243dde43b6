"""Scheduled sagas against Postgres: each slot starts one, whoever looks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.saga_records import Because
from orchestration.adapters.schedules import SagaSchedule, Schedules
from orchestration.engine.scheduling import Scheduler
from orchestration.errors import InvalidSaga, PayloadTooLarge
from orchestration.saga import SagaStep, SagaTransaction
from tasks.chores import schedules
from tests.support.front import Effects, front_door, linear, step
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HOSTED = ("agent-effects/work", "agent-effects/unwork")
PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    with worker_side(database_url, redis_url, monkeypatch) as side:
        host(side)
        monkeypatch.setattr("tasks.chores.runtime", lambda _: side.rt)
        monkeypatch.setattr("tasks.chores.because_of", lambda _: Because())
        yield side


def host(side: WorkerSide) -> None:
    """Announce the agent of the tests' sagas."""
    said = [("action", name) for name in HOSTED]
    Announcements(side.rt.db).announce("worker@host", also=said)


def scheduler(side: WorkerSide) -> Scheduler:
    return Scheduler(Schedules(side.rt.db), side.rt.desk.door)


def add(
    side: WorkerSide,
    name: str = "nightly",
    transaction: SagaTransaction | None = None,
    **options: Any,
) -> SagaSchedule:
    data = options.pop("data", {})
    given = {"every_s": None, "cron": None, "first_at": None} | options
    return scheduler(side).add(name, transaction or linear(1), data, **given)


def only(side: WorkerSide) -> SagaSchedule:
    [schedule] = scheduler(side).schedules.listed()
    return schedule


def overdue(side: WorkerSide, **since: float) -> datetime:
    """Set every schedule's slot back; return it."""
    row = side.row(
        "UPDATE orch.schedule SET next_at = date_trunc('second', now()) - %s"
        " RETURNING next_at",
        timedelta(**since),
    )
    assert row is not None
    slot: datetime = row[0]
    return slot


def tick(side: WorkerSide) -> int:
    side.run("DELETE FROM orch.tick")
    return int(schedules.run())


def started(side: WorkerSide) -> set[str]:
    return {one.saga_id for one in side.rt.index.find()}


def test_a_slot_starts_one_saga_named_by_schedule_and_slot(side: WorkerSide) -> None:
    add(side, transaction=linear(1, search_attributes={"of": "x"}), every_s=3_600)
    assert tick(side) == 0
    slot = overdue(side, seconds=2)
    assert tick(side) == 1
    [saga] = side.rt.index.find()
    assert saga.saga_id == f"nightly-{int(slot.timestamp())}"
    assert (saga.name, saga.search_attributes) == ("linear", {"of": "x"})
    assert side.sent.steps == ["s1"]
    now = only(side)
    assert (now.last_saga_id, now.last_error) == (saga.saga_id, None)
    assert now.next_at == slot + timedelta(hours=1)
    assert tick(side) == 0


def test_of_slots_that_were_missed_the_last_is_made_up_for(side: WorkerSide) -> None:
    add(side, every_s=60)
    slot = overdue(side, minutes=10, seconds=30)
    tick(side)
    last = slot + timedelta(minutes=10)
    assert started(side) == {f"nightly-{int(last.timestamp())}"}
    assert only(side).next_at == last + timedelta(minutes=1)


def test_missed_slots_of_a_cron_expression_likewise(side: WorkerSide) -> None:
    add(side, cron="0 6 * * *")
    side.run("UPDATE orch.schedule SET next_at = '2025-01-01 06:00+00'")
    tick(side)
    [saga_id] = started(side)
    slot = datetime.fromtimestamp(int(saga_id.removeprefix("nightly-")), UTC)
    assert (slot.hour, slot.minute, slot.second) == (6, 0, 0)
    assert only(side).next_at == slot + timedelta(days=1)
    assert only(side).next_at > datetime.now(UTC)


def test_many_who_look_at_once_start_one_saga_per_slot(side: WorkerSide) -> None:
    add(side, every_s=3_600)
    overdue(side, seconds=2)
    one = scheduler(side)
    due = one.schedules.due(10)
    together = threading.Barrier(6)

    def look() -> None:
        together.wait()
        for schedule, now in due:
            one.run(schedule, now, Because())

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [saga_id] = started(side)
    assert side.types(saga_id) == ["SAGA_STARTED"]
    assert only(side).last_error is None


def test_who_dies_between_the_start_and_its_record_is_made_up_for(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(side, every_s=3_600)
    overdue(side, seconds=2)
    with monkeypatch.context() as dying:
        dying.setattr(Schedules, "move", lambda *_, **__: None)
        tick(side)
    tick(side)
    [saga_id] = started(side)
    assert only(side).last_saga_id == saga_id
    assert tick(side) == 0


def test_a_start_that_is_refused_is_told_and_tried_at_the_next_slot(
    side: WorkerSide,
) -> None:
    stranger = SagaTransaction("s", [SagaStep("x", "agent-nobody", read_only=True)])
    add(side, transaction=stranger, every_s=60)
    slot = overdue(side, seconds=2)
    tick(side)
    refused = only(side)
    assert (refused.last_saga_id, started(side)) == (None, set())
    assert "no worker hosts action 'x' of agent 'agent-nobody'" in str(
        refused.last_error
    )
    assert refused.next_at == slot + timedelta(seconds=60)
    assert tick(side) == 0
    said = [("action", "agent-nobody/x")]
    Announcements(side.rt.db).announce("another@host", also=said)
    overdue(side, seconds=2)
    tick(side)
    assert only(side).last_error is None
    assert started(side) == {only(side).last_saga_id}


def test_too_many_open_sagas_are_told_and_the_others_go_on(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_MAX_OPEN_SAGAS", "1")
    with worker_side(database_url, redis_url, monkeypatch) as side:
        host(side)
        side.begin()
        add(side, every_s=60)
        overdue(side, seconds=2)
        one = scheduler(side)
        for schedule, now in one.schedules.due(10):
            one.run(schedule, now, Because())
        assert "ORCHESTRATION_MAX_OPEN_SAGAS" in str(only(side).last_error)


def test_a_schedule_that_is_broken_does_not_keep_others_from_their_slots(
    side: WorkerSide,
) -> None:
    add(side, "good", every_s=60)
    add(side, "bad", every_s=60)
    add(side, "worse", every_s=60)
    side.run("UPDATE orch.schedule SET definition = '{}' WHERE name = 'bad'")
    side.run("UPDATE orch.schedule SET every_s = 0 WHERE name = 'worse'")
    overdue(side, seconds=2)
    assert tick(side) == 3
    assert [one.rpartition("-")[0] for one in started(side)] == ["good"]
    errors = {one.name: one.last_error for one in scheduler(side).schedules.listed()}
    assert "'name' is missing" in str(errors["bad"])


def test_adding_it_again_keeps_the_slot_and_takes_the_new_definition(
    side: WorkerSide,
) -> None:
    first = add(side, every_s=60)
    slot = overdue(side, seconds=2)
    again = add(side, transaction=linear(2), every_s=60, data={"a": 1})
    assert (again.next_at, again.initial_data) == (slot, {"a": 1})
    assert again.definition != first.definition
    assert len(scheduler(side).schedules.listed()) == 1


def test_other_times_are_counted_anew(side: WorkerSide) -> None:
    add(side, every_s=60)
    overdue(side, seconds=2)
    assert add(side, every_s=61).next_at > datetime.now(UTC)
    assert add(side, cron="0 0 1 1 *").next_at.month == 1
    assert add(side, cron="0 0 1 2 *").next_at.month == 2


def test_a_first_time_keeps_a_slot_that_is_counted_from_it(side: WorkerSide) -> None:
    add(side, every_s=60, first_at=PAST)
    side.run("UPDATE orch.schedule SET next_at = date_trunc('minute', now())")
    slot = only(side).next_at
    assert add(side, every_s=60, first_at=PAST).next_at == slot
    moved = add(side, every_s=60, first_at=PAST + timedelta(seconds=1)).next_at
    assert moved.second == 1
    assert moved > datetime.now(UTC)
    assert add(side, every_s=60, first_at=FUTURE).next_at == FUTURE


def test_an_error_is_forgotten_with_what_caused_it(side: WorkerSide) -> None:
    one = linear(1)
    add(side, transaction=one, every_s=60)
    side.run("UPDATE orch.schedule SET last_error = 'no'")
    assert add(side, transaction=one, every_s=60).last_error == "no"
    assert add(side, transaction=linear(2), every_s=60).last_error is None


def test_numbers_are_started_with_as_they_were_given(side: WorkerSide) -> None:
    add(side, every_s=60, data={"large": 1e16, "one": 1.0})
    overdue(side, seconds=2)
    tick(side)
    [saga_id] = started(side)
    assert side.rt.log.view(saga_id).initial_data == {"large": 1e16, "one": 1.0}


def test_a_removed_schedule_starts_nothing(side: WorkerSide) -> None:
    add(side, every_s=60)
    overdue(side, seconds=2)
    assert scheduler(side).schedules.remove("nightly")
    assert not scheduler(side).schedules.remove("nightly")
    assert tick(side) == 0


def test_every_fault_is_told_at_once_and_nothing_is_stored(side: WorkerSide) -> None:
    broken = SagaTransaction("broken", [step("a", "b")], locks=["of-{nobody}"])
    naive = datetime(2030, 1, 1)  # noqa: DTZ001
    with pytest.raises(InvalidSaga) as caught:
        add(side, "a name", broken, every_s=0.5, cron="* *", first_at=naive)
    faults = "\n".join(caught.value.faults)
    for said in (
        "schedule 'a name': name it",
        "give one of every_s and cron",
        "every_s is 0.5: give it 1 to 315360000 seconds",
        "cron '* *' has 2 fields",
        "give it a time with its zone",
        "depends on 'b', which is no step",
        "nobody",
    ):
        assert said in faults
    assert scheduler(side).schedules.listed() == ()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("", {"every_s": 60}),
        ("x" * 181, {"every_s": 60}),
        ("x/y", {"every_s": 60}),
        ("x", {}),
        ("x", {"every_s": float("nan")}),
        ("x", {"every_s": True}),
        ("x", {"every_s": 1e12}),
        ("x", {"cron": 5}),
        ("x", {"cron": "0 0 30 2 *"}),
        ("x", {"every_s": 60, "data": {"x": float("nan")}}),
    ],
)
def test_each_fault_alone_is_refused(
    side: WorkerSide, name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSaga):
        add(side, name, **options)
    assert scheduler(side).schedules.listed() == ()


def test_too_large_a_payload_is_refused_when_it_is_scheduled(side: WorkerSide) -> None:
    with pytest.raises(PayloadTooLarge):
        add(side, every_s=60, data={"blob": "x" * 300_000})
    assert scheduler(side).schedules.listed() == ()


@pytest.mark.slow
def test_two_beats_and_two_chores_workers_start_one_saga_per_slot(
    stack: Stack, tmp_path: Path
) -> None:
    effects = Effects(tmp_path / "effects")
    stack.env["EFFECTS_FILE"] = str(effects.path)
    parts = [
        stack.worker("-I", "tests.support.effects_agents", "-c", "1", wait=False),
        stack.chores(wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()
    with front_door(stack.env) as front:
        asyncio.run(front.saga.schedule("often", linear(1), every_s=2))
        [schedule] = asyncio.run(front.saga.schedules())
        anchor = int(schedule.next_at.timestamp())
        wait_until(lambda: len(front.client.find()) >= 4, "four slots have passed")
        assert asyncio.run(front.saga.unschedule("often"))
        ids = sorted(one.saga_id for one in front.client.find())
        seconds = [int(saga_id.removeprefix("often-")) for saga_id in ids]
        assert all((at - anchor) % 2 == 0 for at in seconds)
        assert len({*seconds}) == len(seconds)
        for saga_id in ids:
            assert front.wait(saga_id).state == "COMPLETED"
            assert effects.lines(saga_id, "do") == ["s1"]
            assert front.types(saga_id).count("SAGA_STARTED") == 1
        assert asyncio.run(front.saga.schedules()) == ()
