"""What may go wrong in a saga: each step alone, and with it each undo and probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestration.core.saga.model import Direction
from orchestration.testing.faults import Fault, FaultKind
from orchestration.testing.runs import Run
from orchestration.testing.stand_ins import base_name

__all__ = ["Scenario", "first_scenarios", "further_scenarios"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong in one run of a saga; with no faults, nothing does."""

    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults)) or "all goes well"

    @property
    def is_about_workers(self) -> bool:
        """Whether a worker dies or stands still in it, which takes a while to see."""
        return any(one.kind.is_death or one.kind is FaultKind.STALLS for one in self)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)


def first_scenarios(well: Run) -> tuple[Scenario, ...]:
    """Return those in which one step goes wrong.

    Args:
        well: The run in which all went well: it tells which steps are done.
    """
    steps = dict.fromkeys(_in_definition(path) for path in well.done)
    return tuple(
        Scenario((fault,))
        for step in steps
        for kind in FaultKind
        for fault in _faults(step, kind, Direction.DO)
    )


def further_scenarios(scenario: Scenario, run: Run) -> tuple[Scenario, ...]:
    """Return those in which an undo or a probe of a run goes wrong as well."""
    asked = dict.fromkeys(
        (_in_definition(path), direction)
        for direction in (Direction.UNDO, Direction.PROBE)
        for path in run.begun(direction)
    )
    return tuple(
        Scenario((*scenario.faults, fault))
        for step, direction in asked
        for kind in FaultKind
        if kind is not FaultKind.STALLS
        for fault in _faults(step, kind, direction)
    )


def _faults(step: str, kind: FaultKind, direction: Direction) -> Iterator[Fault]:
    """Yield the fault as it happens once, and for good where that is another end."""
    yield Fault(step, kind, direction, times=1)
    is_rare = kind.is_death and direction is not Direction.DO
    if kind is not FaultKind.STALLS and not is_rare:
        yield Fault(step, kind, direction)


def _in_definition(path: str) -> str:
    return "/".join(map(base_name, path.split("/")))
