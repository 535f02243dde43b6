"""What moves in a world: messages, workers, the sweep and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from orchestration.adapters.saga_records import Because
from orchestration.core.saga.events import NewFact
from orchestration.core.saga.view import SagaView
from orchestration.engine.acting import SagaDesk
from orchestration.engine.attending import Attendant
from orchestration.engine.letters import letters_by_saga, try_again
from orchestration.engine.recording import Recorder, Rules
from orchestration.engine.starting import SagaDoor
from orchestration.engine.watching import Sweeper
from orchestration.testing.agency import Agency
from orchestration.testing.clock import FakeClock
from orchestration.testing.idleness import looks_at, moves_by_itself
from orchestration.testing.log import MemoryLog
from orchestration.testing.messages import MemoryQueue
from orchestration.testing.mishaps import Chance
from orchestration.testing.watch import MemoryIndex, MemoryWatch
from orchestration.testing.workers import MemoryWorkers

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Machine"]

_PROCESSES: Final = 2
_MAX_PAYLOAD_BYTES: Final = 262_144
_PER_SWEEP: Final = 200
_MAX_MOVES: Final = 50_000
# How likely it is, where a chance draws, that a moment passes or the sweep comes.
_A_MOMENT: Final = 0.05
_A_SWEEP: Final = 0.2
_MOMENTS_MS: Final = (1, 300, 2_000)
_AFTER: Final = timedelta(microseconds=1)  # a lease has run out when its time is over


class _Nobody:
    """Who would count, or hear of a saga's end."""

    def tell(self, saga_id: str) -> None:
        """Tell nobody."""

    def observe(self, facts: Iterable[NewFact], view: SagaView) -> None:
        """Count nothing."""


