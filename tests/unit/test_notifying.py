"""Words to somebody outside: when they are told, told again, and given up."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestration.adapters.receivers import Problem
from orchestration.adapters.saga_index import Notice
from orchestration.engine.notifying import Notifier

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AWAY = Problem("https://hooks.example does not answer (TimeoutError)", is_away=True)
REFUSED = Problem("https://hooks.example answered 500")


def notice(number: int, *, age: timedelta = timedelta()) -> Notice:
    return Notice(
        notice_id=number,
        saga_id=f"saga-{number}",
        name="order",
        state="PAUSED",
        version=7,
        recorded_at=NOW - age,
        error=None,
        tries=1,
    )


@dataclass
class Table:
    """The words that wait, each handed out once."""

    due: list[Notice]
    dropped: list[int] = field(default_factory=list)
    put_off: list[int] = field(default_factory=list)

    def due_notices(self, limit: int) -> tuple[Notice, ...]:
        taken, self.due = self.due[:limit], self.due[limit:]
        return tuple(taken)

    def put_off_notices(self, failed: Notice) -> None:
        self.put_off.append(failed.notice_id)

    def drop_notice(self, given: Notice) -> None:
        self.dropped.append(given.notice_id)


@dataclass
class Somebody:
    """A receiver that answers as it is told; each answer takes its time."""

    clock: Clock
    answers: list[Problem | None] = field(default_factory=list)
    takes: timedelta = timedelta()
    heard: list[int] = field(default_factory=list)

    def tell(self, given: Notice) -> Problem | None:
        self.heard.append(given.notice_id)
        self.clock.time += self.takes
        return self.answers.pop(0) if self.answers else None


@dataclass
class Clock:
    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


def deliver(table: Table, *receivers: Somebody, clock: Clock) -> int:
    return Notifier(table, receivers, clock).deliver(10)


def test_what_is_due_is_told_in_order_and_dropped() -> None:
    clock, table = Clock(), Table([notice(1), notice(2)])
    somebody = Somebody(clock)
    assert deliver(table, somebody, clock=clock) == 2
    assert somebody.heard == table.dropped == [1, 2]


def test_one_that_is_refused_waits_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, table = Clock(), Table([notice(1), notice(2)])
    somebody = Somebody(clock, [REFUSED])
    assert deliver(table, somebody, clock=clock) == 1
    assert (table.dropped, table.put_off) == ([2], [])
    assert "saga saga-1 is PAUSED: https://hooks.example answered 500" in caplog.text


def test_where_nobody_answers_all_of_them_wait() -> None:
    clock, table = Clock(), Table([notice(1), notice(2)])
    somebody = Somebody(clock, [AWAY])
    assert deliver(table, somebody, clock=clock) == 0
    assert (somebody.heard, table.put_off, table.dropped) == ([1], [1], [])


def test_after_a_day_it_is_logged_and_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old, young = timedelta(days=1), timedelta(hours=23, minutes=59)
    clock, table = Clock(), Table([notice(1, age=old), notice(2, age=young)])
    somebody = Somebody(clock, [REFUSED, REFUSED])
    assert deliver(table, somebody, clock=clock) == 0
    assert table.dropped == [1]
    [lost] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert lost.getMessage().startswith("nobody could be told that saga saga-1")


def test_an_old_one_that_is_taken_at_last_was_delivered() -> None:
    clock, table = Clock(), Table([notice(1, age=timedelta(days=3))])
    assert deliver(table, Somebody(clock), clock=clock) == 1


def test_one_receiver_of_two_that_fails_has_both_told_again() -> None:
    clock, table = Clock(), Table([notice(1), replace(notice(1), tries=2)])
    one, two = Somebody(clock), Somebody(clock, [REFUSED])
    assert deliver(table, one, two, clock=clock) == 1
    assert (one.heard, two.heard, table.dropped) == ([1, 1], [1, 1], [1])


def test_a_slow_receiver_does_not_keep_the_chores_from_other_work() -> None:
    clock, table = Clock(), Table([notice(1), notice(2), notice(3)])
    somebody = Somebody(clock, takes=timedelta(seconds=3))
    assert deliver(table, somebody, clock=clock) == 2
    assert [one.notice_id for one in table.due] == [3]


def test_the_same_word_reads_the_same_each_time() -> None:
    again = replace(notice(1), tries=9, error={"type": "X", "message": "x"})
    assert again.to_json() == {
        "saga_id": "saga-1",
        "name": "order",
        "state": "PAUSED",
        "version": 7,
        "recorded_at": "2026-01-02T03:04:05+00:00",
        "error": {"type": "X", "message": "x"},
    }
