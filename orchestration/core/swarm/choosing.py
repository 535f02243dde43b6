"""What a forager chooses by the pheromone that is on each option."""

from __future__ import annotations

import numpy as np

from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.roles import CODES, Roles
from orchestration.core.swarm.state import Floats

__all__ = ["chosen", "odds", "picked"]


def odds(levels: Floats, alpha: float = 2.0) -> Floats:
    """Return how likely each option is: ``level**alpha`` by the sum of all (S-ACO).

    Args:
        levels: At least 0.0, shape ``(..., k)``; if all are 0.0, all are as likely.
        alpha: How much more is better: above 1.0 what is chosen is chosen ever more.
    """
    highest = levels.max(axis=-1, keepdims=True)
    weight = np.where(highest > 0.0, levels, 1.0) / np.where(
        highest > 0.0, highest, 1.0
    )
    weight = weight**alpha
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def picked(odds: Floats, spin: Floats) -> Indices:
    """Return the options on which the dice fall.

    Args:
        odds: Shape ``(..., k)``, each row adding up to 1.0.
        spin: The dice: 0.0 to less than 1.0, shape ``(..., m)``.

    Returns:
        Shape ``(..., m)``.
    """
    ends = np.cumsum(odds, axis=-1)
    ends[..., -1] = 1.0
    return np.asarray((spin[..., np.newaxis] >= ends[..., np.newaxis, :]).sum(axis=-1))


def chosen(
    levels: Floats, roles: Roles, draw: np.random.Generator, *, alpha: float = 2.0
) -> Indices:
    """Return what each of some agents chooses, shape ``(m,)``.

    All go by the pheromone, but for scouts: they go where there is none, as long as
    there is such an option.

    Args:
        levels: Of the options, shape ``(k,)``.
        roles: Of the agents, shape ``(m,)``.
        draw: The dice.
        alpha: See ``odds``.
    """
    choice = picked(odds(levels, alpha), draw.random(len(roles)))
    unknown = np.flatnonzero(levels == 0.0)
    if unknown.size:
        scouts = np.flatnonzero(roles == CODES[AgentRole.SCOUT])
        choice[scouts] = unknown[draw.integers(len(unknown), size=len(scouts))]
    return choice
