"""What goes wrong in a world by chance: messages, workers, answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

from orchestration.adapters.saga_records import Answer, Because, Record, Start
from orchestration.core.saga.view import SagaView
from orchestration.testing.log import MemoryLog

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Chance", "ForgetfulLog", "Mishaps", "WorkerKilled"]

_LONGEST: Final = timedelta(minutes=2)


class WorkerKilled(BaseException):
    """Raised in an action, its worker dies there, unheard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishaps:
    """How likely each mishap is, 0.0 to 1.0.

    Attributes:
        lose: A message is lost.
        repeat: A message comes twice, the second time up to two minutes later.
        delay: A message takes up to two minutes.
        die: A worker dies in an action, before or after its effect.
        freeze: A worker stands still for up to two minutes, before or after the
            effect, and then goes on as if nothing had been.
        forget: An answer of the log is lost, so that it is asked again.
    """

    lose: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    die: float = 0.0
    freeze: float = 0.0
    forget: float = 0.0


@dataclass(frozen=True, slots=True)
class Chance:
    """Draws what happens; without a generator all goes well, and in order."""

    random: Random | None = None
    mishaps: Mishaps = field(default_factory=Mishaps)

    def happens(self, likelihood: float) -> bool:
        """Whether something so likely happens this time."""
        return self.random is not None and self.random.random() < likelihood

    def wait(self) -> timedelta:
        """Return how long something takes that is late."""
        return _LONGEST * (self.random.random() if self.random else 0.0)

    def pick(self, count: int) -> int:
        """Return which of so many comes first."""
        return self.random.randrange(count) if self.random else 0


@dataclass(frozen=True, slots=True)
class ForgetfulLog(MemoryLog):
    """A log whose answers may be lost: it is asked again, as ``Database`` does."""

    chance: Chance = field(default_factory=Chance)

    def begin(
        self, start: Start, because: Because, *, connection: Connection | None = None
    ) -> SagaView | None:
        """Begin a saga; None if it has begun, be it by this call's first try."""
        view = MemoryLog.begin(self, start, because, connection=connection)
        if connection is None and self.chance.happens(self.chance.mishaps.forget):
            view = MemoryLog.begin(self, start, because)
        return view

    def record(
        self, record: Record, because: Because, *, connection: Connection | None = None
    ) -> Answer:
        """Append a decision; a conflict may be with this call's first try."""
        answer = MemoryLog.record(self, record, because, connection=connection)
        if connection is None and self.chance.happens(self.chance.mishaps.forget):
            answer = MemoryLog.record(self, record, because)
        return answer
