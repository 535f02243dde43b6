"""What a definition may not be: every fault at once, each with its way out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from orchestration.core.saga.model import (
    Direction,
    RetryPolicy,
    SagaStep,
    SagaTransaction,
    UnknownPolicy,
)
from orchestration.core.saga.plan import Plan, find_cycle

__all__ = ["MAX_STEPS", "definition_faults"]

MAX_STEPS = 1_000
_MAX_NAME = 200  # characters
_NAME = re.compile(r"[\w-]{1,200}")


def definition_faults(transaction: SagaTransaction) -> tuple[str, ...]:
    """Return everything that is wrong with a definition; empty if nothing is.

    Order and pivot are judged only when the names are sound, since a graph of
    unknown names has neither.
    """
    faults = [*_about_the_whole(transaction)]
    for step in transaction.steps:
        faults += (f"step {step.name!r}: {fault}" for fault in _about_step(step))
    naming = [*_about_names(transaction)]
    if naming:
        return (*faults, *naming)
    return (*faults, *_about_order(Plan(tuple(transaction.steps))))


def _about_the_whole(transaction: SagaTransaction) -> Iterator[str]:
    if not transaction.name or len(transaction.name) > _MAX_NAME:
        yield f"name {transaction.name!r}: give it 1 to {_MAX_NAME} characters"
    if not _NAME.fullmatch(transaction.transaction_id):
        yield (
            f"transaction_id {transaction.transaction_id!r}: use 1 to 200 letters, "
            "digits, '_' and '-'"
        )
    if transaction.timeout_ms <= 0:
        yield f"timeout_ms is {transaction.timeout_ms}: give it more than 0"
    if not transaction.steps:
        yield "it has no steps: give it at least one"
    if len(transaction.steps) > MAX_STEPS:
        yield f"it has {len(transaction.steps)} steps: at most {MAX_STEPS}"


def _about_step(step: SagaStep) -> Iterator[str]:
    for what, value in (("name", step.name), ("agent_id", step.agent_id)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            yield f"{what} {value!r}: use letters, digits, '_' and '-'"
    if step.timeout_ms <= 0:
        yield f"timeout_ms is {step.timeout_ms}: give it more than 0"
    if step.max_recoveries < 0:
        yield f"max_recoveries is {step.max_recoveries}: give it 0 or more"
    if step.read_only and step.compensation:
        yield "it is read_only and has a compensation: drop one of them"
    if step.is_pivot and step.unknown_policy is not UnknownPolicy.ESCALATE:
        yield (
            f"it is the pivot and on_unknown is {step.unknown_policy}: "
            "a pivot of unknown outcome can only ESCALATE"
        )
    for direction in Direction:
        try:
            policy = step.policy(direction)
        except (TypeError, ValueError) as exc:
            yield str(exc)
        else:
            yield from _about_policy(policy)


def _about_policy(policy: RetryPolicy) -> Iterator[str]:
    if policy.max_attempts < 1:
        yield f"max_attempts is {policy.max_attempts}: give it 1 or more"
    if policy.backoff_ms < 0:
        yield f"backoff_ms is {policy.backoff_ms}: give it 0 or more"
    if policy.max_backoff_ms < 0:
        yield f"max_backoff_ms is {policy.max_backoff_ms}: give it 0 or more"
    if policy.multiplier < 1:
        yield f"multiplier is {policy.multiplier}: give it 1.0 or more"
    if not 0 <= policy.jitter <= 1:
        yield f"jitter is {policy.jitter}: give it 0.0 to 1.0"


def _about_names(transaction: SagaTransaction) -> Iterator[str]:
    counts = Counter(step.name for step in transaction.steps)
    for name, count in counts.items():
        if count > 1:
            yield f"step {name!r} is there {count} times: names must be unique"
    for step in transaction.steps:
        for other in sorted(set(step.depends_on) - set(counts)):
            yield (
                f"step {step.name!r} depends on {other!r}, which is no step of it: "
                f"use one of {', '.join(sorted(counts))}"
            )


def _about_order(plan: Plan) -> Iterator[str]:
    if cycle := find_cycle(plan.parents):
        yield f"a cycle: {' -> '.join(cycle)}; drop one of these depends_on"
        return
    pivots = [step.name for step in plan.steps if step.is_pivot]
    if len(pivots) > 1:
        yield f"{len(pivots)} pivots ({', '.join(pivots)}): at most one"
        return
    if plan.pivot is None:
        return
    before = plan.ancestors[plan.pivot]
    for step in plan.steps:
        if not step.compensation or step.is_pivot:
            continue
        if plan.pivot in plan.ancestors[step.name]:
            yield (
                f"step {step.name!r} comes after the pivot {plan.pivot!r} and has a "
                "compensation, which could never run: drop it"
            )
        elif step.name not in before:
            yield (
                f"step {step.name!r} can be undone and has no order to the pivot "
                f"{plan.pivot!r}: make the pivot depend on it, or it on the pivot"
            )
