"""Where a swarm may search, and what becomes of an agent that would leave."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import numpy as np

from orchestration.core.jsonable import is_number, shown
from orchestration.core.swarm.state import Floats

__all__ = ["MAX_DIMS", "Boundary", "Space", "bound_faults"]

MAX_DIMS: Final = 10_000

_FARTHEST: Final = 1e100  # squares of distances still are numbers


class Boundary(StrEnum):
    """What a bound does to an agent that crosses it."""

    PERIODIC = "PERIODIC"
    """It comes in again on the other side, as fast as it was."""

    REFLECTING = "REFLECTING"
    """It is where the bound mirrors it, and turns back."""

    CLIPPING = "CLIPPING"
    """It is on the bound, and turns back."""

    ALTERNATING = "ALTERNATING"
    """CLIPPING at first, PERIODIC the next three times that all begin anew, then over
    again: what one does not find the other may. The first settles soon, and finds what
    is near the bounds; the second keeps a swarm wide, and finds more among many optima.
    """


_ALTERNATING: Final = (Boundary.CLIPPING, *3 * (Boundary.PERIODIC,))


class Space:
    """A box, and what its walls do.

    Attributes:
        lower: The least of each dimension, shape ``(d,)``.
        upper: The most of each dimension, shape ``(d,)``.
        width: How wide each dimension is, shape ``(d,)``.
        boundary: What becomes of agents that would leave.
        rebound: What an agent keeps of its speed in a dimension in which it is turned
            back: ``v <- -rebound * v``. The 0.5 is SPSO-2011's.
    """

    __slots__ = (
        "_highest",
        "_lowest",
        "boundary",
        "lower",
        "rebound",
        "upper",
        "width",
    )

    def __init__(
        self,
        lower: Sequence[float],
        upper: Sequence[float],
        *,
        boundary: Boundary,
        rebound: float = 0.5,
    ) -> None:
        self.lower: Floats = np.array(lower, np.float64)
        self.upper: Floats = np.array(upper, np.float64)
        self.width: Floats = self.upper - self.lower
        self.boundary = boundary
        self.rebound = rebound
        # Whoever is between these is inside, whatever the dimension.
        self._lowest = float(self.lower.max())
        self._highest = float(self.upper.min())

    def sample(self, count: int, draw: np.random.Generator) -> Floats:
        """Return uniform positions, shape ``(count, d)``."""
        inside = draw.random((count, len(self.lower)))
        inside *= self.width
        inside += self.lower
        return np.minimum(inside, self.upper, out=inside)  # rounding may go beyond

    def keep_in(self, position: Floats, velocity: Floats, lives: int = 0) -> None:
        """Bring every agent inside; both arrays are changed.

        Args:
            position: C-contiguous, shape ``(n, d)``.
            velocity: C-contiguous, shape ``(n, d)``.
            lives: How often the swarm began anew.
        """
        at, speed = position.reshape(-1), velocity.reshape(-1)  # views
        if at[at.argmin()] >= self._lowest and at[at.argmax()] <= self._highest:
            return
        outside = np.flatnonzero((position < self.lower) | (position > self.upper))
        if not outside.size:
            return
        which = outside % len(self.lower)
        lower, upper = self.lower[which], self.upper[which]
        boundary = self.boundary
        if boundary is Boundary.ALTERNATING:
            boundary = _ALTERNATING[lives % len(_ALTERNATING)]
        match boundary:
            case Boundary.PERIODIC:
                there = lower + np.mod(at[outside] - lower, upper - lower)
            case Boundary.REFLECTING:
                width = upper - lower
                there = np.mod(at[outside] - lower, 2.0 * width)
                there = lower + np.minimum(there, 2.0 * width - there)
            case _:
                there = at[outside]
        if boundary is not Boundary.PERIODIC:
            speed[outside] *= -self.rebound
        at[outside] = np.clip(there, lower, upper)


def bound_faults(lower: object, upper: object) -> list[str]:
    """Return all that is wrong with bounds, each with its way out."""
    if not isinstance(lower, tuple) or not isinstance(upper, tuple):
        return [
            f"{name} is {shown(value)}: give it a list of numbers"
            for name, value in (("lower", lower), ("upper", upper))
            if not isinstance(value, tuple)
        ]
    if len(lower) != len(upper) or not 1 <= len(lower) <= MAX_DIMS:
        fault = (
            f"lower has {len(lower)} numbers and upper {len(upper)}: give both one "
            f"for each dimension, of 1 to {MAX_DIMS:,}"
        )
        return [fault]
    sides = [(f"lower[{at}]", value) for at, value in enumerate(lower)]
    sides += [(f"upper[{at}]", value) for at, value in enumerate(upper)]
    faults = [
        f"{name} is {shown(value)}: give it a number, -{_FARTHEST:g} to {_FARTHEST:g}"
        for name, value in sides
        if not is_number(value) or abs(value) > _FARTHEST
    ]
    if faults:
        return faults
    return [
        f"dimension {at} goes from {least:g} to {most:g}: give an upper bound that is "
        f"above the lower one"
        for at, (least, most) in enumerate(zip(lower, upper, strict=True))
        if not least < most
    ]
