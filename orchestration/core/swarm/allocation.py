"""Who of a swarm takes up a task, by how strongly it calls.

Each agent has a threshold: below it the call hardly moves it, above it hardly leaves it
alone (fixed response thresholds, Bonabeau, Theraulaz and Deneubourg 1996). Soldiers
have a high one: as long as others do the work, they stand by; where these do not
suffice, the call grows until they help.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration.core.swarm.checked import Checked, number
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.roles import CODES, Roles
from orchestration.core.swarm.state import Floats

__all__ = ["ResponseSettings", "allocated", "balance", "response", "thresholds"]

Active = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSettings(Checked):
    """How a task calls, and how agents respond.

    Attributes:
        soldier: Their threshold.
        other: That of all others.
        demand: What is added to the call in each iteration.
        work: What it is lessened by in each iteration if all work.
        rest: How likely one who works stops, in each iteration.
    """

    soldier: float = 8.0
    other: float = 1.0
    demand: float = 1.0
    work: float = 3.0
    rest: float = 0.2

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        for name in ("soldier", "other", "work"):
            yield from number(name, getattr(self, name), above=True)
        yield from number("demand", self.demand)
        yield from number("rest", self.rest, 0.0, 1.0)


def thresholds(roles: Roles, settings: ResponseSettings) -> Floats:
    """Return the threshold of each agent, shape as ``roles``."""
    soldiers = roles == CODES[AgentRole.SOLDIER]
    return np.where(soldiers, settings.soldier, settings.other)


def response(stimulus: Floats, threshold: Floats) -> Floats:
    """Return how likely an idle agent takes up the task: s^2 / (s^2 + threshold^2)."""
    square = np.square(stimulus)
    return np.asarray(square / (square + np.square(threshold)))


def allocated(
    active: Active,
    stimulus: Floats,
    threshold: Floats,
    settings: ResponseSettings,
    draw: np.random.Generator,
) -> tuple[Active, Floats]:
    """Return who works after an iteration, and how strongly the task calls then.

    Args:
        active: Who works, shape ``(..., n)``.
        stimulus: How strongly the task calls, at least 0.0, shape ``(...)``.
        threshold: Of each agent, shape ``(..., n)``.
        settings: Of task and agents.
        draw: The dice.
    """
    stimulus = np.asarray(stimulus, np.float64)
    spin = draw.random(active.shape)
    likely = response(stimulus[..., np.newaxis], threshold)
    active = np.where(active, spin >= settings.rest, spin < likely)
    called = stimulus + settings.demand - settings.work * active.mean(axis=-1)
    return active, np.maximum(called, 0.0)


def balance(active: Active, settings: ResponseSettings) -> float:
    """Return how near the part that works is to what the task demands, 0.0 to 1.0.

    In the long run that part is ``demand / work``, whoever the agents are.
    """
    wanted = settings.demand / settings.work
    off = abs(float(active.mean()) - wanted)
    return max(0.0, 1.0 - off / wanted) if wanted else float(off == 0.0)
