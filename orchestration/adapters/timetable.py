"""At which times a schedule starts sagas: every so many seconds, or like cron.

A time at which it does is a slot. Slots are told in UTC, and a cron expression is
read by Celery: ``0 6 * * mon-fri`` is minute, hour, day of month, month, day of week,
and all of them must fit.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Protocol

from celery import Celery
from celery.schedules import ParseException, crontab

__all__ = ["Cron", "Every", "Timetable", "cron_fault", "timetable"]

_FIELDS = 5
_MINUTE = timedelta(minutes=1)
_INSTANT = timedelta(microseconds=1)


class Timetable(Protocol):
    """Tells slots."""

    def first(self, now: datetime, first_at: datetime | None) -> datetime:
        """Return the first slot of a schedule that begins now, or later."""

    def after(self, slot: datetime) -> datetime:
        """Return the slot after this one."""

    def latest(self, slot: datetime, now: datetime) -> datetime:
        """Return the last slot that has come, given one that has."""


@dataclass(frozen=True, slots=True)
class Every:
    """A slot every so many seconds."""

    every_s: float

    @property
    def _period(self) -> timedelta:
        return timedelta(seconds=self.every_s)

    def first(self, now: datetime, first_at: datetime | None) -> datetime:
        """Return ``first_at``, or the first slot to come if it is counted from there.

        Without it the first slot is one period from now.
        """
        if first_at is None:
            return now + self._period
        passed = max(0, -((first_at - now) // self._period))
        return first_at + passed * self._period

    def after(self, slot: datetime) -> datetime:
        """Return the slot after this one."""
        return slot + self._period

    def latest(self, slot: datetime, now: datetime) -> datetime:
        """Return the last slot that has come, given one that has."""
        return slot + (now - slot) // self._period * self._period


@dataclass(frozen=True, slots=True)
class Cron:
    """A slot at every minute that fits a cron expression."""

    cron: str

    def first(self, now: datetime, first_at: datetime | None) -> datetime:
        """Return the first slot to come, not before ``first_at``."""
        if first_at is None or first_at <= now:
            return self.after(now)
        return self.after(first_at - _INSTANT)

    def after(self, slot: datetime) -> datetime:
        """Return the slot after this time, be it a slot or not."""
        start, wait, _ = _crontab(self.cron).remaining_delta(
            slot.astimezone(UTC), tz=UTC
        )
        following: datetime = start + wait
        return following

    def latest(self, slot: datetime, now: datetime) -> datetime:
        """Return the last slot that has come, given one that has.

        Celery tells the next slot only: the last minute is sought whose next one has
        come.
        """
        minutes = range((now - slot) // _MINUTE + 1)
        passed = bisect_right(
            minutes, now, key=lambda minute: self.after(slot + minute * _MINUTE)
        )
        return self.after(slot + (passed - 1) * _MINUTE) if passed else slot


def timetable(every_s: float | None, cron: str | None) -> Timetable:
    """Return the timetable that one of the two tells of."""
    return Cron(cron or "") if every_s is None else Every(every_s)


def cron_fault(cron: str) -> str | None:
    """Return why Celery cannot read a cron expression; None if it can."""
    if (count := len(cron.split())) != _FIELDS:
        return (
            f"cron {cron!r} has {count} fields: give it minute, hour, day of month, "
            "month and day of week"
        )
    try:
        _crontab(cron)
    except (ValueError, ParseException) as exc:
        return f"cron {cron!r}: {exc}"
    return None


@cache
def _utc() -> Celery:
    """Return an app in whose time zone cron expressions are read."""
    app = Celery("schedules", set_as_current=False)
    app.conf.update(enable_utc=True, timezone="UTC")
    return app


def _crontab(cron: str) -> crontab:
    found = crontab.from_string(" ".join(cron.split()))
    found.app = _utc()
    return found
