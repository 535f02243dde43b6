"""What a step is given: the initial data overlaid by what its ancestors returned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestration.core.saga.model import Direction, Teamwork
from orchestration.core.saga.view import SagaView
from orchestration.errors import DataConflict

__all__ = ["ancestor_outputs", "gathered", "saga_result", "step_input"]


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
    for output in _of_the_team(view, name):
        data.update(output)
    return data | {"steps": outputs}


def _item(
    view: SagaView, name: str, outputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    mapped, index = view.plan.places[name]
    if view.plan.by_name[mapped].map is None:
        return {}
    items = dict(view.initial_data)
    for other, output in outputs.items():
        if other != name:  # what it returned itself is no part of the list
            items.update(output)
    key = view.plan.by_name[mapped].map or ""
    return {"item": items[key][index], "index": index}


def _of_the_team(view: SagaView, name: str) -> Iterator[Mapping[str, Any]]:
    """Yield what the agents returned that had their turn before this instance."""
    mapped, index = view.plan.places.get(name, (name, 0))
    if view.plan.by_name[mapped].teamwork is Teamwork.IN_TURN:
        for other in view.plan.instances.get(mapped, ())[:index]:
            yield view.do_of(other).output or {}


def gathered(view: SagaView, name: str) -> dict[str, Any]:
    """Return the output of a step that was done per item, or by several agents.

    Raises:
        DataConflict: Outputs that are to be merged differ in a key.
    """
    step = view.plan.by_name[name]
    outputs = [view.do_of(one).output or {} for one in view.plan.instances[name]]
    if step.map is not None:
        return {name: outputs}
    overlay: dict[str, Any] = {}
    by_agent = {name: dict(zip(step.agents, outputs, strict=True))}
    for agent, output in zip(step.agents, outputs, strict=True):
        if step.teamwork is Teamwork.MERGED:
            _refuse_difference(name, agent, overlay, output)
        overlay.update(output)
    match step.teamwork:
        case Teamwork.IN_TURN:
            return overlay
        case Teamwork.MERGED:
            return overlay | by_agent
        case _:
            return by_agent


def _refuse_difference(
    name: str, agent: str, overlay: Mapping[str, Any], output: Mapping[str, Any]
) -> None:
    for key in overlay.keys() & output.keys():
        if overlay[key] != output[key]:
            raise DataConflict(
                f"step {name!r}: {agent!r} wrote {key!r} with another value than an "
                "agent before it: have them use names of their own, or leave the "
                "outputs by agent (teamwork AT_ONCE)"
            )


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
