"""What the engine of swarms needs of the world: a log, hot states, a sender."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from orchestration.adapters.saga_records import Because
from orchestration.contracts import Moved
from orchestration.core.swarm.events import NewFact
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.run import SwarmRun
from orchestration.core.swarm.state import SwarmState

__all__ = ["Clock", "Ends", "Hot", "Kept", "Log", "Metrics", "Sender", "Written"]


class Clock(Protocol):
    """Tells the time that all agree on."""

    def now(self) -> datetime:
        """Return the time, in UTC."""


class Kept(Protocol):
    """A state that was kept in Postgres."""

    @property
    def iteration(self) -> int:
        """Of which iteration it is."""

    @property
    def state(self) -> bytes:
        """Its bytes."""


class Written(Protocol):
    """What became of facts."""

    @property
    def view(self) -> SwarmView | None:
        """The swarm with them; None: others were first."""

    @property
    def is_new(self) -> bool:
        """Whether this very call has recorded them."""


class Log(Protocol):
    """Where swarms are recorded; each call is all or nothing."""

    def begin(
        self, swarm_id: str, started: NewFact, because: Because
    ) -> tuple[SwarmView, bool]:
        """Begin a swarm; return it, and whether it began now, not earlier."""

    def view(self, swarm_id: str) -> SwarmView:
        """Return where a swarm stands."""

    def record(
        self,
        view: SwarmView,
        facts: Sequence[NewFact],
        because: Because,
        *,
        snapshot: bytes | None = None,
        is_listed: bool = True,
        took_s: float = 0.0,
    ) -> Written:
        """Append facts if the swarm still stands where they were decided."""

    def act(
        self,
        swarm_id: str,
        decide: Callable[[SwarmView], NewFact | None],
        because: Because,
    ) -> SwarmView:
        """Record what is decided by where a swarm stands, which it does meanwhile."""

    def snapshot(self, swarm_id: str) -> Kept | None:
        """Return the state that was kept last."""

    def iterations(self, swarm_id: str) -> Iterable[Mapping[str, Any]]:
        """Return what was recorded of iterations, oldest first."""

    def note_waiting(self, swarm_id: str, what: str) -> None:
        """Show in the swarm's status what it waits for."""


class Hot(Protocol):
    """Where the newest states are."""

    def get(self, swarm_id: str) -> bytes | None:
        """Return a state's bytes, whatever they are worth."""

    def put(self, swarm_id: str, state: SwarmState, told: Mapping[str, Any]) -> bool:
        """Keep a state, unless one of a later iteration is kept; tell who watches."""

    def put_moved(self, swarm_id: str, iteration: int, moved: bytes) -> None:
        """Keep a state whose positions are about to be valued, or islands to move."""

    def moved(self, swarm_id: str, iteration: int) -> bytes | None:
        """Return such a state."""

    def put_values(self, swarm_id: str, iteration: int, nth: int, values: bytes) -> int:
        """Keep what a slice or an island came to; return of how many there is some."""

    def values(self, swarm_id: str, iteration: int) -> Mapping[int, bytes]:
        """Return what slices or islands came to."""

    def drop_valued(self, swarm_id: str, iteration: int) -> None:
        """Forget what was kept of these slices or islands."""


class Sender(Protocol):
    """What carries hints to workers; it may lose and double them.

    Each method raises TransportError if the broker did not take the message; the sweep
    sends it again.
    """

    def iterate(
        self,
        view: SwarmView,
        run: SwarmRun,
        *,
        kept_ms: int,
        listed_ms: int = 0,
        sends: int = 0,
        wait_ms: int = 0,
    ) -> None:
        """Send the next iterations."""

    def value(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved, nth: int
    ) -> None:
        """Send a slice of positions to be valued."""

    def island(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved, nth: int
    ) -> None:
        """Send an island on its way to an iteration."""

    def join(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved
    ) -> None:
        """Send the end of iterations whose slices or islands are all there."""


class Ends(Protocol):
    """Who tells waiting callers that a swarm is over."""

    def tell(self, swarm_id: str, /) -> None:
        """Tell it; nobody may be listening."""


class Metrics(Protocol):
    """Who counts what becomes of swarms."""

    def moved(
        self,
        view: SwarmView,
        roles: Mapping[str, int],
        *,
        efficiency: float | None = None,
    ) -> None:
        """Show a swarm that goes on, and count one that is over."""
