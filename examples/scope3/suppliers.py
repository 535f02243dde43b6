"""The supplier database: any part of it can be made alone, and always comes out alike.

Each figure of a supplier is a function of (seed, its index, which figure) and of
nothing else, by SplitMix64 (Steele, Lea and Flood 2014) in whole numbers. So a
partition is made where it is worked on, no file is handed round, and the suppliers of
1,000 partitions are those of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from examples.scope3.factors import Factors

__all__ = ["NOT_REPORTED", "SupplierDatabase", "Suppliers"]

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

NOT_REPORTED: Final = -1

_LEAST_CENTS: Final = 50_000
_MOST_DOUBLINGS: Final = 12
_CENTS_WH_PER_KWH_EUR: Final = 100_000
_USE_PERCENT: Final = (40, 200)  # of what is usual in the sector
_GAMMA, _MIX_1, _MIX_2 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)


class _Draw(IntEnum):
    """What a random number of a supplier is for."""

    COUNTRY = 0
    SECTOR = 1
    SIZE = 2
    SPEND = 3
    REPORTS = 4
    USE = 5


@dataclass(frozen=True, slots=True)
class Suppliers:
    """Columns, one row for each supplier; all but ``index`` as their names say.

    Attributes:
        index: Of the supplier in the whole database.
        country: Place of its country in ``Factors.grid``.
        sector: Place of its sector in ``Factors.sectors``.
        spend_cents: What was spent with it in the year, in euro cents.
        energy_kwh: The electricity that it says it has used for that, or NOT_REPORTED.
    """

    index: Integers
    country: Integers
    sector: Integers
    spend_cents: Integers
    energy_kwh: Integers

    def __len__(self) -> int:
        return len(self.index)

    @property
    def ids(self) -> Sequence[str]:
        """Name the suppliers, ``SUP-000000`` and on."""
        return [f"SUP-{index:06}" for index in self.index.tolist()]


@dataclass(frozen=True, slots=True)
class SupplierDatabase:
    """Makes suppliers.

    A supplier's country is drawn in proportion to the electricity that the country
    generates, its sector by the sectors' shares, and its size as firms' sizes are: each
    doubling half as frequent (Zipf's law, Axtell 2001), 500 euros to 4 million.
    """

    factors: Factors
    size: int = 100_000
    seed: int = 2024

    def count(self) -> int:
        """How many suppliers there are."""
        return self.size

    def slice(self, index: int, of: int) -> Suppliers:
        """Return one of ``of`` parts, whose sizes differ by at most one supplier."""
        begin, end = (self.size * nth // of for nth in (index, index + 1))
        return self.between(begin, end)

    def between(self, begin: int, end: int) -> Suppliers:
        """Return the suppliers from one index to before another."""
        index = np.arange(begin, end, dtype=np.int64)
        factors = self.factors
        grid_weights = [one.generation_10gwh for one in factors.grid]
        country = _chosen(self._draw(index, _Draw.COUNTRY), grid_weights)
        shares = [one.share_percent for one in factors.sectors]
        sector = _chosen(self._draw(index, _Draw.SECTOR), shares)
        spend_cents = self._spend(index)
        return Suppliers(
            index,
            country,
            sector,
            spend_cents,
            self._energy(index, sector, spend_cents),
        )

    def _spend(self, index: Integers) -> Integers:
        word = self._draw(index, _Draw.SIZE)
        # The lowest bit that is set: 1 in half of the cases, 2 in a quarter, and so on.
        doubled = word & (~word + np.uint64(1))
        # None is set once in 2**64: then it is the largest, too.
        capped = np.where(doubled == 0, 2**_MOST_DOUBLINGS, doubled)
        at_least = _LEAST_CENTS * np.minimum(capped, 2**_MOST_DOUBLINGS).astype(
            np.int64
        )
        return at_least + _below(self._draw(index, _Draw.SPEND), at_least)

    def _energy(
        self, index: Integers, sector: Integers, spend_cents: Integers
    ) -> Integers:
        sectors = self.factors.sectors
        usual_wh = _column([one.wh_per_eur for one in sectors])[sector]
        willing = _column([one.reporting_percent for one in sectors])[sector]
        lowest, highest = _USE_PERCENT
        span = _column([highest - lowest + 1])
        percent = lowest + _below(self._draw(index, _Draw.USE), span)
        kwh = spend_cents * usual_wh * percent // (100 * _CENTS_WH_PER_KWH_EUR)
        hundred = _below(self._draw(index, _Draw.REPORTS), _column([100]))
        return np.where(hundred < willing, kwh, NOT_REPORTED)

    def _draw(self, index: Integers, purpose: _Draw) -> Words:
        """Return 64 random bits for each supplier."""
        nth = index.astype(np.uint64) * np.uint64(len(_Draw)) + np.uint64(purpose + 1)
        return _mixed(nth * _GAMMA + _mixed(np.array([self.seed], np.uint64)))


def _mixed(word: Words) -> Words:
    """Return SplitMix64's output of a state."""
    word = (word ^ (word >> np.uint64(30))) * _MIX_1
    word = (word ^ (word >> np.uint64(27))) * _MIX_2
    mixed: Words = word ^ (word >> np.uint64(31))
    return mixed


def _below(word: Words, bound: Integers) -> Integers:
    """Return whole numbers from 0 to before ``bound``, which is less than 2**31."""
    high = word >> np.uint64(32)
    return ((high * bound.astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def _chosen(word: Words, weights: Sequence[int]) -> Integers:
    """Return places in ``weights``, each as often as it weighs."""
    ends = np.cumsum(_column(weights))
    return np.searchsorted(ends, _below(word, ends[-1:]), side="right").astype(np.int64)


def _column(values: Sequence[int]) -> Integers:
    return np.array(values, np.int64)