@dataclass(slots=True, kw_only=True)
class Machine:
    """Does one thing after the other, in the order that a chance draws."""

    log: MemoryLog
    watch: MemoryWatch
    index: MemoryIndex
    clock: FakeClock
    chance: Chance
    queue: MemoryQueue
    workers: MemoryWorkers
    sweeper: Sweeper
    desk: SagaDesk

    @classmethod
    def of(
        cls,
        agency: Agency,
        log: MemoryLog,
        watch: MemoryWatch,
        index: MemoryIndex,
        chance: Chance,
        *,
        rules: Rules,
        connect: Callable[[], Connection] | None = None,
    ) -> Machine:
        """Put the engine together on a log in memory."""
        clock = log.tables.clock
        queue, nobody = MemoryQueue(clock, chance), _Nobody()
        recorders = tuple(
            Recorder(
                log=log,
                sender=queue,
                clock=clock,
                ends=nobody,
                metrics=nobody,
                rules=rules,
            )
            for _ in range(_PROCESSES)
        )
        door = SagaDoor(recorders[0], agency, _MAX_PAYLOAD_BYTES)
        desk = SagaDesk(recorders[0], door)
        workers = MemoryWorkers(
            recorders=recorders,
            attendant=Attendant(desk, chooser=agency),
            watch=watch,
            queue=queue,
            clock=clock,
            chance=chance,
            agency=agency,
            max_payload_bytes=_MAX_PAYLOAD_BYTES,
            connect=connect,
        )
        return cls(
            log=log,
            watch=watch,
            index=index,
            clock=clock,
            chance=chance,
            queue=queue,
            workers=workers,
            sweeper=Sweeper(recorders[0], watch),
            desk=desk,
        )

    def run_until_idle(self) -> None:
        """Let happen whatever happens by itself, however long it takes.

        Raises:
            RuntimeError: A saga stands still and nobody will look at it, or there is
                no end to what happens.
        """
        for _ in range(_MAX_MOVES):
            if self.move():
                continue
            at = min(self._times(), default=None)
            if at is None:
                self._refuse_forgotten()
                return
            self._move_to(at)
        raise RuntimeError(self._no_end())

    def advance(self, by: timedelta) -> None:
        """Let so much time pass, and happen what happens in it.

        Raises:
            RuntimeError: As ``run_until_idle`` does.
        """
        until = self.clock.now() + by
        for _ in range(_MAX_MOVES):
            if self.move():
                continue
            at = min(self._times(with_ends=True), default=None)
            if at is None:
                self._refuse_forgotten()
            if at is None or at > until:
                self._move_to(until)
                return
            self._move_to(at)
        raise RuntimeError(self._no_end())

    def move(self) -> bool:
        """Do something that can be done now; False if there is nothing."""
        self._let_a_moment_pass()
        attempts = [a for a in self.workers.attempts if a.thaws_at is None]
        has_message = self.queue.has_ripe()
        if not attempts and not has_message:
            return False
        at = self.chance.pick(len(attempts) + has_message)
        if at == len(attempts):
            self.workers.deliver(self.queue.take())
        elif attempts[at].ended is None:
            self.workers.perform(attempts[at])
        else:
            self.workers.close(attempts[at])
        return True

    def _let_a_moment_pass(self) -> None:
        """Let time pass, and the sweep come, while others are at work."""
        random = self.chance.random
        if random is None:
            return
        is_busy = self.workers.attempts or self.queue.has_ripe()
        if is_busy and self.chance.happens(_A_MOMENT):
            self.clock.advance(milliseconds=random.choice(_MOMENTS_MS))
        if is_busy and self.chance.happens(_A_SWEEP):
            self.sweep()

    def sweep(self) -> None:
        """Do what beat has workers do each second."""
        self.workers.thaw()
        self.workers.renew()
        because = Because(actor="the sweep")
        lease_s = self.sweeper.recorder.rules.lease_s
        for lease in self.watch.expired(_PER_SWEEP, lease_s):
            self.sweeper.expire(lease, because)
        for saga_id, is_unsent in self.watch.claim_due(_PER_SWEEP):
            self.sweeper.look(saga_id, because, is_unsent=is_unsent)
        for due in letters_by_saga(self.index.due_letters(_PER_SWEEP)).values():
            try_again(self.desk, due)

    def _move_to(self, at: datetime) -> None:
        self.clock.move_to(at)
        self.sweep()

    def _times(self, *, with_ends: bool = False) -> Iterator[datetime]:
        """Yield when something will happen.

        Args:
            with_ends: Also when the time is over of what only waits, and when failed
                undos are tried again.
        """
        now = self.clock.now()
        yield from (message.not_before for message in self.queue.messages)
        attempts = self.workers.attempts
        yield from (a.thaws_at for a in attempts if a.thaws_at is not None)
        awake = {a.claimed.lease.owner for a in attempts if a.thaws_at is None}
        for lease in self.log.tables.leases.values():
            is_renewed = lease.owner in awake
            yield (lease.hard_until if is_renewed else lease.until) + _AFTER
        for saga_id, row in self.log.tables.open.items():
            view = self.log.view(saga_id)
            if with_ends:
                at = looks_at(self.log, view, row.check_at, now)
            else:
                at = row.check_at if moves_by_itself(self.log, view, now) else None
            if at is not None:
                yield at
        if with_ends:
            for letter in self.log.tables.letters.values():
                if letter.next_try_at is not None:
                    yield letter.next_try_at

    def _refuse_forgotten(self) -> None:
        """Make sure that no saga stands still that could go on."""
        now = self.clock.now()
        for saga_id in self.log.tables.open:
            view = self.log.view(saga_id)
            if moves_by_itself(self.log, view, now):
                raise RuntimeError(
                    f"saga {saga_id} is {view.state} and could go on, but nobody "
                    "looks at it any more"
                )

    def _no_end(self) -> str:
        states = {s: str(row.state) for s, row in self.log.tables.open.items()}
        return f"{_MAX_MOVES:,} moves and no end; open sagas: {states}"
