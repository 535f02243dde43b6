"""Sagas in the memory of one process: the whole engine, without servers.

    world = SagaWorld([stock, bank])
    status = world.run(order, {"euros": 30})
    assert status.state == "COMPLETED"

All that is decided is decided by the code that workers run. What differs is what it
stands on: events in memory, messages in a list, and a clock that skips time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from orchestration.adapters.saga_records import Because, Start
from orchestration.agents import Action, Agent
from orchestration.core.saga.acts import Who
from orchestration.core.saga.events import SagaEvent
from orchestration.core.saga.execution import SagaExecution, execution_of
from orchestration.core.saga.model import SagaTransaction
from orchestration.engine.acting import SagaDesk
from orchestration.engine.recording import Rules
from orchestration.errors import SagaNotFound
from orchestration.testing.agency import Agency
from orchestration.testing.clock import FakeClock
from orchestration.testing.faults import Fault, with_faults
from orchestration.testing.machine import Machine
from orchestration.testing.mishaps import Chance, ForgetfulLog, Mishaps
from orchestration.testing.tables import Tables
from orchestration.testing.watch import MemoryIndex, MemoryWatch

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["SagaWorld"]


class SagaWorld:
    """Agents, and the sagas that they are part of.

    Not for several threads. Nothing has to be closed.

    Args:
        agents: Those that the workers host; None: all that this process has defined.
        tasks: What stands in for Celery tasks that steps name as ``celery:...``, by
            the task's name.
        faults: What goes wrong on purpose, in every saga that has these steps.
        mishaps: What goes wrong by chance; needs a ``seed``.
        seed: Of the order in which things happen, with several of them under way at
            once; None: one after the other, in the order in which they were sent.
        clock: The time; None: a new clock.
        connect: Opens the database connection that ``context.connection`` gives to
            actions, such as ``engine.connect``.
        rules: Lengths of leases, and how often failed undos are tried again.
    """

    def __init__(
        self,
        agents: Iterable[Agent] | None = None,
        *,
        tasks: Mapping[str, Action] | None = None,
        faults: Iterable[Fault] = (),
        mishaps: Mishaps | None = None,
        seed: int | None = None,
        clock: FakeClock | None = None,
        connect: Callable[[], Connection] | None = None,
        rules: Rules | None = None,
    ) -> None:
        if mishaps is not None and seed is None:
            raise ValueError("mishaps are drawn by chance: give SagaWorld a seed")
        random = None if seed is None else Random(seed)  # noqa: S311  order, no secret
        chance = Chance(random, mishaps or Mishaps())
        tables = Tables(clock or FakeClock())
        self.machine = Machine.of(
            Agency.of(agents, tasks or {}),
            ForgetfulLog(tables, chance),
            MemoryWatch(tables),
            MemoryIndex(tables),
            chance,
            rules=rules or Rules(),
            connect=connect,
        )
        self._faults = tuple(faults)

    @property
    def clock(self) -> FakeClock:
        """The time; an action that advances it has taken so long."""
        return self.machine.clock

    @property
    def desk(self) -> SagaDesk:
        """Where sagas are paused, resumed, cancelled, retried, resolved, forked."""
        return self.machine.desk

    @property
    def index(self) -> MemoryIndex:
        """Where sagas are found, and dead letters and notices of them."""
        return self.machine.index

    def start(
        self, transaction: SagaTransaction, data: Mapping[str, Any] | None = None
    ) -> str:
        """Begin a saga; return its id. Nothing of it happens yet.

        Raises:
            InvalidSaga: The definition has faults; all are named.
            UnknownAgent: An agent or action of it is not hosted here.
            PayloadTooLarge: Definition and data are over the limit.
            SagaConflict: The id is taken by another saga.
        """
        faults = [f for f in self._faults if _is_of(transaction, f)]
        begun = with_faults(transaction, faults)
        start = Start(transaction=begun, initial_data=data or {})
        self.desk.door.begin(start, Because())
        return transaction.transaction_id

    def run(
        self, transaction: SagaTransaction, data: Mapping[str, Any] | None = None
    ) -> SagaExecution:
        """Begin a saga and let happen what happens; return its status then.

        It is over, or it waits for a signal, a lock or an operator.
        """
        saga_id = self.start(transaction, data)
        self.run_until_idle()
        return self.status(saga_id)

    def run_until_idle(self) -> None:
        """Let happen whatever happens by itself, in any saga, however long it takes.

        Retries come when they are due, whatever the wait. The time does not run out
        for what waits for somebody outside: for that, ``advance`` the clock.

        Raises:
            RuntimeError: There is no end to what happens.
        """
        self.machine.run_until_idle()

    def advance(self, by: timedelta = timedelta(), **more: float) -> None:
        """Let so much time pass, and happen what happens in it.

        Args:
            by: How much.
            more: Beside it, as ``timedelta`` takes it: ``days=30``, ``seconds=5``.
        """
        self.machine.advance(by + timedelta(**more))

    def signal(
        self,
        saga_id: str,
        name: str,
        data: object = None,
        *,
        signal_id: str | None = None,
        by: str = "test",
    ) -> None:
        """Send a signal to a saga; the same ``signal_id`` counts once.

        Raises:
            SagaNotFound: There is no such saga.
            SagaActRefused: No step of it waits for such a signal, or will.
        """
        told = {"name": name, "data": data, "signal_id": signal_id}
        self.desk.signal(saga_id, Who(by), **told)  # type: ignore[arg-type]

    def status(self, saga_id: str) -> SagaExecution:
        """Return how a saga stands.

        Raises:
            SagaNotFound: There is no such saga.
        """
        log = self.machine.log
        return execution_of(log.view(saga_id), log.waiting_for(saga_id))

    def history(self, saga_id: str) -> tuple[SagaEvent, ...]:
        """Return all that happened in a saga, oldest first.

        Raises:
            SagaNotFound: There is no such saga.
        """
        events = self.machine.log.read(saga_id).events
        if not events:
            raise SagaNotFound(f"there is no saga {saga_id}", saga_id)
        return events


def _is_of(transaction: SagaTransaction, fault: Fault) -> bool:
    first = fault.step.partition("/")[0]
    return any(step.name == first for step in transaction.steps)
