"""Sagas that start by themselves: schedules, their slots, and what is started then."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from orchestration.adapters.saga_records import Because, Start
from orchestration.adapters.schedules import SagaSchedule, Schedules
from orchestration.adapters.timetable import cron_fault, timetable
from orchestration.core.saga.model import SagaTransaction
from orchestration.core.saga.step_checks import NAME
from orchestration.engine.starting import SagaDoor
from orchestration.errors import InvalidSaga, OrchestrationError, TransportError

__all__ = ["Scheduler"]

# A saga's id has at most 200 characters, and a slot's seconds are part of it.
_MAX_NAME: Final = 180
_MAX_EVERY_S: Final = 315_360_000  # ten years


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Keeps schedules and starts what is due.

    Every slot starts one saga, whoever looks: its id is made of the schedule's name
    and the slot, and one id starts once. Slots that passed while nobody looked are
    made up for by one saga, that of the last of them.
    """

    schedules: Schedules
    door: SagaDoor

    def add(
        self,
        name: str,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any],
        *,
        every_s: float | None,
        cron: str | None,
        first_at: datetime | None,
    ) -> SagaSchedule:
        """Keep a schedule, or replace that of its name; return it.

        Raises:
            InvalidSaga: Name, times or definition have faults; all are named.
            PayloadTooLarge: Definition and data are over the limit.
        """
        start = Start(transaction=transaction, initial_data=dict(initial_data))
        faults = [
            *_about_name(name),
            *_about_times(every_s, cron, first_at),
            *self.door.faults(start),
        ]
        if faults:
            raise InvalidSaga(str(transaction.name), faults)
        self.door.check_size(start)
        definition = transaction.to_json()
        if transaction.search_attributes:
            definition["search_attributes"] = dict(transaction.search_attributes)
        next_at = timetable(every_s, cron).first(self.schedules.now(), first_at)
        schedule = SagaSchedule(
            name=name,
            definition=definition,
            initial_data=start.initial_data,
            every_s=every_s,
            cron=cron,
            next_at=next_at,
        )
        return self.schedules.save(schedule, first_at)

    def run(self, schedule: SagaSchedule, now: datetime, because: Because) -> str:
        """Start the saga of the last slot that has come; return its id.

        A start that is refused is put down, and tried again at the next slot.

        Args:
            schedule: One that is due.
            now: The database's clock.
            because: The task that looks.

        Raises:
            TransportError: The database went away: the slot is still to come.
        """
        times = timetable(schedule.every_s, schedule.cron)
        slot = times.latest(schedule.next_at, now)
        saga_id = f"{schedule.name}-{int(slot.timestamp())}"
        problem = self._start(schedule, saga_id, because)
        self.schedules.move(
            schedule,
            times.after(slot),
            saga_id=None if problem else saga_id,
            error=problem,
        )
        return saga_id

    def _start(
        self, schedule: SagaSchedule, saga_id: str, because: Because
    ) -> str | None:
        """Start a saga, or find it started; return why that is refused, if so."""
        try:
            transaction = SagaTransaction.from_json(
                schedule.definition, transaction_id=saga_id
            )
            start = Start(transaction=transaction, initial_data=schedule.initial_data)
            self.door.begin(start, because)
        except TransportError:
            raise
        except (OrchestrationError, TypeError, ValueError) as exc:
            return str(exc)
        return None


def _about_name(name: object) -> Iterator[str]:
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > _MAX_NAME:
        yield (
            f"schedule {reprlib.repr(name)}: name it with 1 to {_MAX_NAME} letters, "
            "digits, '_' and '-'"
        )


def _about_times(every_s: object, cron: object, first_at: object) -> Iterator[str]:
    if (every_s is None) is (cron is None):
        yield "give one of every_s and cron: it says when"
    if every_s is not None and not _is_period(every_s):
        yield f"every_s is {every_s!r}: give it 1 to {_MAX_EVERY_S} seconds"
    if cron is not None and not isinstance(cron, str):
        yield f"cron is {cron!r}: give it text, as '0 6 * * mon-fri'"
    elif cron is not None and (fault := cron_fault(cron)):
        yield fault
    if first_at is not None and (
        not isinstance(first_at, datetime) or first_at.utcoffset() is None
    ):
        yield (
            f"first_at is {first_at!r}: give it a time with its zone, as "
            f"{datetime(2030, 1, 31, 6, tzinfo=UTC)!r}"
        )


def _is_period(every_s: object) -> bool:
    return (
        isinstance(every_s, int | float)
        and not isinstance(every_s, bool)
        and math.isfinite(every_s)
        and 1 <= every_s <= _MAX_EVERY_S
    )
