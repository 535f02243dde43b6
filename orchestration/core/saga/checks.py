"""What a definition may not be: every fault at once, each with its way out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from orchestration.core.saga.model import (
    Direction,
    RetryPolicy,
    SagaStep,
    SagaTransaction,
    UnknownPolicy,
)
from orchestration.core.saga.plan import Plan, find_cycle
from orchestration.core.saga.shape import (
    POLICY,
    STEP,
    TRANSACTION,
    json_fault,
    shape_faults,
)

__all__ = ["MAX_MS", "MAX_STEPS", "definition_faults"]

MAX_STEPS = 1_000
# Ten years: beyond it dates overflow, which nobody means.
MAX_MS = 315_360_000_000
_MAX_MULTIPLIER = 100  # keeps powers of it finite
_MAX_NAME = 200  # characters
_NAME = re.compile(r"[\w-]{1,200}")


def definition_faults(transaction: SagaTransaction) -> tuple[str, ...]:
    """Return everything that is wrong with a definition; empty if nothing is.

    Names are judged only when all of them are names, and the order only when the
    names are sound, since a graph of unknown names has none.
    """
    misshapen = shape_faults(TRANSACTION, transaction)
    if "steps" in misshapen:
        return tuple(misshapen.values())
    faults = [*misshapen.values(), *_about_the_whole(transaction, misshapen)]
    given: Sequence[object] = transaction.steps
    for at, step in enumerate(given):
        if not isinstance(step, SagaStep):
            faults.append(f"steps[{at}] is a {type(step).__name__}: give a SagaStep")
            continue
        faults += (f"step {step.name!r}: {fault}" for fault in _about_step(step))
    steps = [step for step in given if isinstance(step, SagaStep)]
    if any({"name", "depends_on"} & set(shape_faults(STEP, step)) for step in steps):
        return tuple(faults)
    naming = [*_about_names(steps)]
    if naming or len(steps) < len(given):
        return (*faults, *naming)
    return (*faults, *_about_order(Plan(tuple(steps))))


def _about_the_whole(
    transaction: SagaTransaction, misshapen: dict[str, str]
) -> Iterator[str]:
    name, saga_id = transaction.name, transaction.transaction_id
    if "name" not in misshapen and not (
        0 < len(name) <= _MAX_NAME and name.isprintable()
    ):
        yield f"name {name!r}: give it 1 to {_MAX_NAME} printable characters"
    if "transaction_id" not in misshapen and not _NAME.fullmatch(saga_id):
        yield (f"transaction_id {saga_id!r}: use 1 to 200 letters, digits, '_' and '-'")
    if "timeout_ms" not in misshapen:
        yield from _about_time("timeout_ms", transaction.timeout_ms, least=1)
    if not transaction.steps:
        yield "it has no steps: give it at least one"
    if len(transaction.steps) > MAX_STEPS:
        yield f"it has {len(transaction.steps)} steps: at most {MAX_STEPS}"
    pivots = [s.name for s in transaction.steps if getattr(s, "is_pivot", None) is True]
    if len(pivots) > 1:
        names = ", ".join(map(str, pivots))
        yield f"{len(pivots)} pivots ({names}): make one of them the pivot, at most"


def _about_time(what: str, value: int, *, least: int) -> Iterator[str]:
    if not least <= value <= MAX_MS:
        yield f"{what} is {value}: give it {least} to {MAX_MS} ms"


def _about_step(step: SagaStep) -> Iterator[str]:
    misshapen = shape_faults(STEP, step)
    yield from misshapen.values()
    for what, value in (("name", step.name), ("agent_id", step.agent_id)):
        if what not in misshapen and not _NAME.fullmatch(value):
            yield f"{what} {value!r}: use letters, digits, '_' and '-'"
    for what, action in (("action", step.action), ("compensation", step.compensation)):
        if action == "":
            yield f"{what} is empty: name an action of the agent, or leave it out"
    if "timeout_ms" not in misshapen:
        yield from _about_time("timeout_ms", step.timeout_ms, least=1)
    if "max_recoveries" not in misshapen and step.max_recoveries < 0:
        yield f"max_recoveries is {step.max_recoveries}: give it 0 or more"
    if step.read_only and step.compensation:
        yield "it is read_only and has a compensation: drop one of them"
    if step.is_pivot and step.unknown_policy is not UnknownPolicy.ESCALATE:
        yield (
            f"it is the pivot and on_unknown is {step.unknown_policy}: "
            "a pivot of unknown outcome can only ESCALATE"
        )
    if "metadata" not in misshapen and (fault := json_fault(step.metadata, "metadata")):
        yield fault
    yield from _about_policies(step)


def _about_policies(step: SagaStep) -> Iterator[str]:
    for direction in Direction:
        what = "" if direction is Direction.DO else "compensation_"
        try:
            faults = [*_about_policy(step.policy(direction))]
        except ValueError as exc:
            faults = [str(exc)]
        yield from (f"{what}retry_policy: {fault}" for fault in faults)


def _about_policy(policy: RetryPolicy) -> Iterator[str]:
    if misshapen := shape_faults(POLICY, policy):
        yield from misshapen.values()
        return
    if policy.max_attempts < 1:
        yield f"max_attempts is {policy.max_attempts}: give it 1 or more"
    yield from _about_time("backoff_ms", policy.backoff_ms, least=0)
    yield from _about_time("max_backoff_ms", policy.max_backoff_ms, least=0)
    if not 1 <= policy.multiplier <= _MAX_MULTIPLIER:
        yield f"multiplier is {policy.multiplier}: give it 1.0 to {_MAX_MULTIPLIER}.0"
    if not 0 <= policy.jitter <= 1:
        yield f"jitter is {policy.jitter}: give it 0.0 to 1.0"


def _about_names(steps: Sequence[SagaStep]) -> Iterator[str]:
    counts = Counter(step.name for step in steps)
    for name, count in counts.items():
        if count > 1:
            yield f"step {name!r} is there {count} times: names must be unique"
    for step in steps:
        for other in sorted(set(step.depends_on) - set(counts)):
            yield (
                f"step {step.name!r} depends on {other!r}, which is no step of it: "
                f"use one of {', '.join(sorted(counts))}"
            )


def _about_order(plan: Plan) -> Iterator[str]:
    if cycle := find_cycle(plan.parents):
        yield f"a cycle: {' -> '.join(cycle)}; drop one of these depends_on"
        return
    if sum(step.is_pivot for step in plan.steps) != 1 or plan.pivot is None:
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
