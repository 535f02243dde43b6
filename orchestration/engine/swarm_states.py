"""Where a swarm's state comes from: this process's memory, Redis, or computed anew.

All but the last are caches. One counts only if its SHA-256 is the one on record.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic, sleep
from typing import Any, Final

from orchestration.contracts import SwarmHint
from orchestration.core.swarm.fold import SwarmStatus, SwarmView
from orchestration.core.swarm.motion import Fitness, Motion, advance, begin
from orchestration.core.swarm.run import SwarmRun, first_state, run_of
from orchestration.core.swarm.state import SwarmState
from orchestration.engine.swarm_ports import Hot, Kept, Log
from orchestration.errors import TransportError

__all__ = [
    "Differs",
    "Held",
    "States",
    "SwarmStates",
    "last_of",
    "replayed",
    "unvalued",
    "valued_first",
    "whole_ms",
]

_KEPT_BYTES: Final = 32_000_000
_KEPT: Final = 512
# A record takes about a millisecond, and longer on a busy machine.
_SOON_S: Final = 0.25
_LOOK_EVERY_S: Final = 0.001


class Differs(Exception):
    """A state came out otherwise than it is on record.

    Attributes:
        iteration: The first of which that is known.
        recorded: What is on record, hex.
        found: What came out.
    """

    def __init__(self, iteration: int, recorded: str, found: str) -> None:
        super().__init__(iteration, recorded, found)
        self.iteration = iteration
        self.recorded = recorded
        self.found = found

    def __str__(self) -> str:
        return (
            f"iteration {self.iteration} is on record with hash {self.recorded[:16]}… "
            f"and came out with {self.found[:16]}…"
        )


@dataclass(slots=True)
class Held:
    """A swarm in hand: where it stands, and its state there.

    Attributes:
        kept_ms: When a snapshot was last taken, epoch milliseconds.
        listed_ms: When lists and the sweep last heard of it.
        is_own: Whether this process recorded how it stands, and has its state.
        is_behind: Whether its message tells of what is not on record: its sender may be
            recording that still, and has sent no other.
    """

    view: SwarmView
    run: SwarmRun
    motion: Motion
    state: SwarmState | None
    kept_ms: int
    listed_ms: int = 0
    is_own: bool = False
    is_behind: bool = False


@dataclass(slots=True)
class States:
    """What one process remembers of swarms; whoever takes one has it alone."""

    _held: OrderedDict[str, Held] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, swarm_id: str) -> Held | None:
        """Take a swarm out."""
        with self._lock:
            held = self._held.pop(swarm_id, None)
            self._bytes -= _size(held)
        return held

    def put(self, held: Held) -> None:
        """Remember a swarm, and forget those longest untouched if they are too many."""
        with self._lock:
            self._bytes -= _size(self._held.pop(held.view.swarm_id, None))
            self._held[held.view.swarm_id] = held
            self._bytes += _size(held)
            while len(self._held) > _KEPT or (
                self._bytes > _KEPT_BYTES and len(self._held) > 1
            ):
                _, oldest = self._held.popitem(last=False)
                self._bytes -= _size(oldest)


def _size(held: Held | None) -> int:
    return held.state.record.nbytes if held and held.state else 0


@dataclass(frozen=True, slots=True)
class SwarmStates:
    """Brings swarms into hand.

    Attributes:
        log: Where they are recorded.
        hot: Where their newest states are.
        memory: What this process remembers.
    """

    log: Log
    hot: Hot
    memory: States = field(default_factory=States)

    def take(self, swarm_id: str, hint: SwarmHint | None) -> Held | None:
        """Return a swarm as a message tells of it, its state perhaps not yet in hand.

        None if this process knows that it has gone on since. Without a hint it is read.
        """
        held = self.memory.take(swarm_id)
        if hint is None:
            return self.read(swarm_id)
        if held is None:
            held = self.read(swarm_id)
        if held.view.version > hint["version"]:
            self.memory.put(held)
            return None
        if held.view.version == hint["version"]:
            held.kept_ms = max(held.kept_ms, hint["kept_ms"])
            held.listed_ms = max(held.listed_ms, hint["listed_ms"])
            held.is_own = held.state is not None
            return held
        view = _as_told(held.view, hint)
        since = hint["kept_ms"], hint["listed_ms"]
        return Held(view, held.run, held.motion, None, *since)

    def read(self, swarm_id: str) -> Held:
        """Return a swarm by its events.

        Raises:
            SwarmNotFound: There is no such swarm.
        """
        view = self.log.view(swarm_id)
        run, motion = run_of(view.spec)
        return Held(view, run, motion, None, whole_ms(view.started_at))

    def confirmed(self, held: Held) -> Held:
        """Return a swarm of which a message tells, or as its events tell of it.

        A message may have been sent before what it tells of was recorded, while what
        Redis has is recorded always: so its state is waited for there, but not long.
        """
        if held.state is not None or not held.view.iteration:
            return held
        give_up_at = monotonic() + _SOON_S
        while True:
            held.state = self._from_redis(held.view)
            if held.state is not None:
                return held
            if monotonic() > give_up_at:
                found = self.read(held.view.swarm_id)
                found.is_behind = found.view.version < held.view.version
                return found
            sleep(_LOOK_EVERY_S)

    def load(self, held: Held, fitness: Fitness | None) -> SwarmState:
        """Return the state at which a swarm stands.

        Raises:
            Differs: It came out otherwise than it is on record.
        """
        view = held.view
        if held.state is not None:
            return held.state
        if view.iteration == 0:
            return valued_first(held, fitness)
        state = self._from_redis(view)
        if state is None:
            state = self._anew(held, fitness)
        return state

    def at_hand(self, held: Held) -> SwarmState | None:
        """Return the state at which a swarm stands, if nothing need be computed."""
        if held.state is not None:
            return held.state
        state = self._from_redis(held.view)
        if state is None:
            state = self._if_recorded(self.log.snapshot(held.view.swarm_id), held.view)
        return state

    @staticmethod
    def _if_recorded(kept: Kept | None, view: SwarmView) -> SwarmState | None:
        if kept is None or sha256(kept.state).hexdigest() != view.state:
            return None
        return SwarmState.from_bytes(kept.state)

    def _from_redis(self, view: SwarmView) -> SwarmState | None:
        try:
            blob = self.hot.get(view.swarm_id)
        except TransportError:  # it is computed anew
            return None
        if blob is None or sha256(blob).hexdigest() != view.state:
            return None
        return SwarmState.from_bytes(blob)

    def _anew(self, held: Held, fitness: Fitness | None) -> SwarmState:
        """Compute the state from the last snapshot, or from the seed."""
        view = held.view
        recorded = [
            one
            for one in self.log.iterations(view.swarm_id)
            if one["first"] <= view.iteration
        ]
        at, state = self._kept(view.swarm_id, recorded)
        if state is not None:
            link = recorded[at]["hashes"][-1]
            state = replayed(held, state, link, recorded[at + 1 :], fitness)
        else:
            state = valued_first(held, fitness)
            state = replayed(held, state, view.digest, recorded, fitness)
        if state.iteration != view.iteration:
            raise LookupError(
                f"swarm {view.swarm_id} is on record up to iteration "
                f"{state.iteration}, and not to {view.iteration}"
            )
        return state

    def _kept(
        self, swarm_id: str, recorded: Sequence[Mapping[str, Any]]
    ) -> tuple[int, SwarmState | None]:
        """Return the last state that was kept, and after which record it was."""
        kept = self.log.snapshot(swarm_id)
        if kept is not None:
            digest = sha256(kept.state).hexdigest()
            for at, one in enumerate(recorded):
                if last_of(one) == kept.iteration and one["state"] == digest:
                    return at, SwarmState.from_bytes(kept.state)
        return 0, None


def valued_first(held: Held, fitness: Fitness | None) -> SwarmState:
    """Return a swarm's state at iteration 0, its positions valued.

    Raises:
        Differs: It begins otherwise than it is on record.
    """
    unvalued(held)
    return begin(held.motion, held.run.seed, fitness, until=held.run.stopping)


def unvalued(held: Held) -> SwarmState:
    """Return a swarm's state at iteration 0, nothing valued yet.

    Raises:
        Differs: It begins otherwise than it is on record.
    """
    state = first_state(held.motion, held.run.seed)
    if (found := state.digest()) != held.view.digest:
        raise Differs(0, held.view.digest, found)
    return state


def replayed(
    held: Held,
    state: SwarmState,
    link: str,
    recorded: Iterable[Mapping[str, Any]],
    fitness: Fitness | None,
) -> SwarmState:
    """Do recorded iterations again and return the state after them.

    Args:
        held: The swarm.
        state: From where; it is changed.
        link: The chain's link there.
        recorded: What is on record of the iterations after that.
        fitness: Values positions.

    Raises:
        Differs: One came out otherwise.
    """
    for one in recorded:
        done = advance(
            held.motion,
            state,
            seed=held.run.seed,
            iterations=one["count"],
            previous=link,
            fitness=fitness,
            until=held.run.stopping,
        )
        found = (*done.hashes, *("" for _ in range(one["count"] - len(done.hashes))))
        pairs = zip(one["hashes"], found, strict=True)
        for nth, (was, is_now) in enumerate(pairs, start=one["first"]):
            if was != is_now:
                raise Differs(nth, was, is_now)
        state, link = done.state, done.hashes[-1]
        if (digest := state.digest()) != one["state"]:
            raise Differs(last_of(one), one["state"], digest)
    return state


def last_of(recorded: Mapping[str, Any]) -> int:
    """Return the last iteration that a record tells of."""
    return int(recorded["first"] + recorded["count"] - 1)


def _as_told(view: SwarmView, hint: SwarmHint) -> SwarmView:
    """Return a swarm that has gone on as a message tells of it."""
    limit_ms = hint["deadline_ms"]
    return replace(
        view,
        version=hint["version"],
        iteration=hint["iteration"],
        link=hint["link"],
        state=hint["state"],
        best=hint["best"],
        convergence=hint["convergence"],
        deadline=None if limit_ms is None else _time(limit_ms),
        attempts=hint["attempts"],
        status=SwarmStatus.RUNNING,
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def whole_ms(at: datetime) -> int:
    """Return a time in epoch milliseconds."""
    return round(at.timestamp() * 1_000)
