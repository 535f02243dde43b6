"""What a step is given: the initial data overlaid by what its ancestors returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.core.saga.model import Direction
from orchestration.core.saga.view import SagaView
from orchestration.errors import DataConflict

__all__ = ["ancestor_outputs", "saga_result", "step_input"]


def ancestor_outputs(view: SagaView, name: str) -> dict[str, Mapping[str, Any]]:
    """Return the output of each ancestor of a step, in dependency order.

    A mapped step has one, which gathers those of its instances.
    """
    wanted = view.plan.ancestors[name]
    if name == view.plan.pivot:
        wanted = frozenset(view.plan.needs(name))
    return {
        other: view.do_of(other).output or {}
        for other in view.plan.order
        if other in wanted and other not in view.plan.places
    }


def step_input(view: SagaView, name: str, direction: Direction) -> dict[str, Any]:
    """Return the ``data`` of a step's action, or of its compensation.

    A compensation or a probe gets the step's own input and, over it, its output where
    known. An instance of a mapped step gets its ``item``, and the item's ``index``.

    Raises:
        DataConflict: Two ancestors without an order between them wrote one key with
            different values, so that neither can be said to come last.
    """
    outputs = ancestor_outputs(view, name)
    if direction is Direction.DO:
        _refuse_conflicts(view, name, outputs)
    else:
        outputs[name] = view.do_of(name).output or {}
    data: dict[str, Any] = dict(view.initial_data)
    if name in view.plan.places:
        data |= _item(view, name, outputs)
    for output in outputs.values():
        data.update(output)
    return data | {"steps": outputs}


def _item(
    view: SagaView, name: str, outputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    mapped, index = view.plan.places[name]
    items = dict(view.initial_data)
    for other, output in outputs.items():
        if other != name:  # what it returned itself is no part of the list
            items.update(output)
    key = view.plan.by_name[mapped].map or ""
    return {"item": items[key][index], "index": index}


def saga_result(view: SagaView) -> dict[str, Any]:
    """Return the outputs of all completed steps, overlaid in dependency order."""
    out: dict[str, Any] = {}
    for name in view.plan.order:
        if name not in view.plan.places:
            out.update(view.do_of(name).output or {})
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
