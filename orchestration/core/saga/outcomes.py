"""How an attempt ended, and the fact that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestration.core.saga.events import COMPLETED, FAILED, EventType, NewFact
from orchestration.core.saga.model import Direction, SagaStep, UnknownPolicy
from orchestration.core.saga.retry import backoff_ms
from orchestration.core.saga.step_checks import MAX_MS
from orchestration.core.saga.timing import whole_ms
from orchestration.core.saga.view import Phase, SagaView

__all__ = [
    "Failed",
    "Lost",
    "Outcome",
    "Succeeded",
    "idempotency_key",
    "late_fact",
    "outcome_fact",
]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The action returned."""

    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The action said, by raising, that it did nothing.

    Attributes:
        retryable: Whether trying again may help.
        retry_in_ms: The wait that the action asked for, in place of the policy's.
    """

    error: Mapping[str, Any]
    retryable: bool = True
    retry_in_ms: int | None = None


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
    """Return the fact that an outcome came too late to count.

    It says whether an effect has landed, or may have: ``landed``.
    """
    data = {
        "step": step,
        "direction": direction,
        "attempt": attempt,
        "round": round_,
        **_told(outcome),
    }
    if not isinstance(outcome, Failed):
        data["landed"] = True
    return NewFact(EventType.STEP_LATE_RESULT, data)


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
        if direction is Direction.PROBE:
            data |= _verdict(view, step, outcome.output, now)
        return NewFact(COMPLETED[direction], data)
    if (wait_ms := _wait_ms(view, step, direction, phase, outcome)) is not None:
        data["retry_at_ms"] = whole_ms(now) + wait_ms
    if isinstance(outcome, Failed):
        return NewFact(FAILED[direction], data)
    if direction is not Direction.DO:
        return NewFact(FAILED[direction], data | {"lost": True})
    timed_out = outcome.timed_out
    return NewFact(
        EventType.STEP_TIMED_OUT if timed_out else EventType.STEP_UNKNOWN, data
    )


def _verdict(
    view: SagaView, step: str, answer: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return what a probe's answer says of the step: done, not_done or unknown.

    ``{"happened": true}`` or false; anything else is no answer. With ``output`` beside
    it the step is completed as if its action had returned that.
    """
    happened = answer.get("happened")
    if happened is True:
        output = answer.get("output")
        found = {"output": output if isinstance(output, Mapping) else {}}
        return {"verdict": "done", **found}
    if happened is not False:
        return {"verdict": "unknown", "output": dict(answer)}
    told: dict[str, Any] = {"verdict": "not_done", "output": dict(answer)}
    done, definition = view.do_of(step), view.plan.by_name[step]
    if view.cause is None and done.recoveries <= definition.max_recoveries:
        told["retry_at_ms"] = whole_ms(now)
    return told


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
    if definition.is_waiting:  # no agent's: what became of it stays so
        return None
    if direction is Direction.DO and view.cause is not None:
        return None
    key = idempotency_key(view.saga_id, step, direction, phase.round)
    if isinstance(outcome, Failed):
        return _wait_after_failure(definition, direction, phase, outcome, key)
    policy, recoveries = definition.policy(direction), phase.recoveries
    unknown_policy = definition.unknown_policy
    if direction is Direction.DO and unknown_policy is not UnknownPolicy.RETRY:
        return None
    if recoveries >= definition.max_recoveries:
        return None
    return 0 if outcome.at_once else 1 + backoff_ms(policy, recoveries + 1, key)


def _wait_after_failure(
    definition: SagaStep,
    direction: Direction,
    phase: Phase,
    outcome: Failed,
    key: str,
) -> int | None:
    policy = definition.policy(direction)
    is_final = (
        not outcome.retryable
        or phase.failures + 1 >= policy.max_attempts
        or outcome.error.get("type") in policy.non_retryable
    )
    if is_final:
        return None
    if outcome.retry_in_ms is not None:
        # What an action asks for may be anything; dates end in the year 9999.
        return 1 + min(max(0, round(outcome.retry_in_ms)), MAX_MS)
    return 1 + backoff_ms(policy, phase.failures + 1, key)


def _told(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Succeeded):
        return {"output": dict(outcome.output)}
    return {"error": dict(outcome.error)}
