"""A process's replica of the registry, kept up by a thread that follows the feed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.adapters.database import DATABASE_ERRORS
from orchestration.adapters.registry_drift import Drift
from orchestration.adapters.registry_feed import (
    Delta,
    FeedChange,
    Kind,
    Position,
    Snapshot,
    read_agent,
)
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_log import RegistryLog
from orchestration.adapters.registry_rebuild import ensure_built
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.health import RULES, HealthRules, health_scores
from orchestration.core.registry.model import (
    AgentDescriptor,
    RegisteredAgent,
    broken_since,
)
from orchestration.core.registry.packed import Heartbeat, pack, unpack, unpack_many
from orchestration.core.registry.pulse import pulse_of
from orchestration.errors import TransportError

__all__ = ["Replica"]

logger = logging.getLogger(__name__)
_BLOCK_MS: Final = 250
_COMPARE_EVERY_S: Final = 10.0
_PAUSE_S: Final = 0.25
_DEFAULT_CAPACITY: Final = 10
"""Of an agent that did not say how much it takes at once; the router has the same."""


class Replica:
    """The registry in this process; for any number of threads.

    While Redis is away, or being built anew, it stays as it was last known;
    ``feed_age_s`` tells for how long.

    Attributes:
        columns: The agents.
        reloads: How often all was read again, because the feed had a gap or a new
            epoch began, or since the checksum differed.
    """

    def __init__(
        self,
        log: RegistryLog,
        hot: HotState,
        *,
        rules: HealthRules = RULES,
        compare_every_s: float = _COMPARE_EVERY_S,
    ) -> None:
        """Read nothing yet; ``start`` does."""
        self.columns = Columns()
        self.reloads = 0
        self._log, self._hot, self._rules = log, hot, rules
        self._drift = Drift(compare_every_s)
        # Who was recorded here while all is read again, which may not tell of them.
        self._own: set[str] | None = None
        self._position: Position | None = None
        self._heard_at = float("-inf")
        self._blobs: dict[str, bytes] = {}
        # Held while heartbeats are judged, so that no promise changes meanwhile.
        self._judging = threading.RLock()
        self._listeners: list[Callable[[], None]] = []
        self._beat_listeners: list[Callable[[Sequence[str]], None]] = []
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def feed_age_s(self) -> float:
        """How long ago the feed was last known to be read to its end, seconds."""
        return time.monotonic() - self._heard_at

    @property
    def now_ms(self) -> int:
        """Redis' time, by which heartbeats arrive; this host's clock may be wrong."""
        return self._hot.clock.now_ms()

    @property
    def is_closed(self) -> bool:
        """Whether it is not kept up any more."""
        return self._closed.is_set()

    def fill(self) -> None:
        """Read everything once; for whoever asks one question and goes.

        Raises:
            TransportError: Postgres does not answer.
        """
        try:
            if not self._reload():
                self._fall_back()
        except TransportError:
            # Redis is away: a thread, if there is one, goes on trying.
            logger.warning("the registry's feed is not followed yet", exc_info=True)
            self._fall_back()

    def start(self) -> None:
        """Read everything, and follow the feed from now on.

        Raises:
            TransportError: Postgres does not answer.
        """
        if self._thread is not None:
            return
        self.fill()
        self._thread = threading.Thread(
            target=self._run, name="registry-replica", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread; the agents stay as they are."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=3)
        self._tell()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each change, in another thread; return what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def listen_to_beats(
        self, listener: Callable[[Sequence[str]], None]
    ) -> Callable[[], None]:
        """Tell a function whose heartbeats came, as they come; return what ends it."""
        self._beat_listeners.append(listener)
        return lambda: self._beat_listeners.remove(listener)

    def last_beat(self, agent_id: str) -> Heartbeat | None:
        """Return an agent's last heartbeat; None: none is known."""
        return unpack(self._blobs.get(agent_id))

    def put(self, state: AgentState) -> None:
        """Take in what this process has recorded, before the feed tells of it."""
        own = self._own
        if own is not None:
            own.add(state.descriptor.agent_id)
        self.columns.put(state.agent)
        self._drift.recorded(time.monotonic())
        self._tell()

    def drop(self, agent_id: str, version: int) -> None:
        """Take out an agent of which this process has recorded that it left."""
        self.columns.drop(agent_id, version)
        self._blobs.pop(agent_id, None)
        self._drift.recorded(time.monotonic())
        self._tell()

    def beat(
        self, heartbeats: Sequence[tuple[str, Mapping[str, float]]], now_ms: int
    ) -> None:
        """Take in heartbeats that this process has sent, before the feed tells."""
        agent_ids = [agent_id for agent_id, _ in heartbeats]
        self._beats(agent_ids, [pack(now_ms, metrics) for _, metrics in heartbeats])
        self._tell()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                if not self._follow():
                    self._closed.wait(_PAUSE_S)
            except (TransportError, *DATABASE_ERRORS) as exc:
                if not self._closed.is_set():
                    logger.warning("the registry's feed is not followed: %s", exc)
                    self._closed.wait(_PAUSE_S)
            except Exception:  # the edge of a thread: all discovery depends on it
                logger.exception("the registry's feed is not understood")
                self._position = None
                self._closed.wait(_PAUSE_S)

    def _follow(self) -> bool:
        """Read on once; return whether an epoch holds."""
        if self._position is None:
            return self._reload()
        epoch, deltas = self._hot.read(self._position, block_ms=_BLOCK_MS)
        if epoch != self._position.epoch:
            self._position = None
            return self._reload()
        for delta in deltas:
            if delta.nth != self._position.nth + 1:
                logger.warning(
                    "the registry's feed has a gap: delta %d follows %d; all is read "
                    "again",
                    delta.nth,
                    self._position.nth,
                )
                return self._reload()
            self._apply(delta)
            self._position = Position(epoch, delta.position, delta.nth)
            if self._has_drifted():
                return self._reload()
        self._heard_at = time.monotonic()
        if deltas:
            self._tell()
        self._ask_for_checksum()
        return not self._has_drifted() or self._reload()

    def _reload(self) -> bool:
        """Read everything again; return whether there is an epoch to read."""
        self._position = None
        if not ensure_built(self._log, self._hot):
            return False
        self._own = set()
        try:
            snapshot = self._hot.snapshot()
            if snapshot is None:
                return False
            self._take(snapshot)
        finally:
            self._own = None
        self.reloads += 1
        self._position = snapshot.position
        self._heard_at = time.monotonic()
        self._drift.agreed(self._heard_at)
        self._tell()
        return True

    def _take(self, snapshot: Snapshot) -> None:
        known = self.columns.versions()
        for change in snapshot.agents:
            known.pop(change.agent_id, None)
            self.columns.put(read_agent(change))
        if snapshot.is_whole:
            for agent_id in known.keys() - (self._own or ()):
                if self.columns.forget(agent_id, known[agent_id]):
                    self._blobs.pop(agent_id, None)
        else:
            # What is missing was lost, and a sweep builds it anew: nobody has left.
            logger.warning("the registry's hot state is damaged: nobody is let go")
            self._fall_back()
        heard = {change.agent_id: change.heard_ms or 0 for change in snapshot.agents}
        beats = {
            one: blob
            for one, blob in snapshot.blobs.items()
            # What a sweep judged later knows of the silence since.
            if one in heard and _stamp(blob) > heard[one]
        }
        self._blobs.update(snapshot.blobs)
        self._beats(list(beats), list(beats.values()))

    def _fall_back(self) -> None:
        """Take the agents from Postgres, as long as there is no feed to trust."""
        for state in self._log.states().values():
            self.columns.put(state.agent)

    def _apply(self, delta: Delta) -> None:
        moved: list[FeedChange] = []
        for change in delta.changes:
            match change.kind:
                case Kind.PUT:
                    self.columns.put(read_agent(change))
                case Kind.GONE:
                    self.columns.drop(change.agent_id, change.version)
                    self._blobs.pop(change.agent_id, None)
                case Kind.STATUS:
                    moved.append(change)
        if moved:
            with self._judging:
                self._move(moved)
        if delta.agent_ids:
            self._beats(delta.agent_ids, delta.blobs)

    def _move(self, moved: Sequence[FeedChange]) -> None:
        """Change where agents stand, and how well they are by the sweep's judgement."""
        heard: list[tuple[FeedChange, RegisteredAgent]] = []
        for change in moved:
            agent = self.columns.get(change.agent_id)
            if agent is None:
                continue
            if agent.last_heartbeat is None:
                self.columns.put(
                    replace(
                        agent,
                        health_score=change.health,
                        status=change.status,
                        version=change.version,
                        violations=broken_since(change.violations),
                    )
                )
            else:
                heard.append((change, agent))
        self.columns.set_status(
            [change.agent_id for change, _ in heard],
            [change.status for change, _ in heard],
            [change.version for change, _ in heard],
            [broken_since(change.violations) for change, _ in heard],
        )
        judged = [(c, a) for c, a in heard if c.heard_ms is not None]
        self.columns.beats(
            [change.agent_id for change, _ in judged],
            [change.health for change, _ in judged],
            [agent.load for _, agent in judged],
            [(change.heard_ms or 0) / 1_000 for change, _ in judged],
        )
        # Heartbeats that the sweep did not know yet were judged by other promises.
        since = [a.agent_id for c, a in heard if a.violations.keys() ^ c.violations]
        newest = {one: self._blobs[one] for one in since if one in self._blobs}
        self._beats(list(newest), list(newest.values()))

    def _beats(self, agent_ids: Sequence[str], blobs: Sequence[bytes]) -> None:
        with self._judging:
            is_own, broken, takes = self._said_of(agent_ids)
            if not is_own.all():
                # A region alone hears its agents.
                own = np.flatnonzero(is_own).tolist()
                agent_ids = [agent_ids[n] for n in own]
                blobs = [blobs[n] for n in own]
                broken, takes = broken[own], takes[own]
            if not agent_ids:
                return
            beats, nothing = unpack_many(blobs), np.zeros(len(blobs), np.int64)
            pulse = pulse_of(
                beats,
                registered_ms=nothing,
                interval_ms=nothing + 1,
                violations=broken,
                status=nothing.astype(np.int8),
            )
            health = health_scores(pulse, nothing, self._rules)
            load = beats.queue_size / takes
            self.columns.beats(agent_ids, health, load, beats.received_at_ms / 1_000)
            for agent_id, blob in zip(agent_ids, blobs, strict=True):
                # One that this process sent may be ahead of what the feed tells.
                if _stamp(blob) >= _stamp(self._blobs.get(agent_id, b"")):
                    self._blobs[agent_id] = blob
        for listener in tuple(self._beat_listeners):
            listener(agent_ids)

    def _said_of(
        self, agent_ids: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        """Return who is of this region, breaks how many promises, takes how much.

        Read by the row: building an agent for each heartbeat costs more than the rest.
        """
        columns = self.columns
        with columns.lock:
            rows, _ = columns.rows_of(agent_ids)
            known = rows >= 0
            is_own = ~(columns.is_foreign[rows] & known)
            kept = columns.violations[rows].tolist()
            said = columns.descriptor[rows].tolist()
        broken = np.array([len(one or ()) for one in kept], np.int64) * known
        takes = [_DEFAULT_CAPACITY if one is None else _capacity(one) for one in said]
        return is_own, broken, np.where(known, takes, _DEFAULT_CAPACITY)

    def _ask_for_checksum(self) -> None:
        if self._position is not None and self._drift.is_due(time.monotonic()):
            told = self._hot.checksum(self._position.epoch)
            self._drift.expect(told, time.monotonic())

    def _has_drifted(self) -> bool:
        if self._position is None or not self._drift.has_drifted(
            self._position.nth, self.columns.checksum, time.monotonic()
        ):
            return False
        logger.warning("this replica of the registry had drifted: all is read again")
        return True

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()


def _capacity(said: AgentDescriptor) -> int:
    """Return how many requests an agent takes at once."""
    return max(1, said.capacity or _DEFAULT_CAPACITY)


def _stamp(blob: bytes) -> int:
    """Return when a packed heartbeat arrived, epoch milliseconds; 0: there is none."""
    return int.from_bytes(blob[:8], "little")
