"""Run one action of an agent and tell how it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Protocol

from eventstore import NotCanonical
from orchestration.adapters.database import DATABASE_ERRORS, Database
from orchestration.adapters.lease import HeldLease
from orchestration.agents import Action, ActionContext
from orchestration.core.saga.data import ancestor_outputs, step_input
from orchestration.core.saga.model import Direction, SagaStep
from orchestration.core.saga.outcomes import (
    Failed,
    Lost,
    Outcome,
    Succeeded,
    idempotency_key,
)
from orchestration.core.saga.view import SagaView
from orchestration.engine.error_text import told_error
from orchestration.engine.limits import RealTime, timed_out
from orchestration.engine.payload import as_recorded
from orchestration.engine.ports import Clock
from orchestration.errors import (
    DataConflict,
    NonRetryable,
    OutcomeUnknown,
    RetryLater,
    StepTimedOut,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Ended", "Finder", "Work", "WorkConnection", "perform"]

logger = logging.getLogger(__name__)

_REAL_TIME: Final = RealTime()


@dataclass(frozen=True, slots=True)
class Ended:
    """How an action ended; ``raised`` is what Celery is to show."""

    outcome: Outcome
    raised: Exception | None = None


class Work(Protocol):
    """What an action's own database work is done with."""

    @property
    def clock(self) -> Clock:
        """The time that all agree on."""

    def get(self) -> Connection:
        """Return the connection whose work commits with the step's completion."""


@dataclass(slots=True)
class WorkConnection:
    """The connection an action may ask for; opened at first use only.

    Attributes:
        idle_s: How long the action may leave it idle, seconds: its own time.
    """

    db: Database
    idle_s: float
    connection: Connection | None = field(default=None)

    @property
    def clock(self) -> Clock:
        """The database's."""
        return self.db.clock

    def get(self) -> Connection:
        """Return the connection, in a transaction from its first statement on."""
        if self.connection is None:
            self.connection = self.db.begin(self.idle_s)
        return self.connection

    def commit(self) -> None:
        """Make the action's work true, with what was recorded in it."""
        if self.connection is not None:
            self.connection.commit()

    def drop(self) -> None:
        """Undo what is not committed and give the connection back."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


Finder = Callable[[str, str], Action | None]
"""Returns an agent's action by the names of both, if this process hosts it."""


def perform(
    view: SagaView,
    step: str,
    direction: Direction,
    held: HeldLease,
    work: Work,
    max_output_bytes: int,
    find: Finder,
    time: RealTime = _REAL_TIME,
) -> Ended:
    """Call the step's action, its compensation or its probe, within its time.

    Args:
        view: The saga, with this attempt open.
        step: Name of the step.
        direction: Whether it is done, undone or asked about.
        held: The attempt's lease.
        work: Where the action's own database work goes.
        max_output_bytes: Limit of what it may return.
        find: Where actions are looked up.
        time: What keeps the action to its time.
    """
    definition = view.plan.by_name[step]
    limit_s = view.plan.limit_ms(step) / 1_000
    try:
        action = _hosted(view.agent_of(step), definition, direction, find)
        data = _copied(step_input(view, step, direction))
        context = _context(view, step, direction, held, work)
        with time.limit(step, limit_s):
            output = action(data, context)
            if isawaitable(output):
                output = time.wait(output, step, limit_s)
        return _checked(step, output, max_output_bytes)
    except StepTimedOut as exc:
        return Ended(Lost(told_error(exc), timed_out=True), exc)
    except RetryLater as exc:
        return Ended(Failed(told_error(exc), retry_in_ms=exc.retry_in_ms), exc)
    except (NonRetryable, DataConflict) as exc:
        return Ended(Failed(told_error(exc), retryable=False), exc)
    except (OutcomeUnknown, ConnectionError, TimeoutError) as exc:
        return Ended(Lost(told_error(exc)), exc)
    except asyncio.CancelledError as exc:  # no Exception: it would end the process
        unknown = OutcomeUnknown(f"step {step!r} was cancelled from within")
        unknown.__cause__ = exc
        return Ended(Lost(told_error(unknown)), unknown)
    except Exception as exc:  # noqa: BLE001  the edge: an action may raise anything
        return Ended(Failed(told_error(exc)), exc)


def _hosted(
    agent_id: str, definition: SagaStep, direction: Direction, find: Finder
) -> Action:
    target = definition.target(direction) or ""
    action = find(agent_id, target)
    if action is None:  # the message named another than the saga's definition
        raise LookupError(f"agent {agent_id!r} has no action {target!r} in this worker")
    return action


def _copied(value: Any) -> Any:  # noqa: ANN401  JSON
    """Return data that an action may change: the saga's own stay as recorded."""
    if type(value) is dict:
        return {key: _copied(held) for key, held in value.items()}
    if type(value) is list:
        return [_copied(held) for held in value]
    return value


def _context(
    view: SagaView,
    step: str,
    direction: Direction,
    held: HeldLease,
    work: Work,
) -> ActionContext:
    phase = view.phase(step, direction)
    definition = view.plan.by_name[step]
    timeout = timedelta(milliseconds=view.plan.limit_ms(step))
    deadline = phase.started_at + timeout if phase.started_at else None

    def heartbeat() -> None:
        try:
            held.renew()
        except DATABASE_ERRORS:  # the lease may yet outlast it
            logger.warning("step %s: heartbeat not heard", step, exc_info=True)
        if deadline is not None and work.clock.now() >= deadline:
            raise timed_out(step, timeout.total_seconds())

    return ActionContext(
        saga_id=view.saga_id,
        step=step,
        direction=direction,
        attempt=phase.attempt,
        round=phase.round,
        idempotency_key=idempotency_key(view.saga_id, step, direction, phase.round),
        deadline=deadline,
        outputs=_copied(ancestor_outputs(view, step)),
        metadata=definition.metadata,
        locks=view.locks or {},
        is_cancelled=lambda: held.cancelled,
        renew=heartbeat,
        connect=work.get,
    )


def _checked(step: str, output: object, max_bytes: int) -> Ended:
    """Accept what can be stored; what cannot leaves an effect without a record."""
    if output is None:
        output = {}
    problem = ""
    if isinstance(output, Mapping):
        try:
            plain, size = as_recorded(output)
        except NotCanonical as exc:
            problem = f"returned what is no JSON ({exc})"
        else:
            if size <= max_bytes:
                return Ended(Succeeded(plain))
            problem = (
                f"returned {size} bytes, the limit is {max_bytes} "
                "(ORCHESTRATION_MAX_PAYLOAD_BYTES): return a reference instead"
            )
    else:
        problem = f"returned {type(output).__name__}: return a dict of JSON, or None"
    unknown = OutcomeUnknown(f"step {step!r} {problem}")
    return Ended(Lost(told_error(unknown)), unknown)
