"""The islands of a federation, each as a swarm of its own: views, bytes and hashes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np

from orchestration.core.swarm.state import SwarmState, island_layout, layout

__all__ = [
    "LINKED_WHOLE_UP_TO",
    "bounds_of",
    "copied",
    "island_digest",
    "islands_of",
    "linked",
    "packed",
    "unpack",
]

LINKED_WHOLE_UP_TO: Final = 32_768
"""Bytes; hashing a greater record in every iteration would cost more than moving it."""

_SHARED: Final = ("iteration", "next_id", "level", "level_at", "pheromone")
_OWN: Final = tuple(one for one in layout(1, 1).names or () if one not in _SHARED)
_NUMBER: Final = np.dtype("<i8")


def islands_of(state: SwarmState) -> tuple[SwarmState, ...]:
    """Return the islands of a federation, none of another swarm.

    Each is a swarm's state like any other that searches, of the same memory: what is
    written there is written in the federation's. The iteration is the same for all.
    Its own bytes are ``packed``; ``to_bytes`` and ``digest`` are not for it.
    """
    if not state.islands:
        return ()
    sizes = tuple(state.record["islands"]["agents"].tolist())
    kinds = _layouts(state.size, state.dims, state.trails, sizes)
    return tuple(SwarmState(state.record.view(kind)) for kind in kinds)


def bounds_of(sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return where each of so many agents begin and end, one after the other."""
    return tuple(pairwise(accumulate(sizes, initial=0)))


def copied(island: SwarmState, first: SwarmState) -> None:
    """Let an island be as another swarm is; agents keep their ids."""
    for name in _OWN:
        if name != "agent":
            island.record[name] = first.record[name]


def packed(island: SwarmState) -> bytes:
    """Return all that an island has for itself; equal islands, equal bytes."""
    return b"".join(island.record[name].tobytes() for name in _OWN)


def unpack(island: SwarmState, blob: bytes) -> None:
    """Let an island be as ``packed`` told.

    Raises:
        ValueError: These bytes are of another one.
    """
    fields = [island.record[name] for name in _OWN]
    if len(blob) != (size := sum(field.nbytes for field in fields)):
        raise ValueError(f"an island of {size} bytes cannot be read from {len(blob)}")
    at = 0
    for field in fields:
        told = np.frombuffer(blob, field.dtype, field.size, at)
        field[...] = told.reshape(field.shape)
        at += field.nbytes


def island_digest(island: SwarmState) -> bytes:
    """Return the SHA-256 of what is new of an island after an iteration.

    That is all of it; in a federation of more than 32 KiB it is its best value, where
    that is, and all values.
    """
    is_small = island.record.nbytes <= LINKED_WHOLE_UP_TO  # it is a view of them all
    names = _OWN if is_small else ("best", "best_position", "value")
    told = b"".join(island.record[name].tobytes() for name in names)
    return sha256(told).digest()


def linked(previous: str, iteration: int, digests: Sequence[bytes]) -> str:
    """Return the next link of a federation's chain, from its islands' digests."""
    told = np.array(iteration, _NUMBER).tobytes()
    return sha256(b"".join((bytes.fromhex(previous), told, *digests))).hexdigest()


@lru_cache(maxsize=256)
def _layouts(
    agents: int, dims: int, trails: int, sizes: tuple[int, ...]
) -> tuple[np.dtype[Any], ...]:
    """Return how the record of a federation is read as that of each of its islands."""
    whole = layout(agents, dims, trails, len(sizes))
    at = _offsets(whole)
    apart, within = island_layout(dims), _offsets(island_layout(dims))
    plain = layout(1, dims)
    kinds = []
    for nth, (begin, _) in enumerate(bounds_of(sizes)):
        own = layout(sizes[nth], dims)
        offsets = []
        for name in own.names or ():
            if name in within:
                offsets.append(at["islands"] + nth * apart.itemsize + within[name])
            elif name in _SHARED:
                offsets.append(at[name])
            else:  # a column: ``begin`` rows after the first
                offsets.append(at[name] + begin * plain[name].itemsize)
        kinds.append(
            np.dtype(
                {
                    "names": list(own.names or ()),
                    "formats": [own[name] for name in own.names or ()],
                    "offsets": offsets,
                    "itemsize": whole.itemsize,
                }
            )
        )
    return tuple(kinds)


def _offsets(kind: np.dtype[Any]) -> dict[str, int]:
    return {name: field[1] for name, field in (kind.fields or {}).items()}
