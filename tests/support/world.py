"""What the test agents have done to the world: their file of effects, read at once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

__all__ = ["Attempt", "Effect", "World"]


class Attempt(NamedTuple):
    """One attempt at a step's doing (``do``), its ``undo`` or its ``probe``."""

    saga_id: str
    step: str
    direction: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the file.

    Attributes:
        what: ``begin``, ``do``, ``unbegin``, ``undo`` or ``probe``.
        key: The idempotency key that the action was given.
        locks: Fencing number of each lock that the saga holds.
    """

    what: str
    saga_id: str
    step: str
    attempt: int
    pid: int
    round: int
    key: str
    locks: Mapping[str, int]

    @classmethod
    def of(cls, line: str) -> Self:
        *words, attempt, pid, round_, key, locks = line.split()
        numbers = map(int, (attempt, pid, round_))
        return cls(*words, *numbers, key, json.loads(locks))

    @property
    def fence(self) -> int:
        """Highest fencing number of the saga's locks; 0 without locks."""
        return max(self.locks.values(), default=0)

    @property
    def of_attempt(self) -> Attempt:
        """The attempt that it belongs to."""
        direction = {"unbegin": "undo", "undo": "undo", "probe": "probe"}
        return Attempt(
            self.saga_id, self.step, direction.get(self.what, "do"), self.attempt
        )


@dataclass(frozen=True, slots=True)
class World:
    """Every effect so far, in the order in which they came."""

    effects: Sequence[Effect]
    by_saga: Mapping[str, Sequence[Effect]] = field(init=False)

    def __post_init__(self) -> None:
        by_saga: dict[str, list[Effect]] = defaultdict(list)
        for effect in self.effects:
            by_saga[effect.saga_id].append(effect)
        object.__setattr__(self, "by_saga", by_saga)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the file as it stands; a line is written at once, or not at all."""
        text = path.read_text() if path.exists() else ""
        return cls([Effect.of(line) for line in text.splitlines()])

    def done(self, saga_id: str, what: str = "do") -> list[str]:
        """Return the steps with such an effect, in order."""
        return [e.step for e in self.by_saga.get(saga_id, ()) if e.what == what]

    def left(self, saga_id: str) -> set[str]:
        """Return the steps whose last effect has not been undone after it."""
        left: set[str] = set()
        for effect in self.by_saga.get(saga_id, ()):
            if effect.what == "do":
                left.add(effect.step)
            elif effect.what == "undo":
                left.discard(effect.step)
        return left

    def doubled(self) -> list[list[Attempt]]:
        """Return the attempts that took one effect more than once, key by key."""
        by_key: dict[str, list[Attempt]] = defaultdict(list)
        for effect in self.effects:
            if effect.what in ("do", "undo"):
                by_key[effect.key].append(effect.of_attempt)
        return [attempts for attempts in by_key.values() if len(attempts) > 1]

    def last_of(self, pid: int) -> Effect | None:
        """Return the latest line that a process has written."""
        return next((e for e in reversed(self.effects) if e.pid == pid), None)
