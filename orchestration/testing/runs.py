"""One run of a saga as it ended, with the sagas that its steps ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

from orchestration.core.saga.execution import SagaExecution
from orchestration.core.saga.model import Direction
from orchestration.errors import SagaNotFound
from orchestration.testing.faults import Fault
from orchestration.testing.stand_ins import base_name

__all__ = ["Run", "collected"]

_BEGAN: Final = {
    Direction.DO: "STEP_STARTED",
    Direction.UNDO: "STEP_COMPENSATION_STARTED",
    Direction.PROBE: "STEP_PROBE_STARTED",
}
_WENT_WRONG: Final = {
    Direction.DO: ("STEP_FAILED", "STEP_UNKNOWN", "STEP_TIMED_OUT"),
    Direction.UNDO: ("STEP_COMPENSATION_FAILED",),
    Direction.PROBE: ("STEP_PROBE_FAILED",),
}


class Event(Protocol):
    """What happened, as both a worker's log and a client tell it."""

    @property
    def type(self) -> str:
        """Its type."""

    @property
    def data(self) -> Mapping[str, Any]:
        """What is told of it."""


@dataclass(frozen=True)
class Run:
    """How a saga ended. Steps are named by their paths: ``"book/flight"``.

    Attributes:
        children: The saga that a step ran, by the step.
    """

    status: SagaExecution
    events: tuple[Event, ...]
    children: Mapping[str, Run]

    @cached_property
    def done(self) -> Mapping[str, Mapping[str, Any]]:
        """Output of each completed action, in the order in which they began."""
        outputs = {
            event.data["step"]: event.data.get("output", {})
            for event in self.events
            if event.type == "STEP_COMPLETED"
        }
        out: dict[str, Mapping[str, Any]] = {}
        for name in self._begun(Direction.DO):
            if name in outputs:
                out[name] = outputs[name]
        for step, child in self.children.items():
            out |= {f"{step}/{path}": output for path, output in child.done.items()}
        return out

    def begun(self, direction: Direction) -> Iterator[str]:
        """Yield which steps an agent was called for, the latest first."""
        for step, child in reversed([*self.children.items()]):
            yield from (f"{step}/{path}" for path in child.begun(direction))
        yield from reversed(self._begun(direction))

    def _begun(self, direction: Direction) -> list[str]:
        began = _BEGAN[direction]
        return [*dict.fromkeys(e.data["step"] for e in self.events if e.type == began)]

    def was_struck_by(self, fault: Fault) -> bool:
        """Whether a fault has happened."""
        step, _, rest = fault.step.partition("/")
        if rest:
            inner = Fault(rest, fault.kind, fault.direction, fault.times)
            return any(
                child.was_struck_by(inner)
                for name, child in self.children.items()
                if base_name(name) == step
            )
        return any(
            event.type in _WENT_WRONG[fault.direction]
            and base_name(event.data["step"]) == step
            for event in self.events
        )

    def has_told_late(self) -> bool:
        """Whether a result came after its attempt had been given up."""
        own = any(event.type == "STEP_LATE_RESULT" for event in self.events)
        return own or any(child.has_told_late() for child in self.children.values())

    def names(self, path: str = "") -> Iterator[tuple[str, str]]:
        """Yield the ids of the sagas, and words that are the same in each run."""
        yield self.status.saga_id, f"<saga {path}>" if path else "<saga>"
        for step, child in self.children.items():
            yield from child.names(f"{path}/{step}" if path else step)


def collected(
    saga_id: str,
    status: Callable[[str], SagaExecution],
    history: Callable[[str], Iterable[Event]],
) -> Run:
    """Return a saga's run as it stands, asking for it and for its children's."""
    events = tuple(history(saga_id))
    children: dict[str, Run] = {}
    for event in events:
        if event.type == "STEP_WAITING" and "saga" in event.data["for"]:
            step, child_id = event.data["step"], event.data["for"]["saga"]
            try:
                children[step] = collected(child_id, status, history)
            except SagaNotFound:
                continue  # it was never begun
    return Run(status(saga_id), events, children)
