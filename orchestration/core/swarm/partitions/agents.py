"""Who lives in a swarm that shares out partitions, and what they have.

Attempts that have ended pay and charge them; ticks let them die, have children and be
replaced, as in any swarm. An agent that has died meanwhile can neither be paid nor
charged: what it would have got is not in the books.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Protocol

import numpy as np

from orchestration.core.swarm.energy import (
    EnergySettings,
    Ledger,
    charged,
    earned,
    endowed,
)
from orchestration.core.swarm.evolution import EvolutionSettings, reproduced
from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.population import buried, replenished
from orchestration.core.swarm.randomness import draws
from orchestration.core.swarm.roles import CODES, RoleShares, assigned, having
from orchestration.core.swarm.state import Counts, Floats, SwarmState
from orchestration.core.swarm.task import SwarmTask

__all__ = ["Agents", "Happened"]

_PURPOSE: Final = 3  # of random numbers, apart from those of motion
_WEAK: Final = 10
"""Nurses recharge who has less than one part in so many of a beginner's energy..."""

_RECHARGE: Final = 2
"""...by one part in so many of it..."""

_PATIENTS: Final = 1
"""...and so many of them in a tick."""


class Attempt(Protocol):
    """An attempt that has ended."""

    @property
    def partition(self) -> int:
        """At which partition."""

    @property
    def agent(self) -> int:
        """Whose."""

    @property
    def quality(self) -> float | None:
        """Of what was done; None: it came to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What became of agents in a tick.

    Attributes:
        died: Ids of those who had no energy left.
        born: Of children of rich parents.
        replaced: Of those whom nurses have raised in place of the dead.
    """

    died: tuple[int, ...]
    born: tuple[int, ...]
    replaced: tuple[int, ...]


@dataclass(slots=True)
class Agents:
    """The agents of a swarm.

    Attributes:
        state: A row for each that lives; they are nowhere, so places mean nothing.
        ledger: Where energy came from, and where it went.
        wanted: How many there are to be.
        shares: Which part of them has which role.
        seed: Of their random numbers.
        settings: What is paid for what.
        replaced: How many were raised by nurses.
    """

    state: SwarmState
    ledger: Ledger
    wanted: int
    shares: RoleShares
    seed: int
    settings: EnergySettings
    replaced: int = 0

    @classmethod
    def new(cls, task: SwarmTask, settings: EnergySettings | None = None) -> Agents:
        """Return the agents that a task begins with."""
        settings = settings or EnergySettings()
        shares = task.role_shares
        state = SwarmState.blank(task.agents_required, 1)
        state.record["role"] = assigned(task.agents_required, shares)
        ledger = endowed(state, settings)
        seed = task.seed
        return cls(state, ledger, task.agents_required, shares, seed, settings)

    @property
    def energy(self) -> int:
        """What all of them have together; equals ``ledger.balance``."""
        return int(self.state.record["energy"].sum())

    @property
    def ids(self) -> list[int]:
        """Who lives."""
        return [int(one) for one in self.state.record["agent"]]

    @property
    def roles(self) -> dict[int, AgentRole]:
        """The role of each that lives, by its id."""
        codes = self.state.record["role"].tolist()
        return {one: ROLES[code] for one, code in zip(self.ids, codes, strict=True)}

    @property
    def counts(self) -> dict[AgentRole, int]:
        """How many have each role."""
        found = np.bincount(self.state.record["role"], minlength=len(ROLES))
        return {role: int(found[CODES[role]]) for role in ROLES}

    def digest(self) -> str:
        """Return the SHA-256 of who lives, what they have, and of the books, in hex."""
        digest = sha256(self.state.to_bytes())
        digest.update(repr(self.ledger).encode())
        return digest.hexdigest()

    def tick(self, number: int, news: Iterable[Attempt], weights: Floats) -> Happened:
        """Have agents live on by one tick.

        Args:
            number: Of the tick, from 1.
            news: Attempts that have ended since the last one.
            weights: Of all partitions.
        """
        self._settle(news, weights)
        self.state, self.ledger, died = buried(self.state, self.ledger)
        born, replaced = self._reproduce(number), self._replenish()
        self._recharge()
        self.state.record["iteration"] = number
        return Happened(
            died=tuple(died.tolist()), born=tuple(born), replaced=tuple(replaced)
        )

    def _settle(self, news: Iterable[Attempt], weights: Floats) -> None:
        """Pay and charge agents for attempts, and charge those who made none."""
        row_of = {agent: row for row, agent in enumerate(self.ids)}
        settings = self.settings
        income: Counts = np.zeros(self.state.size, np.int64)
        cost: Counts = np.zeros(self.state.size, np.int64)
        for one in news:
            row = row_of.get(one.agent)
            if row is None:
                continue
            cost[row] += settings.price(float(weights[one.partition]))
            if one.quality is None:
                cost[row] += settings.per_failure
            else:
                income[row] += settings.income(one.quality)
        cost[(cost == 0) & (income == 0)] = settings.per_idle
        self.ledger = earned(self.state, self.ledger, income)
        self.ledger = charged(self.state, self.ledger, cost)

    def _reproduce(self, number: int) -> list[int]:
        before = self.state.size
        if before:
            self._rank()
            dice = draws(self.seed, number, _PURPOSE)
            settings = EvolutionSettings(max_agents=self.wanted)
            self.state, self.ledger = reproduced(
                self.state, self.ledger, self.settings, settings, dice
            )
        return self.ids[before:]

    def _rank(self) -> None:
        """Let those be the fittest who have most."""
        self.state.record["value"] = -self.state.record["energy"]

    def _replenish(self) -> list[int]:
        before = self.state.size
        if not before:  # nobody is left who could raise anybody: begin anew
            first = int(self.state.record["next_id"])
            self.state = SwarmState.blank(self.wanted, 1)
            record = self.state.record
            record["agent"] += first
            record["next_id"] = first + self.wanted
            record["role"] = assigned(self.wanted, self.shares)
            fresh = endowed(self.state, self.settings)
            injected = self.ledger.injected + fresh.initial
            self.ledger = replace(self.ledger, injected=injected)
        else:
            self.state, self.ledger = replenished(
                self.state,
                self.ledger,
                self.settings,
                agents=self.wanted,
                shares=self.shares,
            )
        raised = self.ids[before:]
        self.replaced += len(raised)
        return raised

    def _recharge(self) -> None:
        """Have nurses recharge the weakest."""
        energy, first = self.state.record["energy"], self.settings.initial
        nurses = len(having(self.state, AgentRole.NURSE))
        weakest = np.argsort(energy, kind="stable")[: nurses * _PATIENTS]
        weak = weakest[energy[weakest] < first // _WEAK]
        energy[weak] += first // _RECHARGE
        injected = self.ledger.injected + len(weak) * (first // _RECHARGE)
        self.ledger = replace(self.ledger, injected=injected)
