"""One process's part in the registry: its replica, and what it tells others.

What this process has registered and sent, it finds at once: it does not wait for the
feed to tell it of that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from datetime import datetime
from typing import Any

from orchestration.adapters.celery_bus import make_producer
from orchestration.adapters.database import Database
from orchestration.adapters.heartbeat_sender import HeartbeatSender, good_ms
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_replica import Replica
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.cache import QueryCache
from orchestration.core.registry.checks import metric_faults
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.model import AgentDescriptor, RegisteredAgent
from orchestration.core.registry.query import Query
from orchestration.core.registry.tally import Tally, tally
from orchestration.engine.registering import RegistryDesk, health_rules
from orchestration.engine.replicating import region_log
from orchestration.errors import (
    AgentNotFound,
    DiscoveryTimeout,
    ForeignAgent,
    InvalidHeartbeat,
    TransportError,
)
from orchestration.metrics import RegistryMetrics
from orchestration.settings import Settings

__all__ = ["RegistryClient"]


class RegistryClient:
    """The registry for one process; every method blocks, and may be called anywhere.

    Attributes:
        desk: Where agents are registered.
        replica: Where they are found.
        metrics: What is counted here.
        is_started: Whether the replica has been filled.
    """

    def __init__(
        self, db: Database, settings: Settings, metrics: RegistryMetrics
    ) -> None:
        """Open nothing yet.

        Raises:
            ConfigurationError: A setting of the registry makes no sense.
        """
        self._db = db
        self._hot = HotState(settings.redis_url, settings.key_prefix)
        self.desk = RegistryDesk(db, self._hot, settings)
        rules = health_rules(settings)
        self.replica = Replica(self.desk.log, self._hot, rules=rules)
        self.metrics = metrics
        self._regions = region_log(db, settings)
        self._cache = QueryCache(self.replica.columns)
        app = make_producer(settings, confirms=True)
        self._sender = HeartbeatSender(app, self._heard)
        self._starting = threading.Lock()
        self.is_started = False

    def start(self) -> None:
        """Fill the replica, and have it kept up; a second call does nothing.

        Raises:
            TransportError: Postgres does not answer.
        """
        with self._starting:
            if self.is_started:
                return
            self.replica.start()
            try:
                self._hot.now_ms()
            except TransportError:  # Redis is away; the database's clock will do
                self._hot.clock.heard(self._db.clock.now().timestamp() * 1_000)
            self.is_started = True

    def close(self) -> None:
        """Send what waits, and let go of everything but the database."""
        self._sender.close()
        self.replica.close()
        self._hot.close()

    def register(
        self,
        descriptor: AgentDescriptor,
        *,
        location: str | None = None,
        token: str | None = None,
        by: str = "",
    ) -> AgentState:
        """Register an agent, or change it; see ``RegistryDesk.register``.

        Args:
            descriptor: What it says of itself.
            location: Where it runs; None: as it was.
            token: Tells whose agent it is.
            by: Who asks for it; empty: this process.
        """
        self._count("register")
        state = self.desk.register(
            descriptor, Because(actor=by), location=location, token=token
        )
        self.replica.put(state)
        return state

    def deregister(self, agent_id: str, *, token: str | None = None) -> bool:
        """Take an agent out; return whether it was registered."""
        self._count("deregister")
        ended = self.desk.deregister(agent_id, Because(), token=token)
        if ended is not None:
            self.replica.drop(agent_id, ended.version)
        return ended is not None

    def heartbeat(self, agent_id: str, metrics: Mapping[str, float]) -> Future[None]:
        """Send a heartbeat; the future is done once the broker has it.

        Heartbeats that go in one message share it: do not cancel it.

        Raises:
            InvalidHeartbeat: All that is wrong with the metrics.
            AgentNotFound: No agent of that id is registered.
            ForeignAgent: It is another region's.
            TransportError: Postgres does not answer, or the bus was closed.
        """
        if faults := metric_faults(metrics):
            raise InvalidHeartbeat(agent_id, faults)
        known = self.replica.columns.said_by(agent_id)
        if known is None:
            state = self.state(agent_id)
            known = state.descriptor, state.region
        said, region = known
        if region:
            raise ForeignAgent(
                f"agent {agent_id!r} is of region {region!r}, which alone hears "
                "it: send its heartbeats there",
                agent_id,
            )
        until_ms = self._hot.clock.now_ms() + good_ms(said.heartbeat_interval_s)
        return self._sender.send(agent_id, metrics, until_ms=until_ms)

    def discover(
        self, query: Query, *, timeout_s: float | None = None
    ) -> tuple[RegisteredAgent, ...]:
        """Return the agents that answer a query, the best first.

        Raises:
            InvalidQuery: The query makes no sense; the error lists all faults.
            DiscoveryTimeout: It took longer than it may.
        """
        self._count("discover")
        began = time.perf_counter()
        lock = self.replica.columns.lock
        if not lock.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            raise _too_late(began, timeout_s)
        try:
            found = self._cache.discover(query, now_s=time.monotonic())
        finally:
            lock.release()
            took_ms = (time.perf_counter() - began) * 1_000
            self.metrics.discovery_latency_ms.observe(took_ms)
        if timeout_s is not None and took_ms > timeout_s * 1_000:
            raise _too_late(began, timeout_s)
        return found

    def get(self, agent_id: str) -> RegisteredAgent:
        """Return an agent in whichever status.

        Raises:
            AgentNotFound: No agent of that id is registered.
        """
        self._count("get")
        known = self.replica.columns.get(agent_id)
        if known is not None:
            return known
        state = self.state(agent_id)
        return self.replica.columns.get(agent_id) or state.agent

    def state(self, agent_id: str) -> AgentState:
        """Return an agent as Postgres has it, and take it into the replica.

        Raises:
            AgentNotFound: No agent of that id is registered.
        """
        state = self.desk.log.some([agent_id])[agent_id].state
        if state is None:
            raise AgentNotFound(
                f"no agent {agent_id!r} is registered: register it first, and again "
                "if it was silent for so long that it was taken out",
                agent_id,
            )
        self.replica.put(state)
        return state

    def listed(self, after: str, limit: int) -> tuple[RegisteredAgent, ...]:
        """Return agents in whichever status by their ids, those after one."""
        self._count("list")
        columns = self.replica.columns
        with columns.lock:
            agent_ids = sorted(one for one in columns.versions() if one > after)
            found = (columns.get(agent_id) for agent_id in agent_ids[:limit])
            return tuple(agent for agent in found if agent is not None)

    def as_of(self, at: datetime) -> tuple[RegisteredAgent, ...]:
        """Return who was registered at a moment, by id, from the events."""
        self._count("as_of")
        states = self.desk.log.as_of(at)
        return tuple(states[agent_id].agent for agent_id in sorted(states))

    def tally(self) -> tuple[Tally, float]:
        """Return how many agents there are and stand how, and the cache's hit rate."""
        self._count("metrics")
        return tally(self.replica.columns), self._cache.hit_rate

    def regions(self) -> dict[str, dict[str, Any]]:
        """Return what is known of other regions, by name; empty: there are none.

        Raises:
            TransportError: Postgres does not answer.
        """
        if not self._regions.rules.own:
            return {}
        return {name: asdict(one) for name, one in self._regions.overview().items()}

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be heard of."""
        return self.replica.is_closed

    def news_of(self, query: Query) -> int:
        """Return a number that changes with all that may change who answers a query."""
        columns = self.replica.columns
        moves = columns.moves if query.min_health_score > 0 else 0
        return columns.members + columns.changes + moves

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each change; return what ends it."""
        return self.replica.listen(listener)

    def _heard(self, heartbeats: Sequence[tuple[str, Mapping[str, float]]]) -> None:
        """Take in what this process has sent, all of a message at once."""
        self.replica.beat(heartbeats, self._hot.clock.now_ms())

    def _count(self, kind: str) -> None:
        self.metrics.queries.labels(type=kind).inc()


def _too_late(began: float, timeout_s: float | None) -> DiscoveryTimeout:
    took_ms = (time.perf_counter() - began) * 1_000
    return DiscoveryTimeout(
        f"discovery took {took_ms:.1f} ms, and {(timeout_s or 0) * 1_000:.1f} ms were "
        "given: give it more, or ask for less"
    )
