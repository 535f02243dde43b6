"""The router of a worker process, for whoever has messages routed by a Celery task."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.celery_bus import make_producer
from orchestration.adapters.database import Database
from orchestration.adapters.message_sender import MessageSender
from orchestration.adapters.replies import ReplyInbox
from orchestration.adapters.route_log import RouteLog, RouteRecorder
from orchestration.adapters.topic_channel import TopicChannel
from orchestration.core.messaging.model import Message
from orchestration.core.routing.dispatch import DispatchResult
from orchestration.engine.asking import who
from orchestration.engine.choosing import AgentChooser
from orchestration.engine.dispatching import Dispatcher
from orchestration.engine.messaging import MessageDesk
from orchestration.engine.registry_client import RegistryClient
from orchestration.engine.routes import read_routes, router_settings
from orchestration.engine.routing import RouteDesk, status_of
from orchestration.engine.surroundings import Surroundings
from orchestration.errors import InvalidMessage, RoutingError
from orchestration.metrics import RoutingMetrics, registry_metrics
from orchestration.settings import Settings

__all__ = ["WorkerRouter"]


class WorkerRouter:
    """Routes and sends, by the routes of ORCHESTRATION_ROUTES_FILE; it blocks.

    Nothing is read or opened before the first message: most processes get none.

    Args:
        settings: The process's.
        db: Where workers say what they host.
        announcements: The same, as the process reads it.
        metrics: Where decisions are counted.

    Attributes:
        chooser: Who chooses agents by capability, for steps of sagas.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        announcements: Announcements,
        metrics: RoutingMetrics,
    ) -> None:
        self._settings, self._db, self._metrics = settings, db, metrics
        self._announcements = announcements
        self._around: Surroundings | None = None
        self._registry: RegistryClient | None = None
        self._recorder: RouteRecorder | None = None
        self._made: Dispatcher | None = None
        self._making = threading.Lock()
        self.chooser = AgentChooser(
            announcements,
            self._surroundings,
            lambda around: RouteDesk(
                router_settings(settings), metrics=metrics, view=around.agents
            ),
        )

    def dispatch(self, given: object, timeout_ms: float | None) -> DispatchResult:
        """Route a message and send it; nobody awaits its answer.

        Args:
            given: The message as JSON.
            timeout_ms: After that it is of no use any more, from now; None: it is for
                as long as its deadline says.

        Raises:
            InvalidMessage: It is none.
            RoutingError: It has no way to go.
            MessageError: It cannot be sent.
            TransportError: The broker did not confirm it.
            ConfigurationError: The file of routes cannot be read.
            InvalidRoute: One of its routes is not sound.
        """
        message, dispatcher = _read(given), self._dispatcher()
        around = self._around
        assert around is not None, "it is made with the dispatcher"  # noqa: S101
        if timeout_ms is not None:
            message = dispatcher.messages.timed(message, timeout_ms)
        desk, metrics = dispatcher.desk, self._metrics
        begin = time.perf_counter()
        try:
            decision = around.decided(lambda: desk.decide(message))
        except RoutingError as exc:
            took_ms = 1_000 * (time.perf_counter() - begin)
            metrics.note(desk.table.strategy_of(exc.rule), took_ms, status_of(exc))
            raise
        took_ms = 1_000 * (time.perf_counter() - begin)
        metrics.note(decision.strategy, took_ms, cached=decision.cached)
        return dispatcher.send(message, decision)

    def close(self) -> None:
        """Let go of the connections that are its own; record what waits."""
        made, self._made = self._made, None
        if self._recorder is not None:
            self._recorder.close()
        if made is not None:
            made.messages.close()
        if self._around is not None:
            self._around.close()
        if self._registry is not None:
            self._registry.close()

    def _dispatcher(self) -> Dispatcher:
        with self._making:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _surroundings(self) -> Surroundings:
        with self._making:
            return self._looked_around()

    def _looked_around(self) -> Surroundings:
        """Return who is there, first finding it out. Under the lock."""
        if self._around is None:
            self._registry = RegistryClient(
                self._db, self._settings, registry_metrics()
            )
            self._around = Surroundings(self._announcements, self._registry)
        return self._around

    def _make(self) -> Dispatcher:
        settings, announcements = self._settings, self._announcements
        view = self._looked_around().agents
        desk = RouteDesk(router_settings(settings), metrics=self._metrics, view=view)
        desk.reports = view
        if settings.routes_file:
            desk.table = read_routes(settings.routes_file)
        if settings.route_record_rate > 0:
            self._recorder = RouteRecorder(RouteLog(self._db), who("", "").by)
            desk.records = self._recorder
        sender = MessageSender(make_producer(settings, confirms=True), announcements)
        messages = MessageDesk(
            sender=sender,
            announcements=announcements,
            inbox=ReplyInbox(settings.redis_url, settings.key_prefix),
            topics=TopicChannel(settings.redis_url, settings.key_prefix),
            clock=self._db.clock,
            max_payload_bytes=settings.max_payload_bytes,
        )
        return Dispatcher(desk, messages)


def _read(given: object) -> Message:
    if not isinstance(given, Mapping):
        raise InvalidMessage(f"{given!r} is no message: give it as its fields", "")
    own_id = str(given.get("message_id", ""))
    try:
        return Message.from_json(given)
    except TypeError as exc:
        raise InvalidMessage(f"this is no message: {exc}", own_id) from exc
