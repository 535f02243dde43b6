"""The functions on which searches are compared, with their usual bounds.

All have their least value, 0.0, at one place. They take positions of shape ``(n, d)``
and return values of shape ``(n,)``. Definitions: Yao, Liu and Lin (1999), whose number
8 is Schwefel's; that of Levy is from Surjanovic and Bingham's collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from orchestration.core.swarm.motion import Fitness
from orchestration.core.swarm.state import Floats

__all__ = ["STANDARD", "Standard", "shifted"]

_SCHWEFEL_AT: Final = 420.968746359982
_SCHWEFEL_BEST: Final = 418.9828872724338


@dataclass(frozen=True, slots=True)
class Standard:
    """One function.

    Attributes:
        name: Of the function.
        values: The values of positions.
        bound: It is searched from ``-bound`` to ``bound`` in each dimension.
        optimum: Where in each dimension it is least.
        shiftable: Whether it is nowhere less beyond its bounds.
    """

    name: str
    values: Fitness
    bound: float
    optimum: float = 0.0
    shiftable: bool = True


def shifted(function: Standard, shift: Floats) -> Fitness:
    """Return the function with its optimum moved by ``shift``, shape ``(d,)``.

    A search that is drawn to the middle, or to where coordinates are equal, has no
    advantage by that any more.

    Raises:
        ValueError: It has lesser values beyond its bounds, which would come inside.
    """
    if not function.shiftable:
        raise ValueError(f"{function.name} is less beyond its bounds: do not shift it")
    values = function.values
    return lambda positions: values(positions - shift)


def _squares(x: Floats) -> Floats:
    squares: Floats = np.einsum("ij,ij->i", x, x)
    return squares


def _sums(x: Floats) -> Floats:
    sums: Floats = np.einsum("ij->i", x)  # ``sum`` is slow along a short axis
    return sums


def _rastrigin(x: Floats) -> Floats:
    values = _squares(x)
    values -= 10.0 * _sums(np.cos(2.0 * np.pi * x))
    values += 10.0 * x.shape[1]
    return values


def _rosenbrock(x: Floats) -> Floats:
    here, following = x[:, :-1], x[:, 1:]
    along: Floats = 100.0 * _squares(following - here * here)
    return along + _squares(here - 1.0)


def _griewank(x: Floats) -> Floats:
    roots = np.sqrt(np.arange(1.0, x.shape[1] + 1.0))
    waves: Floats = np.cos(x / roots).prod(axis=1)
    return 1.0 + _squares(x) / 4_000.0 - waves


def _ackley(x: Floats) -> Floats:
    dims = x.shape[1]
    far: Floats = 20.0 - 20.0 * np.exp(-0.2 * np.sqrt(_squares(x) / dims))
    waves: Floats = np.e - np.exp(_sums(np.cos(2.0 * np.pi * x)) / dims)
    return far + waves


def _schwefel(x: Floats) -> Floats:
    best: Floats = _SCHWEFEL_BEST * x.shape[1] - _sums(x * np.sin(np.sqrt(np.abs(x))))
    return best


def _levy(x: Floats) -> Floats:
    away = (x - 1.0) / 4.0
    first, inner, last = away[:, 0], away[:, :-1], away[:, -1]
    waves = inner**2 * (1.0 + 10.0 * np.sin(np.pi * (inner + 1.0) + 1.0) ** 2)
    end: Floats = last**2 * (1.0 + np.sin(2.0 * np.pi * last) ** 2)
    end += np.sin(np.pi * first) ** 2
    return _sums(waves) + end


STANDARD: Final[Mapping[str, Standard]] = MappingProxyType(
    {
        function.name: function
        for function in (
            Standard("sphere", _squares, 100.0),
            Standard("rastrigin", _rastrigin, 5.12),
            Standard("rosenbrock", _rosenbrock, 30.0, 1.0),
            Standard("griewank", _griewank, 600.0),
            Standard("ackley", _ackley, 32.0),
            Standard("schwefel", _schwefel, 500.0, _SCHWEFEL_AT, shiftable=False),
            Standard("levy", _levy, 10.0, 1.0),
        )
    }
)
"""By their names."""
