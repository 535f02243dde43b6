"""How an attempt ended, and the fact that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestration.core.saga.events import COMPLETED, FAILED, EventType, NewFact
from orchestration.core.saga.fold import Phase, SagaView
from orchestration.core.saga.model import Direction, UnknownPolicy
from orchestration.core.saga.retry import backoff_ms

__all__ = [
    "Failed",
    "Lost",
    "Outcome",
    "Succeeded",
    "idempotency_key",
    "late_fact",
    "outcome_fact",
]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The action returned."""

    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The action said, by raising, that it did nothing."""

    error: Mapping[str, Any]
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody can tell whether the action took effect.

    Attributes:
        error: What is known.
        timed_out: It ran out of its own time.
        at_once: Try again without a wait: its worker is gone, not busy.
    """

    error: Mapping[str, Any]
    timed_out: bool = False
    at_once: bool = False


Outcome = Succeeded | Failed | Lost


def idempotency_key(saga_id: str, step: str, direction: Direction, round_: int) -> str:
    """Return the key of one effect: the same for each attempt and recovery."""
    return f"{saga_id}:{step}:{direction}:{round_}"


def late_fact(
    step: str, direction: Direction, attempt: int, round_: int, outcome: Outcome
) -> NewFact:
    """Return the fact that an outcome came too late to count."""
    return NewFact(
        EventType.STEP_LATE_RESULT,
        {
            "step": step,
            "direction": direction,
            "attempt": attempt,
            "round": round_,
            **_told(outcome),
        },
    )


def outcome_fact(
    view: SagaView,
    step: str,
    direction: Direction,
    phase: Phase,
    outcome: Outcome,
    now: datetime,
) -> NewFact:
    """Return the fact that closes an open attempt."""
    data = {
        "step": step,
        "attempt": phase.attempt,
        "round": phase.round,
        "token": phase.token,
        **_told(outcome),
    }
    if isinstance(outcome, Succeeded):
        return NewFact(COMPLETED[direction], data)
    if (wait_ms := _wait_ms(view, step, direction, phase, outcome)) is not None:
        data["retry_at_ms"] = _whole_ms(now) + wait_ms
    if isinstance(outcome, Failed):
        return NewFact(FAILED[direction], data)
    if direction is Direction.UNDO:
        return NewFact(FAILED[direction], data | {"lost": True})
    timed_out = outcome.timed_out
    return NewFact(
        EventType.STEP_TIMED_OUT if timed_out else EventType.STEP_UNKNOWN, data
    )


def _wait_ms(
    view: SagaView,
    step: str,
    direction: Direction,
    phase: Phase,
    outcome: Failed | Lost,
) -> int | None:
    """Return the wait before the next attempt, milliseconds; None: no more.

    Whoever told of the failure sends the next attempt. Were that due in the same
    instant, the decision would name it too, and it would be sent twice: hence the
    one millisecond. After a loss that the sweep found it is to be due at once.
    """
    definition = view.plan.by_name[step]
    policy = definition.policy(direction)
    if direction is Direction.DO and view.cause is not None:
        return None
    key = idempotency_key(view.saga_id, step, direction, phase.round)
    if isinstance(outcome, Failed):
        is_final = (
            not outcome.retryable
            or phase.failures + 1 >= policy.max_attempts
            or outcome.error.get("type") in policy.non_retryable
        )
        return None if is_final else 1 + backoff_ms(policy, phase.failures + 1, key)
    if (
        direction is Direction.DO
        and definition.unknown_policy is not UnknownPolicy.RETRY
    ):
        return None
    if phase.recoveries >= definition.max_recoveries:
        return None
    return 0 if outcome.at_once else 1 + backoff_ms(policy, phase.recoveries + 1, key)


def _whole_ms(at: datetime) -> int:
    """Return the last whole millisecond since 1970, never one still to come."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _told(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Succeeded):
        return {"output": dict(outcome.output)}
    return {"error": dict(outcome.error)}
