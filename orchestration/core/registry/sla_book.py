"""What sweeps leave each other of the promises of agents, and how it is written down.

Any process may do the next sweep, so that it is kept beside the heartbeats. Which
promises are broken is recorded, and the record decides: what is kept here is how often
in a row each was missed or met, and how long each agent was there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from orchestration.core.registry.checks import SLA_TERMS
from orchestration.core.registry.sla import SlaState

__all__ = ["SlaBook"]

_FORM: Final = b"1"
_TERMS: Final = len(SLA_TERMS)
_COLUMNS: Final[Mapping[str, tuple[str, int]]] = {  # each one's type and width
    "since_ms": ("<i8", _TERMS),
    "streak": ("<i8", _TERMS),
    "first_ms": ("<i8", _TERMS),
    "judged_ms": ("<i8", 1),
    "looked_ms": ("<i8", 1),
    "up_ms": ("<f8", 1),
    "watched_ms": ("<f8", 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaBook:
    """The promises of agents between two sweeps.

    Attributes:
        agent_ids: The agents that promise something, or break a promise.
        registered_ms: When each joined; who joined again is watched anew; int64.
        state: What is known of them, row by row.
    """

    agent_ids: Sequence[str]
    registered_ms: NDArray[np.int64]
    state: SlaState

    @classmethod
    def empty(cls) -> Self:
        """Return the book in which nothing is written."""
        return cls(
            agent_ids=(),
            registered_ms=np.zeros(0, np.int64),
            state=SlaState.restored((), 0),
        )

    @classmethod
    def of(
        cls,
        agent_ids: Sequence[str],
        registered_ms: NDArray[np.int64],
        limits: NDArray[np.float64],
        state: SlaState,
    ) -> Self:
        """Return what is to be kept of all agents.

        Args:
            agent_ids: The agents of the rows.
            registered_ms: When each joined.
            limits: What each promises (``limits_of``).
            state: What is known of each.
        """
        counts = ~np.isnan(limits).all(axis=1) | (state.violations > 0)
        rows: list[int] = np.flatnonzero(counts).tolist()
        return cls(
            agent_ids=[agent_ids[row] for row in rows],
            registered_ms=registered_ms[rows],
            state=state.arranged(rows, 0),
        )

    def state_of(
        self,
        agent_ids: Sequence[str],
        registered_ms: NDArray[np.int64],
        violations: Sequence[Mapping[str, int]],
        now_ms: int,
    ) -> SlaState:
        """Return what is known of agents, row by row.

        Args:
            agent_ids: The agents of the rows.
            registered_ms: When each joined.
            violations: The broken promises of each, as they are recorded.
            now_ms: From when on those are watched that are not in the book.
        """
        pairs = zip(self.agent_ids, self.registered_ms.tolist(), strict=True)
        row_of = {pair: row for row, pair in enumerate(pairs)}
        joined = zip(agent_ids, registered_ms.tolist(), strict=True)
        kept = self.state.arranged([row_of.get(one, -1) for one in joined], now_ms)
        since_ms = SlaState.restored(violations, now_ms).since_ms
        # Where the record says otherwise, what was counted was counted for nothing.
        agrees = (since_ms > 0) == (kept.since_ms > 0)
        return replace(kept, since_ms=since_ms, streak=np.where(agrees, kept.streak, 0))

    def to_bytes(self) -> bytes:
        """Return it written down; ``from_bytes`` reads it."""
        parts = [_FORM, json.dumps(list(self.agent_ids)).encode()]
        columns = [self.registered_ms.astype("<i8").tobytes()]
        for name, (kind, _) in _COLUMNS.items():
            columns.append(getattr(self.state, name).astype(kind).tobytes())
        return b"\n".join([*parts, b"".join(columns)])

    @classmethod
    def from_bytes(cls, written: bytes) -> Self:
        """Return the book that was written down.

        What cannot be read, such as another release's, is an empty book: it is all
        counted anew.
        """
        form, _, rest = written.partition(b"\n")
        told, _, columns = rest.partition(b"\n")
        if form != _FORM:
            return cls.empty()
        try:
            agent_ids = json.loads(told)
            return cls._read(agent_ids, columns)
        except ValueError:
            return cls.empty()

    @classmethod
    def _read(cls, agent_ids: list[str], columns: bytes) -> Self:
        count, at = len(agent_ids), 0

        def column(kind: str, width: int) -> NDArray[np.generic]:
            nonlocal at
            found = np.frombuffer(columns, kind, count * width, at)
            at += found.nbytes
            return found.reshape(count, width) if width > 1 else found

        registered_ms = column("<i8", 1)
        read = {name: column(*form) for name, form in _COLUMNS.items()}
        return cls(
            agent_ids=agent_ids,
            registered_ms=registered_ms.astype(np.int64),
            state=SlaState(**read),  # type: ignore[arg-type]  # each of its type
        )
