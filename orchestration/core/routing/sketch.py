"""Which latency so many of a hundred calls stay below: learned, and old ones fade."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["LatencySketch"]

_GROWTH: Final = math.log(1.05)  # a bucket is 5 % wide: answers are off by 2.5 %
_LEAST_S: Final = 1e-6
_FADED: Final = 0.1  # a bucket of so little weight says nothing any more
_STALE_AFTER: Final = 16  # a quantile moves little within so few samples


class LatencySketch:
    """A histogram of latencies in buckets that widen with the latency.

    Once ``memory`` samples weigh in, all of them count half: what was learned long ago
    fades, however fast calls come. An answer is off by 2.5 % at most. Not for several
    threads at once.
    """

    __slots__ = ("_asked", "_memory", "_weight", "_weights", "samples")

    def __init__(self, memory: int = 2_000) -> None:
        self.samples = 0
        self._memory = memory
        self._weights: dict[int, float] = {}
        self._weight = 0.0
        self._asked: dict[float, tuple[int, float]] = {}

    def add(self, latency_s: float) -> None:
        """Learn one latency, seconds."""
        bucket = math.floor(math.log(max(latency_s, _LEAST_S)) / _GROWTH)
        self._weights[bucket] = self._weights.get(bucket, 0.0) + 1.0
        self._weight += 1.0
        self.samples += 1
        if self._weight >= self._memory:
            self._weights = {
                at: weight / 2
                for at, weight in self._weights.items()
                if weight > _FADED
            }
            self._weight = sum(self._weights.values())

    def quantile(self, share: float) -> float:
        """Return the latency that ``share`` of the calls stay below, seconds.

        Raises:
            ValueError: Nothing was learned yet.
        """
        if not self.samples:
            raise ValueError("no latency was learned yet: ask after the first sample")
        known = self._asked.get(share)
        if known is None or self.samples - known[0] >= _STALE_AFTER:
            known = self._asked[share] = (self.samples, self._walked(share))
        return known[1]

    def _walked(self, share: float) -> float:
        left = share * self._weight
        for bucket in sorted(self._weights):
            left -= self._weights[bucket]
            if left <= 0:
                break
        return math.exp((bucket + 0.5) * _GROWTH)
