"""When a swarm has done enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

from orchestration.core.jsonable import is_number, is_whole, shown
from orchestration.core.swarm.state import SwarmState

__all__ = [
    "MAX_ITERATIONS",
    "Stopped",
    "Stopping",
    "evaluation_faults",
    "values_asked",
]

MAX_ITERATIONS: Final = 10_000_000
_MAX_EVALUATIONS: Final = 2**53 - 1  # JSON's numbers are exact up to here


class Stopped(StrEnum):
    """Why a swarm does not go on."""

    TARGET = "TARGET"
    CONVERGED = "CONVERGED"
    STALLED = "STALLED"
    EVALUATIONS = "EVALUATIONS"
    ITERATIONS = "ITERATIONS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """What ends a run, whichever comes first; all of it is seen from the state.

    Attributes:
        iterations: At most so many.
        target: The best value is this or less.
        convergence: The swarm's convergence is this or more, above 0.0 to 1.0.
        ftol: The best value got better by no more than ``ftol * (1 + |best|)``...
        window: ...in so many iterations.
        evaluations: At most so many values are asked for, those of iteration 0
            included; None: any number.
    """

    iterations: int = 1_000
    target: float | None = None
    convergence: float | None = None
    ftol: float | None = None
    window: int = 50
    evaluations: int | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the rule that ``to_json`` told of.

        Raises:
            ValueError: It has a key that is no field.
        """
        if unknown := sorted(map(shown, set(value) - set(cls.__dataclass_fields__))):
            raise ValueError(
                f"there is no {', '.join(unknown)} among what stops a swarm: "
                f"use {', '.join(cls.__dataclass_fields__)}"
            )
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        told = asdict(self)
        if self.evaluations is None:  # as before there was such a limit
            del told["evaluations"]
        return told

    def faults(self) -> tuple[str, ...]:
        """Return all that is wrong with it, each with its way out."""
        return tuple(self._faults())

    def note(self, state: SwarmState) -> None:
        """Write into the state since when the best value stands still.

        It belongs before the state is hashed, once in each iteration.
        """
        if self.ftol is None:
            return
        record = state.record
        best, level = float(record["best"]), float(record["level"])
        if best < level and level - best > self.ftol * (1.0 + abs(best)):
            record["level"] = best
            record["level_at"] = record["iteration"]

    def reason(
        self, state: SwarmState, convergence: Callable[[SwarmState], float]
    ) -> Stopped | None:
        """Return why the swarm is to stop; None if it is to go on."""
        if self.target is not None and state.record["best"] <= self.target:
            return Stopped.TARGET
        if self.convergence is not None and convergence(state) >= self.convergence:
            return Stopped.CONVERGED
        if self.ftol is not None:
            still = state.iteration - int(state.record["level_at"])
            if still >= self.window:
                return Stopped.STALLED
        # Where the next iteration has more agents, the swarm sees to it that it fits.
        most = self.evaluations
        if most is not None and values_asked(state) + state.size > most:
            return Stopped.EVALUATIONS
        return Stopped.ITERATIONS if state.iteration >= self.iterations else None

    def _faults(self) -> Iterator[str]:
        for name, most in (
            ("iterations", MAX_ITERATIONS),
            ("window", MAX_ITERATIONS),
        ):
            given = getattr(self, name)
            if not is_whole(given) or not 1 <= given <= most:
                yield f"{name} is {shown(given)}: give it a whole number, 1 to {most:,}"
        yield from evaluation_faults(self.evaluations)
        if self.target is not None and not is_number(self.target):
            yield f"target is {shown(self.target)}: give it a number, or nothing"
        rate = self.convergence
        if rate is not None and not (is_number(rate) and 0.0 < rate <= 1.0):
            yield (
                f"convergence is {shown(rate)}: give it more than 0.0, at most 1.0, "
                f"or nothing"
            )
        if self.ftol is not None and not (is_number(self.ftol) and self.ftol >= 0.0):
            yield f"ftol is {shown(self.ftol)}: give it 0.0 or more, or nothing"


def evaluation_faults(most: Any) -> Iterator[str]:  # noqa: ANN401  whatever was given
    """Name the fault of what is no limit of evaluations."""
    if most is None or (is_whole(most) and 1 <= most <= _MAX_EVALUATIONS):
        return
    yield (
        f"evaluations is {shown(most)}: give it a whole number, 1 to "
        f"{_MAX_EVALUATIONS:,}, or nothing"
    )


def values_asked(state: SwarmState) -> int:
    """Return how many values a swarm that searches has asked for.

    One whose size changes has written them down as its agents' ``energy``; else they
    follow from the iteration.
    """
    written = int(state.record["energy"].sum())
    return written or state.size * (state.iteration + 1)
