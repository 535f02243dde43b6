"""What a definition may not be: every fault at once, each with its way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from string import Formatter

from orchestration.core.jsonable import json_fault
from orchestration.core.saga.model import SagaStep, SagaTransaction
from orchestration.core.saga.plan import Plan, find_cycle
from orchestration.core.saga.shape import STEP, TRANSACTION, shape_faults
from orchestration.core.saga.step_checks import NAME, about_step, about_time

__all__ = ["MAX_DEPTH", "MAX_STEPS", "definition_faults"]

MAX_STEPS = 1_000
MAX_DEPTH = 5
"""How deep sagas may be nested in steps of others."""

_MAX_LOCKS = 20
_MAX_ATTRIBUTES = 20
_MAX_NAME = 200  # characters


def definition_faults(
    transaction: SagaTransaction,
    *,
    depth: int = 1,
    held: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """Return everything that is wrong with a definition; empty if nothing is.

    Names are judged only when all of them are names, and the order only when the
    names are sound, since a graph of unknown names has none.

    Args:
        transaction: The definition.
        depth: How deep it is nested in steps of other sagas; 1: not at all.
        held: The locks of the sagas around it, as far as their names are plain.
    """
    misshapen = shape_faults(TRANSACTION, transaction)
    if "steps" in misshapen:
        return tuple(misshapen.values())
    faults = [*misshapen.values(), *_about_the_whole(transaction, misshapen)]
    if "locks" not in misshapen:
        wanted = {lock for lock in transaction.locks if "{" not in lock}
        faults += _about_held(wanted & held)
        held |= wanted
    given: Sequence[object] = transaction.steps
    for at, step in enumerate(given):
        if not isinstance(step, SagaStep):
            faults.append(f"steps[{at}] is a {type(step).__name__}: give a SagaStep")
            continue
        found = (*about_step(step), *_about_child(step, depth, held))
        faults += (f"step {step.name!r}: {fault}" for fault in found)
    steps = [step for step in given if isinstance(step, SagaStep)]
    if any({"name", "depends_on"} & set(shape_faults(STEP, step)) for step in steps):
        return tuple(faults)
    naming = [*_about_names(steps)]
    if naming or len(steps) < len(given):
        return (*faults, *naming)
    return (*faults, *_about_order(Plan(tuple(steps))))


def _about_child(step: SagaStep, depth: int, held: frozenset[str]) -> Iterator[str]:
    """Judge the definition of the saga that a step runs, all its faults at once."""
    if not isinstance(step.saga, Mapping):
        return
    if depth == MAX_DEPTH:
        yield f"its saga is nested {depth + 1} deep: at most {MAX_DEPTH}"
        return
    try:
        child = SagaTransaction.from_json(step.saga, transaction_id="child")
    except (TypeError, ValueError) as exc:
        yield f"its saga is none: {exc}"
        return
    for fault in definition_faults(child, depth=depth + 1, held=held):
        yield f"its saga: {fault}"


def _about_the_whole(
    transaction: SagaTransaction, misshapen: dict[str, str]
) -> Iterator[str]:
    name, saga_id = transaction.name, transaction.transaction_id
    if "name" not in misshapen and not (
        0 < len(name) <= _MAX_NAME and name.isprintable()
    ):
        yield f"name {name!r}: give it 1 to {_MAX_NAME} printable characters"
    if "transaction_id" not in misshapen and not NAME.fullmatch(saga_id):
        yield (f"transaction_id {saga_id!r}: use 1 to 200 letters, digits, '_' and '-'")
    if "timeout_ms" not in misshapen:
        yield from about_time("timeout_ms", transaction.timeout_ms, least=1)
    if not transaction.steps:
        yield "it has no steps: give it at least one"
    if len(transaction.steps) > MAX_STEPS:
        yield f"it has {len(transaction.steps)} steps: at most {MAX_STEPS}"
    if "locks" not in misshapen:
        yield from _about_locks(transaction.locks)
    if "search_attributes" not in misshapen:
        yield from _about_attributes(transaction.search_attributes)
    pivots = [s.name for s in transaction.steps if getattr(s, "is_pivot", None) is True]
    if len(pivots) > 1:
        names = ", ".join(map(str, pivots))
        yield f"{len(pivots)} pivots ({names}): make one of them the pivot, at most"


def _about_locks(locks: Sequence[str]) -> Iterator[str]:
    if len(locks) > _MAX_LOCKS:
        yield f"it has {len(locks)} locks: at most {_MAX_LOCKS}"
    for lock in locks:
        if not (0 < len(lock) <= _MAX_NAME and lock.isprintable()):
            yield f"lock {lock!r}: give it 1 to {_MAX_NAME} printable characters"
            continue
        try:
            parts = [
                part[1:] for part in Formatter().parse(lock) if part[1] is not None
            ]
        except ValueError as exc:
            yield f"lock {lock!r}: {exc}; name a key of the data as {{key}}"
            continue
        for key, spec, conversion in parts:
            if spec or conversion or not NAME.fullmatch(key or ""):
                yield f"lock {lock!r}: {key!r} is no key; name one as {{key}}"


def _about_held(locks: Set[str]) -> Iterator[str]:
    for lock in sorted(locks):
        yield (
            f"lock {lock!r} is held by a saga that it runs in, which will not give it "
            "back before: name it in one of the two"
        )


def _about_attributes(attributes: Mapping[str, object]) -> Iterator[str]:
    if len(attributes) > _MAX_ATTRIBUTES:
        yield f"{len(attributes)} search attributes: at most {_MAX_ATTRIBUTES}"
    for key, value in attributes.items():
        if not (isinstance(key, str) and NAME.fullmatch(key)):
            yield f"search attribute {key!r}: use letters, digits, '_' and '-'"
        elif isinstance(value, str):
            if len(value) > _MAX_NAME or not value.isprintable():
                yield (
                    f"search attribute {key!r}: give it at most {_MAX_NAME} "
                    "printable characters"
                )
        elif (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or json_fault(value, key)
        ):
            yield f"search attribute {key!r} is {value!r}: give it text or a number"


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
    if plan.pivot is None:
        for step in plan.steps:
            yield from _about_pivot_of_child(plan, step)
    if sum(step.is_pivot for step in plan.steps) != 1 or plan.pivot is None:
        return
    before = plan.ancestors[plan.pivot]
    for step in plan.steps:
        yield from _about_pivot_of_child(plan, step)
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


def _about_pivot_of_child(plan: Plan, step: SagaStep) -> Iterator[str]:
    """A saga past its own pivot cannot be undone, so its step must not have to be."""
    if not _has_pivot(step.saga) or step.is_pivot:
        return
    if plan.pivot is None or plan.pivot not in plan.ancestors[step.name]:
        yield (
            f"step {step.name!r} runs a saga that has a pivot: make the step this "
            "saga's pivot, or have it depend on the pivot"
        )


def _has_pivot(saga: object) -> bool:
    if not isinstance(saga, Mapping) or not isinstance(saga.get("steps"), list | tuple):
        return False
    steps = [step for step in saga["steps"] if isinstance(step, Mapping)]
    return any(s.get("is_pivot") is True or _has_pivot(s.get("saga")) for s in steps)
