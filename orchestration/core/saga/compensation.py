"""Which steps to undo, and in what order.

A plan is a tuple of waves. The undos of one wave may run together; a wave starts
only when the one before it is done. Planning reads no clock, so the worker that
rolls back and the audit that checks it afterwards get the same answer from the
same events.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TypeAlias

from orchestration.core.saga.model import CompensationStrategy
from orchestration.core.saga.plan import Plan

__all__ = ["Waves", "compensation_waves", "kept_steps"]

Waves: TypeAlias = tuple[tuple[str, ...], ...]


def compensation_waves(
    plan: Plan,
    strategy: CompensationStrategy,
    *,
    done: Sequence[str],
    unknown: Set[str],
    failed: Set[str],
    denied: Set[str] = frozenset(),
) -> Waves:
    """Plan the rollback of a saga that has given up before its pivot.

    Args:
        plan: The steps and their order.
        strategy: The order to undo them in.
        done: Completed steps and those of unknown outcome, in the order in which
            they settled, oldest first.
        unknown: Which of ``done`` have an unknown outcome.
        failed: Steps that failed cleanly; only SELECTIVE undoes these.
        denied: The pivot, if an operator said that it did not come about: among
            ``done`` and ``unknown``, to have its own compensation called.

    Returns:
        Names of steps with a compensation; no step twice, and the pivot only if it
        was denied.
    """
    can_undo = {
        step.name
        for step in plan.steps
        if step.can_be_undone
        and step.name not in plan.instances  # its instances are undone
        and (not step.is_pivot or step.name in denied)
    }
    undoable = [name for name in done if name in can_undo]
    match strategy:
        case CompensationStrategy.BACKWARD:
            return tuple((name,) for name in reversed(undoable))
        case CompensationStrategy.FORWARD:
            return tuple((name,) for name in undoable)
        case CompensationStrategy.PARALLEL:
            return (tuple(undoable),) if undoable else ()
        case CompensationStrategy.SELECTIVE:
            chosen = [n for n in undoable if n in unknown or _is_selected(plan, n)]
            broken = [n for n in plan.order if n in failed and n in can_undo]
            return tuple((name,) for name in (*broken, *reversed(chosen)))
        case CompensationStrategy.CASCADE:
            return _dependents_first(plan, undoable)


def kept_steps(
    plan: Plan, strategy: CompensationStrategy, completed: Sequence[str]
) -> tuple[str, ...]:
    """Return the completed steps that SELECTIVE leaves as they are."""
    if strategy is not CompensationStrategy.SELECTIVE:
        return ()
    return tuple(
        name
        for name in completed
        if plan.by_name[name].can_be_undone
        and name not in plan.instances
        and not _is_selected(plan, name)
    )


def _is_selected(plan: Plan, name: str) -> bool:
    return plan.by_name[name].metadata.get("compensate") is True


def _dependents_first(plan: Plan, undoable: Sequence[str]) -> Waves:
    """Group steps so that each is undone only after all that depend on it.

    A step's wave is one after the latest wave of its dependents, counted along
    every path, also those that lead through steps without a compensation.
    """
    height: dict[str, int] = {}
    undone = set(undoable)
    for name in reversed(plan.order):
        below = [height[other] + (other in undone) for other in plan.children[name]]
        height[name] = max(below, default=0)
    waves: dict[int, list[str]] = {}
    for name in undoable:
        waves.setdefault(height[name], []).append(name)
    return tuple(tuple(waves[level]) for level in sorted(waves))
