"""What a prover has found: each scenario, its end, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from orchestration.core.saga.model import SagaState
from orchestration.testing.scenarios import Scenario

__all__ = ["Proof", "RollbackBroken", "Tried"]

_MOST_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Tried:
    """One scenario that was run.

    Attributes:
        state: The saga's end.
        faults: What is wrong with it, a sentence each; the differences in the world
            among them.
        untold: Why the world could not be judged, or nothing.
    """

    scenario: Scenario
    state: SagaState
    faults: tuple[str, ...] = ()
    untold: str = ""

    def __str__(self) -> str:
        head = f"{self.scenario}: {self.state}"
        if self.untold:
            head += f" (cannot be judged: {self.untold})"
        return "\n".join([head, *(_indented(fault) for fault in self.faults)])


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of all scenarios of a saga; as text, a line for each.

    Attributes:
        saga: The saga's name.
        tried: Each scenario, in the order in which they were run.
    """

    saga: str
    tried: tuple[Tried, ...]

    @property
    def broken(self) -> tuple[Tried, ...]:
        """Those with a fault."""
        return tuple(one for one in self.tried if one.faults)

    @property
    def untold(self) -> tuple[Tried, ...]:
        """Those that could not be judged."""
        return tuple(one for one in self.tried if one.untold)

    def check(self) -> None:
        """Pass if there is no fault.

        Raises:
            RollbackBroken: There is one, or no scenario was run.
        """
        if self.broken or not self.tried:
            raise RollbackBroken(self)

    def __str__(self) -> str:
        return "\n".join([self.summary(), *map(str, self.tried)])

    def summary(self) -> str:
        """Return in a line what was tried and how it ended."""
        ends = Counter(str(one.state) for one in self.tried)
        told = ", ".join(f"{count} {state}" for state, count in ends.most_common())
        text = f"saga {self.saga!r}: {len(self.tried)} scenarios: {told or 'none'}"
        if self.untold:
            text += f"; {len(self.untold)} could not be judged"
        return text


class RollbackBroken(AssertionError):
    """A saga leaves another world than it says; the text tells when, and where.

    Attributes:
        proof: All that was tried.
    """

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        super().__init__(_told(proof))


def _told(proof: Proof) -> str:
    broken = proof.broken
    if not broken:
        return f"nothing was tried of saga {proof.saga!r}: 'only' left no scenario"
    lines = [f"{len(broken)} scenarios end badly; {proof.summary()}"]
    plain_first = sorted(broken, key=lambda one: len(one.scenario.faults))
    lines += map(str, plain_first[:_MOST_TOLD])
    if len(broken) > _MOST_TOLD:
        lines.append(f"and {len(broken) - _MOST_TOLD} more: see the error's proof")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
