"""The world as it is with the effects of some steps in it, and of no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from orchestration.core.saga.model import SagaState
from orchestration.testing.runs import Run
from orchestration.testing.snapshots import Difference, differences
from orchestration.testing.stand_ins import base_name

__all__ = ["References"]


@dataclass(frozen=True, slots=True)
class References:
    """Makes each such world once, by a saga in which the other steps are left out.

    Attributes:
        before: The world that no step has touched.
        well: The run in which all went well.
        after: The world after it.
        without: Runs the saga with stand-ins for some steps, by their outputs;
            returns the run, and the world after it.
    """

    before: Any
    well: Run
    after: Any
    without: Callable[[Mapping[str, Mapping[str, Any]]], tuple[Run, Any]]
    _made: dict[frozenset[str], tuple[Any] | None] = field(default_factory=dict)

    @property
    def steps(self) -> Set[str]:
        """The steps that have effects, by their paths."""
        return self.well.done.keys()

    def find(self, steps: Set[str]) -> tuple[Any] | None:
        """Return the world with the effects of these; None if there cannot be one.

        So it is if a step cannot be done where another has not been.
        """
        wanted = frozenset(steps & self.steps)
        if not wanted:
            return (self.before,)
        if wanted == self.steps:
            return (self.after,)
        if wanted not in self._made:
            self._made[wanted] = self._make(wanted)
        return self._made[wanted]

    def _make(self, wanted: Set[str]) -> tuple[Any] | None:
        outputs = {
            _in_definition(path): output
            for path, output in self.well.done.items()
            if path not in wanted
        }
        # All sagas of a step that is done once per item have one definition.
        if not outputs.keys().isdisjoint(map(_in_definition, wanted)):
            return None
        run, world = self.without(outputs)
        return (world,) if run.status.state is SagaState.COMPLETED else None

    def left_of(self, world: object, stands: Set[str]) -> str | None:
        """Return the one step whose effect makes the whole difference, if one does."""
        for step in self.steps - stands:
            with_it = self.find({*stands, step})
            if with_it is not None and with_it[0] == world:
                return step
        return None

    def touched_by(self, found: Sequence[Difference]) -> tuple[str, ...]:
        """Return the steps that change what worlds differ in."""
        return tuple(step for step in self.steps if self._touches(step, found))

    def _touches(self, step: str, found: Sequence[Difference]) -> bool:
        world = self.find({step})
        if world is None:
            return False
        own = differences(world[0], self.before)
        return any(mine.is_about(other) for mine in own for other in found)


def _in_definition(path: str) -> str:
    """Return the path as stand-ins have it: items are told apart at its end only."""
    *parents, step = path.split("/")
    return "/".join([*map(base_name, parents), step])
