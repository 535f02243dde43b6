"""Random numbers that an iteration has for itself, wherever it is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

__all__ = ["Dice", "draws", "lane", "lanes"]

# NumPy's ``jumped`` goes on by this: 2**128 over the golden ratio. Any number of jumps
# lie as evenly on the period as they can.
_JUMP: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835
_PERIOD: Final = 2**128
# So far apart are the lanes of an iteration. No two of ten million iterations, the most
# that there are, come closer than 2**102, and no lane is used up.
_LANE: Final = 2**64


class Dice:
    """The random numbers of a swarm, iteration by iteration.

    They depend on nothing but seed, purpose and iteration, so that an iteration that
    is computed twice, elsewhere, or together with others comes out the same to the
    bit. An iteration is one jump of a PCG64DXSM (O'Neill 2014): it costs a fifth of a
    generator of its own, and draws twice as fast as a counter-based one.

    Args:
        seed: Of the swarm, 0 to 2**64 - 1.
        purpose: Keeps apart what one iteration draws for different ends, 0 to
            2**64 - 1.
    """

    __slots__ = ("_bits", "_draw", "_start")

    def __init__(self, seed: int, purpose: int = 0) -> None:
        # All words are given, however small the numbers: no two pairs share theirs.
        words = np.array([seed, purpose], "<u8").view("<u4")
        self._bits = np.random.PCG64DXSM(words)
        self._start = self._bits.state
        self._draw = np.random.Generator(self._bits)

    def at(self, iteration: int) -> np.random.Generator:
        """Return the numbers of one iteration, 0 being how the swarm begins.

        It is the same generator each time: what it draws is the last one's asked for.
        """
        self._bits.state = self._start
        self._bits.advance(iteration * _JUMP % _PERIOD)
        return self._draw


def draws(seed: int, iteration: int, purpose: int = 0) -> np.random.Generator:
    """Return the random numbers of one iteration, from a generator of their own.

    The same as those of ``Dice``, where arguments are told.
    """
    return Dice(seed, purpose).at(iteration)


def lane(draw: np.random.Generator, nth: int) -> np.random.Generator:
    """Return the numbers that one of several has for itself in an iteration.

    They do not depend on how many others there are, or on what those draw.

    Args:
        draw: The iteration's, nothing drawn from them yet; it is the one returned.
        nth: Which of them, from 0; the first has the iteration's own.
    """
    bits: np.random.PCG64DXSM = draw.bit_generator  # type: ignore[assignment]  # see ``Dice``
    bits.advance(nth * _LANE)
    return draw


def lanes(draw: np.random.Generator, count: int) -> Iterator[np.random.Generator]:
    """Yield the numbers of each lane; the same generator each time."""
    start = draw.bit_generator.state
    for nth in range(count):
        draw.bit_generator.state = start
        yield lane(draw, nth)
