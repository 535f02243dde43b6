"""Where a prover runs its sagas: in memory, or on workers that are running."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

from orchestration.agents import Action, Agent
from orchestration.core.saga.model import (
    Direction,
    SagaState,
    SagaStep,
    SagaTransaction,
)
from orchestration.engine.recording import Rules
from orchestration.errors import SagaActRefused, SagaStillRunning
from orchestration.saga_client import SagaClient
from orchestration.testing.clock import FakeClock
from orchestration.testing.faults import Fault, FaultKind, with_faults
from orchestration.testing.runs import Run, collected
from orchestration.testing.world import SagaWorld

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["InMemory", "OnWorkers", "Stage"]

_LOOK_EVERY_S: Final = 0.05
_MOST_ACTS: Final = 100


class Stage(Protocol):
    """Runs sagas, one after the other."""

    def run(
        self,
        transaction: SagaTransaction,
        data: Mapping[str, Any],
        *,
        faults: Sequence[Fault] = (),
        signals: Mapping[str, object] | None = None,
    ) -> Run:
        """Run a saga as far as it goes by itself, under an id of the stage's choice.

        Args:
            transaction: The saga.
            data: Its input.
            faults: What goes wrong in it.
            signals: Data of the signals that it is sent at its beginning, by name.
        """

    def leave(self, run: Run) -> None:
        """See to it that nothing comes of a saga any more, now that it is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemory:
    """Runs each saga in a ``SagaWorld`` of its own; see there.

    Attributes:
        agents: Those that the workers host; None: all that this process has defined.
        tasks: What stands in for Celery tasks, by the task's name.
        clock: The time, which goes on from run to run.
        connect: Opens the database connection that actions may ask for.
        rules: Lengths of leases, and how often failed undos are tried again.
    """

    agents: Sequence[Agent] | None = None
    tasks: Mapping[str, Action] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    connect: Callable[[], Connection] | None = None
    rules: Rules = field(default_factory=Rules)

    def run(
        self,
        transaction: SagaTransaction,
        data: Mapping[str, Any],
        *,
        faults: Sequence[Fault] = (),
        signals: Mapping[str, object] | None = None,
    ) -> Run:
        """Run a saga until nothing happens by itself any more."""
        world = SagaWorld(
            self.agents,
            tasks=self.tasks,
            clock=self.clock,
            connect=self.connect,
            rules=self.rules,
        )
        saga_id = world.start(with_faults(transaction, faults), data)
        for name, told in (signals or {}).items():
            world.signal(saga_id, name, told)
        world.run_until_idle()
        return collected(saga_id, world.status, world.history)

    def leave(self, run: Run) -> None:
        """Do nothing: the world is left with its sagas."""


@dataclass(frozen=True, slots=True)
class OnWorkers:
    """Runs each saga on the workers of a broker, which host the agents.

    They must have been started with ``orchestration.testing.worker`` beside the agents'
    modules (``-I shop,orchestration.testing.worker``), in the pool ``prefork``: faults
    kill its children.

    Attributes:
        client: Where sagas are started and read.
        timeout_s: How long a saga may take, seconds. A killed worker is noticed after
            the workers' ORCHESTRATION_LEASE_S, 15 unless they are told otherwise.
        max_backoff_ms: The longest wait before the next attempt, milliseconds: longer
            ones of retry policies are cut, for they show nothing.
    """

    client: SagaClient
    timeout_s: float = 180.0
    max_backoff_ms: int = 50

    def run(
        self,
        transaction: SagaTransaction,
        data: Mapping[str, Any],
        *,
        faults: Sequence[Fault] = (),
        signals: Mapping[str, object] | None = None,
    ) -> Run:
        """Run a saga to its end, or as far as it is in the time that it may take."""
        until = time.monotonic() + self.timeout_s
        hurried = _hurried(transaction, self.max_backoff_ms)
        anew = replace(hurried, transaction_id=str(uuid4()))
        saga_id = self.client.start(with_faults(anew, faults), data)
        for name, told in (signals or {}).items():
            self.client.signal(saga_id, name, told)
        run = self._ended(saga_id, until)
        if any(fault.kind is FaultKind.STALLS for fault in faults):
            while not run.has_told_late() and time.monotonic() < until:
                time.sleep(_LOOK_EVERY_S)
                run = self._ended(saga_id, until)
        return run

    def leave(self, run: Run) -> None:
        """Settle a saga that stands still, lest its undos be tried again later.

        What can only go forward stays as it is.
        """
        for child in run.children.values():
            self.leave(child)
        with suppress(SagaActRefused, SagaStillRunning):
            for _ in range(_MOST_ACTS):
                if self._settle(run.status.saga_id):
                    return

    def _settle(self, saga_id: str) -> bool:
        """Bring a saga nearer to its end; return whether it is there."""
        status = self.client.get_execution_status(saga_id)
        if status.state.is_over:
            return True
        told = {"by": "rollback prover", "why": "its scenario is over"}
        if status.state is SagaState.COMPENSATION_FAILED:
            self.client.skip(saga_id, status.failed_compensations[0], **told)
        else:
            self.client.cancel(saga_id, **told)
        self.client.wait(saga_id, timeout_ms=round(self.timeout_s * 1_000))
        return False

    def _ended(self, saga_id: str, until: float) -> Run:
        """Return the run once it stands at its end, which it may reach twice."""
        client = self.client
        while True:
            left_ms = max(1, round((until - time.monotonic()) * 1_000))
            with suppress(SagaStillRunning):  # its status tells
                client.wait(saga_id, timeout_ms=left_ms)
            run = collected(saga_id, client.get_execution_status, client.history)
            if run.status.state.is_final or time.monotonic() > until:
                return run


def _hurried(transaction: SagaTransaction, at_most_ms: int) -> SagaTransaction:
    """Return the definition with no wait before an attempt longer than that."""
    steps = [_hurried_step(step, at_most_ms) for step in transaction.steps]
    return replace(transaction, steps=steps)


def _hurried_step(step: SagaStep, at_most_ms: int) -> SagaStep:
    child = step.saga
    if isinstance(child, Mapping):
        inner = SagaTransaction.from_json(child, transaction_id="")
        child = _hurried(inner, at_most_ms).to_json()
    doing, undoing = (
        replace(
            policy,
            backoff_ms=min(policy.backoff_ms, at_most_ms),
            max_backoff_ms=min(policy.max_backoff_ms, at_most_ms),
        )
        for policy in (step.policy(Direction.DO), step.policy(Direction.UNDO))
    )
    return replace(
        step, saga=child, retry_policy=doing, compensation_retry_policy=undoing
    )
