"""What agents earn and spend: whole numbers, so that the books are exact.

Work costs energy, what is committed brings some in. At any time, after any crash or
replay, the energy of all agents is what was there at first, and what was put in, and
what came in, less what was paid. Nobody has less than nothing: what an agent cannot pay
is written down as unpaid, and the agent is exhausted. The form is that of Liu and
Winfield (2007); the figures are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from orchestration.core.swarm.checked import Checked, whole
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.state import Counts, SwarmState

__all__ = [
    "EnergySettings",
    "Ledger",
    "charged",
    "earned",
    "endowed",
    "exhausted",
    "fertile",
]

_MOST = 2**40  # a hundred thousand agents with as much are within 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySettings(Checked):
    """What is paid for what.

    Attributes:
        initial: What an agent has when it is put in.
        per_weight: What a partition of weight 1 costs: its declared weight, not the
            time it took, or the books would depend on the clock.
        per_failure: What a failed attempt costs.
        per_idle: What a tick costs in which nothing was done.
        per_commit: What a partition of quality 1.0 brings in when it is committed.
        reproduces_at: From how many times ``initial`` on an agent reproduces.
    """

    initial: int = 1_000
    per_weight: int = 10
    per_failure: int = 50
    per_idle: int = 1
    per_commit: int = 100
    reproduces_at: int = 2

    def price(self, weight: float) -> int:
        """Return what a partition of that weight costs."""
        return round(self.per_weight * weight)

    def income(self, quality: float) -> int:
        """Return what a partition of that quality, 0.0 to 1.0, brings in."""
        return round(self.per_commit * quality)

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from whole("initial", self.initial, 1, _MOST)
        for name in ("per_weight", "per_failure", "per_idle", "per_commit"):
            yield from whole(name, getattr(self, name), 0, _MOST)
        yield from whole("reproduces_at", self.reproduces_at, 2, 1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What went in and out since a swarm began.

    Attributes:
        initial: What its agents had at first.
        injected: What was put in with agents that came later.
        income: What agents earned.
        cost: What they paid.
        unpaid: What they could not pay.
        deaths: How many died.
        births: How many were born by others; those put in do not count.
        evolution_overflow: How many were not born because the swarm was full.
    """

    initial: int = 0
    injected: int = 0
    income: int = 0
    cost: int = 0
    unpaid: int = 0
    deaths: int = 0
    births: int = 0
    evolution_overflow: int = 0

    @property
    def balance(self) -> int:
        """What all agents together have."""
        return self.initial + self.injected + self.income - self.cost

    def agrees(self, state: SwarmState) -> bool:
        """Tell whether they do have it."""
        return int(state.record["energy"].sum()) == self.balance


def endowed(state: SwarmState, settings: EnergySettings) -> Ledger:
    """Give each agent its first energy, and open the books; ``state`` is changed."""
    state.record["energy"] = settings.initial
    return Ledger(initial=settings.initial * state.size)


def charged(state: SwarmState, ledger: Ledger, cost: Counts) -> Ledger:
    """Let each pay what it owes, as far as it can; ``state`` is changed.

    Args:
        state: Whose agents pay.
        ledger: The books so far.
        cost: At least 0, shape ``(n,)``.
    """
    energy = state.record["energy"]
    paid = np.minimum(cost, energy)
    energy -= paid
    total, owed = int(paid.sum()), int(cost.sum())
    return replace(
        ledger, cost=ledger.cost + total, unpaid=ledger.unpaid + owed - total
    )


def earned(state: SwarmState, ledger: Ledger, income: Counts) -> Ledger:
    """Give each what it earned, at least 0, shape ``(n,)``; ``state`` is changed."""
    state.record["energy"] += income
    return replace(ledger, income=ledger.income + int(income.sum()))


def exhausted(state: SwarmState) -> Indices:
    """Return the rows of those who have nothing left."""
    return np.flatnonzero(state.record["energy"] <= 0)


def fertile(state: SwarmState, settings: EnergySettings) -> Indices:
    """Return the rows of those who have enough for two."""
    enough = settings.reproduces_at * settings.initial
    return np.flatnonzero(state.record["energy"] >= enough)
