"""Steps that are left out: their actions are not called, and yet have their outputs.

So the rest of a saga can be done alone. Like faults, stand-ins travel in the metadata
of the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from orchestration.agents import ActionContext
from orchestration.core.saga.model import SagaStep, SagaTransaction

__all__ = ["base_name", "stand_in", "with_stand_ins"]

_KEY: Final = "orchestration.testing.stand_ins"


def base_name(step: str) -> str:
    """Return the name in the definition of a step that is done once per item."""
    return step.partition("[")[0]


def stand_in(context: ActionContext) -> Mapping[str, Any] | None:
    """Return what stands in for the action's output, if the action is left out."""
    outputs: Mapping[str, Mapping[str, Any]] = context.metadata.get(_KEY, {})
    return outputs.get(context.step)


def with_stand_ins(
    transaction: SagaTransaction, outputs: Mapping[str, Mapping[str, Any]]
) -> SagaTransaction:
    """Return the definition, under its id, in which these steps are left out.

    Args:
        transaction: The whole saga.
        outputs: What each of them returns, by its name; of a step of a child saga,
            with the names of the steps that run it before it: ``"book/flight"``.
    """
    steps = [_with_stand_ins(step, outputs) for step in transaction.steps]
    return replace(transaction, steps=steps)


def _with_stand_ins(
    step: SagaStep, outputs: Mapping[str, Mapping[str, Any]]
) -> SagaStep:
    inner = {
        name.removeprefix(f"{step.name}/"): output
        for name, output in outputs.items()
        if name.startswith(f"{step.name}/")
    }
    if inner and isinstance(step.saga, Mapping):
        child = SagaTransaction.from_json(step.saga, transaction_id="")
        return replace(step, saga=with_stand_ins(child, inner).to_json())
    own = {
        name: dict(output)
        for name, output in outputs.items()
        if "/" not in name and base_name(name) == step.name
    }
    return replace(step, metadata={**step.metadata, _KEY: own}) if own else step
