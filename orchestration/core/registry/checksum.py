"""Whether two replicas hold the same: a sum over agents, versions and statuses.

The sum is of 64 bits and knows no order, so that it is kept up change by change, and
the same whether it is taken over a replica or over the rows of a table. Two contents
that differ have the same sum with a chance of one in 2^64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.registry.model import AgentStatus

__all__ = ["STATUSES", "checksum", "digests", "id_hash", "status_number", "sum_of"]

STATUSES: Final = tuple(AgentStatus)
"""The statuses in the order of their numbers."""

_NUMBER_OF: Final = {status: number for number, status in enumerate(STATUSES)}
_ALL_BITS: Final = 2**64 - 1
_FIRST_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)  # these are of SplitMix64
_SECOND_FACTOR: Final = np.uint64(0x94D049BB133111EB)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)

Digests = NDArray[np.uint64]


def checksum(agents: Iterable[tuple[str, int, AgentStatus]]) -> int:
    """Return the sum over (agent id, version, status) of each agent, in any order."""
    rows = list(agents)
    return sum_of(
        digests(
            np.array([id_hash(agent_id) for agent_id, _, _ in rows], np.uint64),
            np.array([version for _, version, _ in rows], np.int64),
            np.array([_NUMBER_OF[status] for _, _, status in rows], np.int8),
        )
    )


def status_number(status: AgentStatus) -> int:
    """Return the number that stands for a status in columns."""
    return _NUMBER_OF[status]


def id_hash(agent_id: str) -> int:
    """Return 64 bits of an agent id, the same in every process."""
    encoded = agent_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")


def digests(
    ids: Digests, versions: NDArray[np.int64], statuses: NDArray[np.int8]
) -> Digests:
    """Return what each agent adds to the sum, from its id's hash and its state."""
    recorded = versions.astype(np.uint64) * np.uint64(len(STATUSES))
    recorded += statuses.astype(np.uint64)
    return _mixed(ids ^ _mixed(recorded))


def sum_of(parts: Digests) -> int:
    """Return the sum of digests, modulo 2^64."""
    return int(parts.sum(dtype=np.uint64)) & _ALL_BITS


def _mixed(bits: Digests) -> Digests:
    """Scatter bits so that sums of like inputs do not meet."""
    bits = bits + _STEP
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST_FACTOR
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND_FACTOR
    return bits ^ (bits >> np.uint64(31))
