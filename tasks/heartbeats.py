"""The agents that a worker hosts are in the registry while it lives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from celery import Celery

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.backlog import Backlog
from orchestration.adapters.celery_bus import make_producer
from orchestration.adapters.database import Database
from orchestration.adapters.heartbeat_sender import HeartbeatSender, good_ms
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_log import as_recorded
from orchestration.adapters.saga_records import Because
from orchestration.agents import Agent
from orchestration.core.registry.model import AGENT_ID, AgentDescriptor
from orchestration.engine.registering import RegistryDesk
from orchestration.errors import OrchestrationError, TransportError
from orchestration.settings import Settings
from tasks.figures import Figures, HostFigures, count_for

__all__ = ["Hosted"]

logger = logging.getLogger(__name__)
_CONFIRM_S: Final = 10.0
_JOIN_S: Final = 5.0


class Hosted:
    """Registers a worker's agents, sends their heartbeats, and takes them out again.

    Agents whose ids are not of the form ``agent-…`` work all the same, and are not in
    the registry. An agent that several workers host is taken out by the last.

    Args:
        agents: What the worker hosts. Made before its processes are.
    """

    def __init__(self, agents: Sequence[Agent]) -> None:
        self._agents = [a for a in agents if AGENT_ID.fullmatch(a.agent_id)]
        self._figures = Figures([agent.agent_id for agent in self._agents])
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._refused: set[str] = set()
        if self._agents:
            count_for(self._figures)

    def start(self, app: Celery, worker: str) -> None:
        """Begin, in a thread; a worker without such agents does nothing."""
        if self._agents:
            self._thread = threading.Thread(
                target=self._run, args=(app, worker), name="heartbeats", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the heartbeats; the agents stay registered."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def deregister(self, db: Database, settings: Settings, worker: str) -> None:
        """Take out the agents that no other live worker hosts."""
        if not self._agents:
            return
        announcements = Announcements(db, settings.announce_interval_s)
        offline = announcements.offline(agent.agent_id for agent in self._agents)
        hot = HotState(settings.redis_url, settings.key_prefix)
        desk = RegistryDesk(db, hot, settings)
        for agent in self._agents:
            if agent.agent_id in offline and agent.agent_id not in self._refused:
                because = Because(actor=worker)
                desk.deregister(agent.agent_id, because, owner=_owner(agent))
        hot.close()

    def _run(self, app: Celery, worker: str) -> None:
        settings = Settings.from_env()
        db = Database(settings.database_url, pool_size=1, name="heartbeats")
        hot = HotState(settings.redis_url, settings.key_prefix)
        desk = RegistryDesk(db, hot, settings)
        sender = HeartbeatSender(make_producer(settings, confirms=True))
        announcements = Announcements(db, settings.announce_interval_s)
        backlog, host = Backlog(app, announcements), HostFigures()
        while True:
            try:
                self._register(desk, settings, worker)
                until_ms = _now_ms(hot) + good_ms(settings.heartbeat_interval_s)
                self._beat(sender, backlog, host, until_ms=until_ms)
            except Exception:  # the edge of a thread: it must go on
                if not self._stop.is_set():
                    logger.warning("heartbeats of %s not sent", worker, exc_info=True)
            if self._stop.wait(settings.heartbeat_interval_s):
                break
        sender.close()
        hot.close()
        db.close()

    def _register(self, desk: RegistryDesk, settings: Settings, worker: str) -> None:
        """Register those that are not, at the start or since they were taken out."""
        interval_s = settings.heartbeat_interval_s
        stands = desk.log.some([agent.agent_id for agent in self._agents])
        for agent in self._agents:
            state = stands[agent.agent_id].state
            said = as_recorded(_descriptor(agent, interval_s))
            if state is not None and (state.region, state.owner, state.descriptor) == (
                "",
                _owner(agent),
                said,
            ):
                continue
            try:
                desk.register(said, Because(actor=worker), owner=_owner(agent))
                self._refused.discard(agent.agent_id)
            except OrchestrationError as exc:
                if agent.agent_id not in self._refused:
                    logger.warning("not in the registry: %s", exc)
                self._refused.add(agent.agent_id)

    def _beat(
        self,
        sender: HeartbeatSender,
        backlog: Backlog,
        host: HostFigures,
        *,
        until_ms: int,
    ) -> None:
        here, since = host.now(), self._figures.since()
        sent = [
            sender.send(
                agent.agent_id,
                {
                    **here,
                    **since.get(agent.agent_id, {}),
                    "queue_size": backlog.waiting(agent.agent_id),
                },
                until_ms=until_ms,
            )
            for agent in self._agents
            if agent.agent_id not in self._refused
        ]
        for future in sent:
            future.result(_CONFIRM_S)


def _now_ms(hot: HotState) -> int:
    """Return Redis' time; while Redis is away, as it was last heard of."""
    with suppress(TransportError):
        hot.now_ms()
    return hot.clock.now_ms()


def _owner(agent: Agent) -> str:
    """Return whose a hosted agent is: of the workers of its pool, whichever."""
    return f"pool {agent.pool}"


def _descriptor(agent: Agent, interval_s: float) -> AgentDescriptor:
    capacity = agent.max_concurrent
    metadata = {} if capacity is None else {"max_concurrent_requests": capacity}
    return AgentDescriptor(
        agent_id=agent.agent_id,
        agent_type=agent.agent_type or "agent",
        version=agent.version,
        capabilities=agent.capabilities,
        service_types=agent.service_types,
        tags=agent.tags,
        heartbeat_interval_s=interval_s,
        metadata={**metadata, **agent.metadata},
    )
