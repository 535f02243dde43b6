"""What a step is given: the initial data overlaid by what its ancestors returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.core.saga.fold import SagaView
from orchestration.core.saga.model import Direction
from orchestration.errors import DataConflict

__all__ = ["ancestor_outputs", "saga_result", "step_input"]


def ancestor_outputs(view: SagaView, name: str) -> dict[str, Mapping[str, Any]]:
    """Return the output of each ancestor of a step, in dependency order."""
    wanted = view.plan.ancestors[name]
    if name == view.plan.pivot:
        wanted = frozenset(view.plan.needs(name))
    return {
        other: view.phase(other, Direction.DO).output or {}
        for other in view.plan.order
        if other in wanted
    }


def step_input(view: SagaView, name: str, direction: Direction) -> dict[str, Any]:
    """Return the ``data`` of a step's action, or of its compensation.

    A compensation gets the step's own input and, over it, its output where known.

    Raises:
        DataConflict: Two ancestors without an order between them wrote one key with
            different values, so that neither can be said to come last.
    """
    outputs = ancestor_outputs(view, name)
    if direction is Direction.DO:
        _refuse_conflicts(view, name, outputs)
    else:
        outputs[name] = view.phase(name, Direction.DO).output or {}
    data: dict[str, Any] = dict(view.initial_data)
    for output in outputs.values():
        data.update(output)
    return data | {"steps": outputs}


def saga_result(view: SagaView) -> dict[str, Any]:
    """Return the outputs of all completed steps, overlaid in dependency order."""
    out: dict[str, Any] = {}
    for name in view.plan.order:
        out.update(view.phase(name, Direction.DO).output or {})
    return out


def _refuse_conflicts(
    view: SagaView, name: str, outputs: Mapping[str, Mapping[str, Any]]
) -> None:
    writers: dict[str, list[str]] = {}
    for step, output in outputs.items():
        for key, value in output.items():
            for other in writers.setdefault(key, []):
                if (
                    other not in view.plan.ancestors[step]
                    and outputs[other][key] != value
                ):
                    raise DataConflict(
                        f"step {name!r}: {other!r} and {step!r} both wrote {key!r}, "
                        "with different values and without an order between them; "
                        "order them by depends_on, or read context.outputs"
                    )
            writers[key].append(step)
