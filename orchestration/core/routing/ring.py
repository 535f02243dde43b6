"""Which of many agents a key belongs to, so that few keys move when agents change.

Each agent has points on a ring of 64-bit numbers, and a key belongs to the first point
after its hash. Hashes are xxh3 (never ``hash()``, which differs between processes), so
every process and every release has the same ring. An agent that is added takes keys
from all others and gives them back when it goes; no other key moves.

With bounded loads nobody gets more than ``bound`` times the mean of what this ring has
given out: a key whose agent is full goes on to the next point's agent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

__all__ = ["Ring", "first_within"]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_SLACK: Final = 10.0  # over the mean: a few messages more do not move a key
_NEVER: Final = 1e300  # more than any limit; a number that JSON can hold
_KEPT_PER_MEMBER: Final = 1_000  # picks that count; older ones fade by half


class Ring:
    """Members on a ring; it changes by adding and removing them.

    Args:
        members: Who is on it at first.
        points: How many points each has.
        bound: How much of the mean a member may get; at least 1.0.
    """

    def __init__(
        self, members: Iterable[str] = (), *, points: int = 160, bound: float = 1.25
    ) -> None:
        self.members: tuple[str, ...] = ()
        self._bound = bound
        self._steps = np.arange(points, dtype=np.uint64) * _GOLDEN
        self._points: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._owners: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._counts: list[float] = []
        self._total = 0.0
        self.become(members)

    def become(self, members: Iterable[str]) -> None:
        """Have exactly these members; who stays keeps points and counts."""
        wanted = tuple(dict.fromkeys(members))
        if wanted == self.members:
            return
        before = {name: at for at, name in enumerate(self.members)}
        at_new = {name: at for at, name in enumerate(wanted)}
        # Owners are numbers of members: those who stay get their new number.
        renamed = np.full(len(before) + 1, len(wanted), np.uint32)
        for name, at in before.items():
            renamed[at] = at_new.get(name, len(wanted))
        owners = renamed[self._owners]
        stays = owners < len(wanted)
        added = [name for name in wanted if name not in before]
        starts = np.array(
            [xxh3_64_intdigest(name.encode()) for name in added], np.uint64
        )
        more = _mixed(np.add.outer(starts, self._steps)).ravel()
        numbers = np.array([at_new[name] for name in added], np.uint32)
        order = np.argsort(more, kind="stable")
        more, new_owners = more[order], np.repeat(numbers, len(self._steps))[order]
        points, owners = self._points[stays], owners[stays]
        places = np.searchsorted(points, more)
        self._points = np.insert(points, places, more)
        self._owners = np.insert(owners, places, new_owners)
        counts = dict(zip(self.members, self._counts, strict=True))
        self._counts = [counts.get(name, 0.0) for name in wanted]
        self._total = sum(self._counts)
        self.members = wanted

    def add(self, member: str) -> None:
        """Take one in."""
        self.become((*self.members, member))

    def remove(self, member: str) -> None:
        """Let one go; its keys go to others, no other key moves."""
        self.become(name for name in self.members if name != member)

    def member_of(self, key: str) -> str:
        """Return the member that a key belongs to, however much it has.

        Raises:
            LookupError: The ring is empty.
        """
        return self.members[next(self.walk(xxh3_64_intdigest(key.encode())))]

    def walk(self, place: int) -> Iterator[int]:
        """Yield the numbers of the members after a place, the nearest first."""
        points, owners = self._points.data, self._owners.data
        if not points:
            raise LookupError("the ring has no members: add one")
        start = bisect_left(points, place)
        for at in range(start, start + len(owners)):
            yield owners[at % len(owners)]

    def within(
        self, key: str, passed_over: Collection[str] = ()
    ) -> tuple[float, tuple[int, ...], tuple[float, ...]]:
        """Find the nearest member to a key that is not over its share.

        Args:
            key: The key.
            passed_over: Members that are not meant; others must be left.

        Returns:
            The limit, and the numbers of the members that were looked at with what each
            has been given; the last is the one that is under the limit.

        Raises:
            LookupError: The ring is empty.
        """
        count = max(1, len(self.members))
        mean = self._total / count
        limit = max(self._bound * (mean + 1.0 / count), mean + _SLACK)
        counts = self._counts
        if passed_over:
            counts = [
                _NEVER if name in passed_over else given
                for name, given in zip(self.members, counts, strict=True)
            ]
            # They may all be over their share, as the others have what is missing.
            limit = max(limit, min(counts) + 1.0)
        walked = first_within(self.walk(xxh3_64_intdigest(key.encode())), counts, limit)
        return limit, walked, tuple([counts[number] for number in walked])

    def given(self, number: int) -> None:
        """Count what a member has been given; the older counts less and less."""
        self._counts[number] += 1.0
        self._total += 1.0
        if self._total > _KEPT_PER_MEMBER * len(self.members):
            self._counts = [count / 2 for count in self._counts]
            self._total = sum(self._counts)


def first_within(
    walk: Iterable[int], counts: Sequence[float], limit: float
) -> tuple[int, ...]:
    """Return the numbers that were looked at; the last is the first under the limit.

    Somebody always is, since the limit leaves room for one over the mean.
    """
    walked: dict[int, None] = {}
    for number in walk:
        walked[number] = None
        if counts[number] + 1.0 <= limit:
            break
    return tuple(walked)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter numbers over all 64 bits (the finalizer of splitmix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = numbers ^ (numbers >> np.uint64(31))
    return mixed
