"""Which rows of the replica have a word: a capability, a tag, a kind of service.

A word that many rows have is a column of booleans, which many words are ANDed from in
microseconds; a rare one is a set of rows. So a word costs at most about 64 bytes for
each row that has it, however many words there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mask", "Posting", "Postings", "Rows", "Words", "united"]

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

_DENSE_SHARE: Final = 64  # a column pays off from one row in so many
_SPARSE_SHARE: Final = 128  # and is given up below one in so many
_DENSE_FROM: Final = 16


class Posting:
    """The rows that have one word.

    Attributes:
        count: How many they are.
        mask: One boolean for each row of the replica; None: ``_rows`` has them.
    """

    __slots__ = ("_rows", "count", "mask")

    def __init__(self) -> None:
        self.count = 0
        self.mask: Mask | None = None
        self._rows: set[int] = set()

    def add(self, row: int, capacity: int) -> None:
        """Take a row in; twice is once."""
        if self.mask is not None:
            self.count += not self.mask[row]
            self.mask[row] = True
            return
        self._rows.add(row)
        self.count = len(self._rows)
        if self.count >= max(_DENSE_FROM, capacity // _DENSE_SHARE):
            self.mask, self._rows = self.as_mask(capacity), set()

    def discard(self, row: int) -> None:
        """Leave a row out, if it is in."""
        if self.mask is None:
            self._rows.discard(row)
            self.count = len(self._rows)
            return
        self.count -= bool(self.mask[row])
        self.mask[row] = False
        self._thin()

    def resize(self, capacity: int) -> None:
        """Fit a replica that has grown."""
        if self.mask is not None:
            grown = np.zeros(capacity, np.bool_)
            grown[: len(self.mask)] = self.mask
            self.mask = grown
            self._thin()

    def rows(self) -> Rows:
        """Return the rows, in no order that counts."""
        if self.mask is not None:
            return np.flatnonzero(self.mask)
        return np.fromiter(self._rows, np.int64, len(self._rows))

    def has(self, rows: Rows) -> Mask:
        """Tell of each row whether it is in."""
        if self.mask is not None:
            return self.mask.take(rows)
        return np.isin(rows, self.rows())

    def as_mask(self, capacity: int) -> Mask:
        """Return one boolean for each row."""
        if self.mask is not None:
            return self.mask
        mask = np.zeros(capacity, np.bool_)
        mask[self.rows()] = True
        return mask

    def _thin(self) -> None:
        if self.mask is not None and self.count < len(self.mask) // _SPARSE_SHARE:
            self._rows, self.mask = set(self.rows().tolist()), None


class Postings:
    """The words of one kind, each with its rows; words that no row has are gone."""

    def __init__(self) -> None:
        self._of: dict[str, Posting] = {}

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def get(self, word: str) -> Posting | None:
        """Return the rows of a word; None: no row has it."""
        return self._of.get(word)

    def add(self, word: str, row: int, capacity: int) -> None:
        """Note that a row has a word."""
        posting = self._of.get(word)
        if posting is None:
            posting = self._of[word] = Posting()
        posting.add(row, capacity)

    def discard(self, word: str, row: int) -> None:
        """Note that a row has a word no more."""
        posting = self._of.get(word)
        if posting is not None:
            posting.discard(row)
            if not posting.count:
                del self._of[word]

    def resize(self, capacity: int) -> None:
        """Fit a replica that has grown."""
        for posting in self._of.values():
            posting.resize(capacity)


def united(postings: Sequence[Posting], capacity: int) -> Posting:
    """Return the rows that have any of the words."""
    if len(postings) == 1:
        return postings[0]
    mask = np.zeros(capacity, np.bool_)
    for posting in postings:
        if posting.mask is not None:
            mask |= posting.mask
        else:
            mask[posting.rows()] = True
    whole = Posting()
    whole.mask, whole.count = mask, int(np.count_nonzero(mask))
    return whole


class Words:
    """Numbers for words that each row has one of; free numbers are given again.

    Attributes:
        reused: Grows when a number comes to mean another word.
    """

    def __init__(self) -> None:
        self.reused = 0
        self._number_of: dict[str, int] = {}
        self._words: list[str] = []
        self._uses: list[int] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, number: int) -> str:
        return self._words[number]

    def find(self, word: str) -> int | None:
        """Return a word's number; None: no row has it."""
        return self._number_of.get(word)

    def take(self, word: str) -> int:
        """Return a word's number for one more row."""
        number = self._number_of.get(word)
        if number is None:
            number = self._number_of[word] = self._new(word)
        self._uses[number] += 1
        return number

    def give_back(self, number: int) -> None:
        """Note that one row less has the word."""
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._number_of[self._words[number]]
            self._free.append(number)

    def _new(self, word: str) -> int:
        if self._free:
            self.reused += 1
            number = self._free.pop()
            self._words[number] = word
            return number
        self._words.append(word)
        self._uses.append(0)
        return len(self._words) - 1
