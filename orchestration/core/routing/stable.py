"""Which number, and which of many, a key stands for: the same in every process."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

__all__ = ["rendezvous", "unit", "weighted_rendezvous"]

_SCALE = 2.0**-53


def unit(salt: str, key: str) -> float:
    """Return a number above 0 and below 1 that only the two texts decide.

    Numbers of one key under different salts are independent of each other.
    """
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    text = f"{len(salt)}:{salt}{key}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 0.5) * _SCALE


def rendezvous(key: str, targets: Iterable[str]) -> str:
    """Return the target of a key: without it, only its own keys go elsewhere.

    The order of the targets does not matter. It takes a hash per target, so that it
    is for new keys and small sets; for others there is the ring.

    Raises:
        ValueError: There are no targets.
    """
    return max(targets, key=lambda target: (unit(target, key), target))


def weighted_rendezvous(salt: str, key: str, weights: Mapping[str, float]) -> str:
    """Return one of the names, each for a share of all keys as its weight says.

    Where one weight grows, keys move to its name only, and no more than its share
    grew; likewise where one shrinks. At least one weight must be above zero.
    """
    return min(
        (-math.log(unit(f"{salt}\0{name}", key)) / weight, name)
        for name, weight in weights.items()
        if weight > 0
    )[1]
