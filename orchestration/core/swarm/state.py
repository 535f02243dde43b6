"""The state of a swarm: one record, whose bytes are all that there is to keep.

Its fields are columns, one after the other, so that each is one contiguous array and
the bytes can be read where they lie: 108 bytes an agent in three dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "Floats", "SwarmState", "island_layout", "layout"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# Sixteen bits beside the trails were zero before there were islands.
_HEADER: Final = np.dtype(
    [("agents", "<u4"), ("dims", "<u4"), ("trails", "<u2"), ("islands", "<u2")]
)


def layout(agents: int, dims: int, trails: int = 0, islands: int = 0) -> np.dtype[Any]:
    """Return the record of a swarm.

    It begins with what is one for all:

    - ``iteration``: int64; ``next_id``: uint32, of the next agent to be born;
    - ``lives``: uint32, how often all agents began anew;
    - ``informants``: uint64, what a random neighbourhood is drawn from;
    - ``level``, ``level_at``: float64 and int64, what the best value was when it last
      got better by more than a tolerance, and the iteration of that;
    - ``breadth``: float64, how far apart the agents were at iteration 0;
    - ``best``: float64, the best value found, the smaller, the better;
      ``best_position``: float64, shape ``(dims,)``, where that is;
    - ``lead``, ``lead_position``: the same since the swarm last began anew;
      ``lead_at``: int64, the iteration that found it, or in which it began;

    and has a column for each of

    - ``position``, ``velocity``, ``own_best``: float64, shape ``(agents, dims)``;
      where it is, what it moves by, and where its own best value was found;
    - ``value``, ``own_best_value``: float64, shape ``(agents,)``; how good that is;
    - ``energy``: int64; ``agent``: uint32, its id; ``generation``: uint32;
      ``stagnant``: uint16, iterations without a better own best; ``role``: uint8, see
      ``model.ROLES``; ``flags``: uint8, for the behaviour's use.

    It ends with ``pheromone``: float64, shape ``(trails,)``.

    Of a federation the columns are those of its islands, one island after the other,
    and what is one for all of an island is in ``islands``; see ``island_layout``.

    Args:
        agents: How many.
        dims: Of the space in which they are.
        trails: On how many trails there is pheromone; of a swarm that lays any.
        islands: Of how many islands; 0: it is no federation.
    """
    of_each = [("islands", island_layout(dims), (islands,))] if islands else []
    return np.dtype(
        [
            ("iteration", "<i8"),
            ("next_id", "<u4"),
            ("lives", "<u4"),
            ("informants", "<u8"),
            ("lead_at", "<i8"),
            ("lead", "<f8"),
            ("level", "<f8"),
            ("level_at", "<i8"),
            ("breadth", "<f8"),
            ("best", "<f8"),
            ("best_position", "<f8", (dims,)),
            ("lead_position", "<f8", (dims,)),
            *of_each,
            *_columns(agents, dims),
            ("pheromone", "<f8", (trails,)),
        ]
    )


def island_layout(dims: int) -> np.dtype[Any]:
    """Return the record of what is one for all of an island; see ``layout``.

    ``agents``, uint32, is how many there are. ``islands.islands_of`` shows each island
    as a swarm of its own.
    """
    return np.dtype(
        [
            ("agents", "<u4"),
            ("lives", "<u4"),
            ("informants", "<u8"),
            ("lead_at", "<i8"),
            *((name, "<f8") for name in ("lead", "breadth", "best")),
            ("best_position", "<f8", (dims,)),
            ("lead_position", "<f8", (dims,)),
        ]
    )


def _columns(agents: int, dims: int) -> list[tuple[str, str, tuple[int, ...]]]:
    vector, column = (agents, dims), (agents,)
    return [
        ("position", "<f8", vector),
        ("velocity", "<f8", vector),
        ("own_best", "<f8", vector),
        *((name, "<f8", column) for name in ("value", "own_best_value")),
        ("energy", "<i8", column),
        ("agent", "<u4", column),
        ("generation", "<u4", column),
        ("stagnant", "<u2", column),
        ("role", "u1", column),
        ("flags", "u1", column),
    ]


@dataclass(frozen=True, slots=True)
class SwarmState:
    """A swarm's state; the arrays in ``record`` are changed in place.

    Attributes:
        record: Of ``layout(agents, dims)``, shape ``()``.
    """

    record: NDArray[Any]

    @classmethod
    def blank(cls, agents: int, dims: int, trails: int = 0, islands: int = 0) -> Self:
        """Return a swarm at iteration 0 that nothing was found by yet."""
        state = cls(np.zeros((), layout(agents, dims, trails, islands)))
        for name in ("best", "lead", "level", "value", "own_best_value"):
            state.record[name] = np.inf
        state.record["agent"] = np.arange(agents)
        state.record["next_id"] = agents
        return state

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """Return the state that ``to_bytes`` wrote; it may be changed.

        Raises:
            ValueError: These are not the bytes of a state.
        """
        if len(blob) < _HEADER.itemsize:
            raise ValueError(f"{len(blob)} bytes are too few for a swarm")
        header = np.frombuffer(blob, _HEADER, 1)[0]
        kind = layout(*map(int, header))
        if len(blob) != _HEADER.itemsize + kind.itemsize:
            raise ValueError(
                f"the state of {header['agents']} agents in {header['dims']} "
                f"dimensions has {_HEADER.itemsize + kind.itemsize} bytes: these are "
                f"{len(blob)}"
            )
        rows = np.frombuffer(blob, kind, 1, offset=_HEADER.itemsize)
        return cls(rows.copy().reshape(()))

    def to_bytes(self) -> bytes:
        """Return what ``from_bytes`` reads: equal states, equal bytes."""
        counts = (self.size, self.dims, self.trails, self.islands)
        header = np.array(counts, _HEADER)
        return header.tobytes() + self.record.tobytes()

    def digest(self) -> str:
        """Return the SHA-256 of ``to_bytes``, in hex."""
        return sha256(self.to_bytes()).hexdigest()

    @property
    def size(self) -> int:
        """How many agents there are."""
        return int(self.record.dtype["value"].shape[0])

    @property
    def dims(self) -> int:
        """How many dimensions the space has."""
        return int(self.record.dtype["best_position"].shape[0])

    @property
    def trails(self) -> int:
        """On how many trails there is pheromone."""
        return int(self.record.dtype["pheromone"].shape[0])

    @property
    def islands(self) -> int:
        """Of how many islands it is; 0: it is no federation."""
        kind = self.record.dtype
        return int(kind["islands"].shape[0]) if "islands" in (kind.names or ()) else 0

    @property
    def iteration(self) -> int:
        """How many iterations are done."""
        return int(self.record["iteration"])
