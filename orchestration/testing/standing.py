"""Which effects stand after a saga, by what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from orchestration.core.saga.model import SagaState
from orchestration.testing.runs import Run
from orchestration.testing.stand_ins import base_name

__all__ = ["Standing", "standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Steps, by their paths.

    Attributes:
        sure: Those whose effects stand.
        maybe: Those of which the saga says that it does not know.
    """

    sure: frozenset[str] = frozenset()
    maybe: frozenset[str] = frozenset()


def standing(run: Run, stays: Set[str]) -> Standing:
    """Return what stands after a saga and its children.

    Args:
        run: How the saga ended.
        stays: Steps that have no compensation and whose effects may stay.
    """
    status = run.status
    is_undone = status.state is SagaState.COMPENSATED
    if is_undone:
        sure = {*status.kept_steps, *_that_stay(status.uncompensated_steps, stays)}
        maybe = _that_stay(status.unresolved_steps, stays)
    else:
        failed = {*status.failed_compensations}
        sure = {*status.completed_steps} - {*status.compensated_steps} - failed
        maybe = failed | {*status.unresolved_steps}
    for step, child in run.children.items():
        if is_undone and step not in sure and _is_done(child):
            continue  # by the parent's account nothing of it stands any more
        start = f"{base_name(step)}/"
        below = {p.removeprefix(start) for p in stays if p.startswith(start)}
        inner = standing(child, below)
        sure |= {f"{step}/{path}" for path in inner.sure}
        maybe |= {f"{step}/{path}" for path in inner.maybe}
    return Standing(frozenset(sure), frozenset(maybe) - sure)


def _is_done(child: Run) -> bool:
    return child.status.state is not SagaState.COMPENSATED


def _that_stay(steps: Iterable[str], stays: Set[str]) -> set[str]:
    return {step for step in steps if base_name(step) in stays}
