"""What becomes of pheromone: it evaporates, spreads, and is laid again.

On a grid it is an array over cells; on trails it is a level and the tick of that level,
so that a trail which nobody asks for costs nothing. Ticks are counted, not measured:
whoever has missed some catches up, and has what he would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from orchestration.core.swarm.checked import Checked, number
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.state import Floats

__all__ = [
    "Deposit",
    "PheromoneSettings",
    "Trail",
    "bounded",
    "caught_up",
    "cells_of",
    "deposited",
    "diffused",
    "evaporated",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PheromoneSettings(Checked):
    """What pheromone does by itself.

    Attributes:
        evaporation: Which part of it is gone after a tick, 0.0 to 1.0.
        diffusion: Which part of a difference between two cells that touch evens out in
            a tick; of a grid. At most 1/6, in which case a cell keeps nothing.
        floor: Pheromone that there is does not get less than this, so that a way that
            was given up may be found again (Stuetzle and Hoos 2000).
        ceiling: It does not get more than this; None: as much as is laid.
    """

    evaporation: float = 0.01
    diffusion: float = 0.0
    floor: float = 0.0
    ceiling: float | None = None

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from number("evaporation", self.evaporation, 0.0, 1.0)
        yield from number("diffusion", self.diffusion, 0.0, 1.0 / 6.0)
        floors = [*number("floor", self.floor)]
        yield from floors
        if not floors and self.floor > 0.0 and self.diffusion:
            yield (
                "floor and diffusion exclude each other, for what spreads thin "
                "would be raised to the floor everywhere: leave one at 0.0"
            )
        if self.ceiling is not None:
            low = 0.0 if floors else self.floor
            yield from number("ceiling", self.ceiling, low, above=True)


@dataclass(frozen=True, slots=True)
class Deposit:
    """What was laid on a grid in one tick.

    Attributes:
        tick: Which one; it is laid after that tick's evaporation and diffusion.
        cells: Numbers of cells as ``cells_of`` returns them, shape ``(k,)``; a cell may
            be there more than once.
        amounts: Shape ``(k,)``.
    """

    tick: int
    cells: Indices
    amounts: Floats


@dataclass(frozen=True, slots=True)
class Trail:
    """Pheromone on one thing to choose.

    Attributes:
        level: How much there was at ``tick``.
        tick: When.
    """

    level: float
    tick: int

    def at(self, tick: int, settings: PheromoneSettings) -> float:
        """Return how much there is at a tick that is not before this one's."""
        if self.level == 0.0:
            return 0.0  # where there is none, there is none to keep
        left = self.level * (1.0 - settings.evaporation) ** (tick - self.tick)
        return max(left, settings.floor)

    def laid(self, amount: float, tick: int, settings: PheromoneSettings) -> Trail:
        """Return the trail after a deposit; one that comes late has evaporated by now.

        Args:
            amount: At least 0.0.
            tick: When it was laid.
            settings: Of the pheromone.
        """
        now = max(tick, self.tick)
        left = amount * (1.0 - settings.evaporation) ** (now - tick)
        level = self.at(now, settings) + left
        if level > 0.0:
            level = max(level, settings.floor)
        if settings.ceiling is not None:
            level = min(level, settings.ceiling)
        return Trail(level, now)


def evaporated(field: Floats, evaporation: float, ticks: int = 1) -> Floats:
    """Return what is left after so many ticks, by the closed form."""
    return np.asarray(field * (1.0 - evaporation) ** ticks)


def diffused(field: Floats, diffusion: float) -> Floats:
    """Return a grid after a tick in which each cell evens out with those it touches.

    What one cell gives, another gets, and nothing leaves the grid: the sum stays. In
    three dimensions that is the seven-point stencil.
    """
    spread = field.copy()
    for axis in range(field.ndim):
        flow = np.diff(field, axis=axis)
        flow *= diffusion
        along = np.moveaxis(spread, axis, 0)
        flow = np.moveaxis(flow, axis, 0)
        along[:-1] += flow
        along[1:] -= flow
    return spread


def deposited(field: Floats, cells: Indices, amounts: Floats) -> Floats:
    """Return a grid with amounts added to cells; to one cell all that it gets."""
    added = np.bincount(cells, amounts, field.size).reshape(field.shape)
    return np.asarray(field + added)


def bounded(field: Floats, settings: PheromoneSettings) -> Floats:
    """Return a field within floor and ceiling; where there is none, none it stays."""
    if settings.ceiling is not None:
        field = np.minimum(field, settings.ceiling)
    if settings.floor > 0.0:
        field = np.where(field > 0.0, np.maximum(field, settings.floor), 0.0)
    return field


def caught_up(
    field: Floats,
    settings: PheromoneSettings,
    *,
    since: int,
    until: int,
    deposits: Sequence[Deposit] = (),
) -> Floats:
    """Return a grid at a later tick, each deposit laid at its own.

    Without diffusion ticks in which nothing is laid are done in one go, which differs
    from tick by tick by less than 1e-12 of each value. With diffusion all are done.

    Args:
        field: At the tick ``since``, within its bounds.
        settings: Of the pheromone.
        since: The last tick that is done.
        until: The last tick that is to be done.
        deposits: After ``since``, up to ``until``, in the order of their ticks.

    Raises:
        ValueError: A deposit is of no such tick, or before the one ahead of it.
    """
    at = since
    for deposit in deposits:
        if not max(at, since + 1) <= deposit.tick <= until:
            raise ValueError(
                f"a deposit of tick {deposit.tick} cannot be laid when those up to "
                f"{at} are done and {until} is the last: sort them by their ticks"
            )
        field = _lapsed(field, settings, deposit.tick - at)
        field = bounded(deposited(field, deposit.cells, deposit.amounts), settings)
        at = deposit.tick
    return _lapsed(field, settings, until - at)


def cells_of(position: Floats, side: float, shape: Sequence[int]) -> Indices:
    """Return in which cell of a grid over a cube each position is, shape ``(n,)``.

    Who is outside is in the cell at the edge.
    """
    along = [
        np.clip(np.floor(each * (cells / side)), 0, cells - 1).astype(np.intp)
        for each, cells in zip(position.T, shape, strict=True)
    ]
    return np.asarray(np.ravel_multi_index(tuple(along), tuple(shape)), np.intp)


def _lapsed(field: Floats, settings: PheromoneSettings, ticks: int) -> Floats:
    if settings.diffusion == 0.0:
        return bounded(evaporated(field, settings.evaporation, ticks), settings)
    for _ in range(ticks):
        field = evaporated(field, settings.evaporation)
        field = bounded(diffused(field, settings.diffusion), settings)
    return field
