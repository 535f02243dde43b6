"""Which messages travel together: many in one task, as far as they go the same way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestration.core.messaging.model import Priority

__all__ = ["Parcel", "Way", "packed"]

_MAX_ITEMS = 200
_MAX_BYTES = 131_072


@dataclass(frozen=True, slots=True)
class Way:
    """How messages go: those with equal ways may share a task."""

    queue: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one task carries."""

    way: Way
    items: tuple[Any, ...]


def packed(items: Iterable[tuple[Way, Any, int]]) -> Iterator[Parcel]:
    """Yield as few parcels as hold all items; those of one way keep their order.

    A parcel has at most 200 items and 128 KiB, or one item that is larger: it is what
    a worker does without looking up, and what comes again if it dies meanwhile.

    Args:
        items: Way, item and its size in bytes.
    """
    open_ones: dict[Way, list[Any]] = {}
    sizes: dict[Way, int] = {}
    for way, item, size in items:
        held = open_ones.setdefault(way, [])
        if held and (len(held) >= _MAX_ITEMS or sizes[way] + size > _MAX_BYTES):
            yield Parcel(way, tuple(held))
            held = open_ones[way] = []
            sizes[way] = 0
        held.append(item)
        sizes[way] = sizes.get(way, 0) + size
    for way, held in open_ones.items():
        yield Parcel(way, tuple(held))
