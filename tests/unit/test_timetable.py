"""When schedules have slots: by periods, and by cron as Celery reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.adapters.timetable import Cron, Every, cron_fault, timetable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
CRONS = ("* * * * *", "*/7 * * * *", "0 6 * * mon-fri", "30 4 1,15 * *", "0 0 29 2 *")

moments = st.integers(1_700_000_000_000_000, 1_900_000_000_000_000)
times = moments.map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))
periods = st.floats(1, 10_000_000)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_period_is_counted_from_now_or_from_the_time_given() -> None:
    every = Every(60)
    assert every.first(NOW, None) == NOW + timedelta(seconds=60)
    later = NOW + timedelta(days=3)
    assert every.first(NOW, later) == later
    assert every.first(NOW, at("2025-12-31T00:00:30")) == at("2026-01-02T03:04:30")
    assert every.first(NOW, NOW) == NOW


def test_a_cron_expression_is_read_in_utc() -> None:
    six = Cron("0 6 * * *")
    assert six.first(NOW, None) == at("2026-01-02T06:00")
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert six.first(tokyo, None) == at("2026-01-02T06:00")
    assert six.after(at("2026-01-02T06:00")) == at("2026-01-03T06:00")


def test_a_cron_slot_at_the_first_time_given_counts() -> None:
    six = Cron("0 6 * * *")
    assert six.first(NOW, at("2026-02-01T06:00")) == at("2026-02-01T06:00")
    assert six.first(NOW, at("2026-02-01T06:01")) == at("2026-02-02T06:00")
    assert six.first(NOW, at("2020-02-01T06:00")) == at("2026-01-02T06:00")


def test_day_of_month_and_day_of_week_must_both_fit() -> None:
    assert Cron("0 0 13 * fri").first(NOW, None) == at("2026-02-13")


def test_of_many_slots_that_passed_the_last_is_told() -> None:
    slot = at("2025-01-01T06:00")
    assert Cron("0 6 * * *").latest(slot, NOW) == at("2026-01-01T06:00")
    assert Cron("* * * * *").latest(slot, NOW) == at("2026-01-02T03:04")
    assert Every(86_400).latest(slot, NOW) == at("2026-01-01T06:00")


@given(times, st.timedeltas(timedelta(0), timedelta(days=900)), st.sampled_from(CRONS))
def test_the_last_cron_slot_is_a_slot_and_the_next_is_to_come(
    start: datetime, passed: timedelta, cron: str
) -> None:
    times = Cron(cron)
    slot = times.after(start)
    now = slot + passed
    last = times.latest(slot, now)
    assert slot <= last <= now < times.after(last)
    assert times.after(last - timedelta(minutes=1)) == last


@given(times, st.timedeltas(timedelta(0), timedelta(days=900)), periods)
def test_the_last_slot_of_a_period_is_on_its_grid_and_the_next_is_to_come(
    slot: datetime, passed: timedelta, every_s: float
) -> None:
    times, now = Every(every_s), slot + passed
    last = times.latest(slot, now)
    assert slot <= last <= now < times.after(last)
    assert (last - slot) % timedelta(seconds=every_s) == timedelta()


@given(times, times, periods)
def test_the_first_slot_is_never_past(
    now: datetime, first_at: datetime, every_s: float
) -> None:
    first = Every(every_s).first(now, first_at)
    assert max(now, first_at) <= first
    assert first < max(now, first_at) + timedelta(seconds=every_s)


@pytest.mark.parametrize("cron", CRONS)
def test_spaces_between_fields_do_not_matter(cron: str) -> None:
    assert cron_fault(f"  {cron.replace(' ', '   ')} ") is None
    spaced = Cron(cron.replace(" ", "  "))
    assert spaced.after(NOW) == Cron(cron).after(NOW)


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("", "has 0 fields: give it minute, hour, day of month, month and day of week"),
        ("@daily", "has 1 fields"),
        ("* * * * * *", "has 6 fields"),
        ("60 * * * *", "60 > 59"),
        ("* 24 * * *", "24 > 23"),
        ("* * 0 * *", "0 < 1"),
        ("*/x * * * *", "x"),
        ("1,,2 * * * *", "empty part"),
        ("0 0 30 2 *", "never occurs"),
        ("* * * * someday", "someday"),
    ],
)
def test_what_celery_cannot_read_is_a_fault(cron: str, says: str) -> None:
    fault = cron_fault(cron)
    assert fault is not None
    assert fault.startswith(f"cron {cron!r}")
    assert says in fault


def test_one_of_the_two_makes_the_timetable() -> None:
    assert timetable(5, None) == Every(5)
    assert timetable(None, "* * * * *") == Cron("* * * * *")
