"""The connection owner, and messages between agents.

    bus = MessageBus()          # settings from the environment
    await bus.initialize()
    reply = await bus.request(message, timeout_ms=500)

docs/messages.md tells what holds of messages.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.celery_bus import StepSender, make_producer
from orchestration.adapters.database import Database
from orchestration.adapters.dead_messages import DeadMessages
from orchestration.adapters.message_sender import MessageSender
from orchestration.adapters.push import Ends, EndWaiter
from orchestration.adapters.replies import ReplyInbox
from orchestration.adapters.route_log import RouteLog
from orchestration.adapters.saga_index import SagaIndex
from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.schedules import Schedules
from orchestration.adapters.schema import check_schema
from orchestration.adapters.topic_channel import TopicChannel
from orchestration.core.messaging.model import Message, MessageType, Priority
from orchestration.engine.acting import SagaDesk
from orchestration.engine.burying import LetterDesk
from orchestration.engine.messaging import MessageDesk
from orchestration.engine.partition_side import PartitionSide
from orchestration.engine.recording import Recorder, Rules
from orchestration.engine.registry_client import RegistryClient
from orchestration.engine.scheduling import Scheduler
from orchestration.engine.starting import Backpressure, SagaDoor
from orchestration.engine.swarm_side import SwarmSide
from orchestration.errors import ConfigurationError
from orchestration.messaging import Messaging
from orchestration.metrics import registry_metrics, saga_metrics
from orchestration.opening import Opened
from orchestration.settings import Settings, warn_about_kafka

__all__ = ["Message", "MessageBus", "MessageType", "Priority"]

_KAFKA_KEYS = ("bootstrap_servers", "bootstrap.servers", "kafka_bootstrap_servers")


class MessageBus(Messaging, Opened):
    """Owns a process's connections to broker, database and Redis.

    Args:
        config: None: settings from the environment; a string: the broker's URL; a
            mapping: settings by name; or ``Settings``.

    Raises:
        ConfigurationError: A setting is missing or wrong.
    """

    def __init__(
        self, config: Settings | Mapping[str, Any] | str | None = None
    ) -> None:
        self.settings = _settings(config)
        self._opening = threading.Lock()  # several loops may use one bus
        self._db: Database | None = None
        self._desk: SagaDesk | None = None
        self._sender: StepSender | None = None
        self._ends: Ends | None = None
        self._waiter: EndWaiter | None = None
        self._registry: RegistryClient | None = None
        self._messages: MessageDesk | None = None
        self._swarms: SwarmSide | None = None
        self._partitions: PartitionSide | None = None

    async def initialize(self) -> None:
        """Connect and check the database's schema; a second call does nothing.

        Raises:
            SchemaOutdated: ``orchestration migrate`` has to be run first.
            TransportError: The database does not answer.
        """
        if self._db is None:
            await asyncio.to_thread(self.connect)

    async def close(self) -> None:
        """Let go of every connection; a closed bus may be initialized again."""
        if self._db is not None:
            await asyncio.to_thread(self.disconnect)

    @property
    def messages(self) -> MessageDesk:
        """Where messages go out and answers come in, for code that blocks."""
        if self._messages is None:
            raise _not_connected()
        return self._messages

    @property
    def letters(self) -> LetterDesk:
        """Where dead letters are looked after, for code that blocks."""
        desk = self.messages
        return LetterDesk(DeadMessages(self._connected), desk.sender, desk.clock)

    # --- what the other front doors share

    @property
    def sagas(self) -> SagaLog:
        """Where sagas are recorded."""
        return SagaLog(self._connected)

    @property
    def saga_index(self) -> SagaIndex:
        """Where sagas are found."""
        return SagaIndex(self._connected)

    @property
    def saga_desk(self) -> SagaDesk:
        """Where sagas are begun and acted upon."""
        if self._desk is None:
            raise _not_connected()
        return self._desk

    @property
    def saga_scheduler(self) -> Scheduler:
        """Where sagas are scheduled."""
        return Scheduler(Schedules(self._connected), self.saga_desk.door)

    @property
    def announcements(self) -> Announcements:
        """What workers say that they host."""
        return Announcements(self._connected, self.settings.announce_interval_s)

    @property
    def route_log(self) -> RouteLog:
        """Where routing decisions are on record."""
        return RouteLog(self._connected)

    @property
    def registry(self) -> RegistryClient:
        """This process's part in the registry of agents; who uses it starts it."""
        db = self._connected
        with self._opening:
            if self._registry is None:
                metrics = registry_metrics()
                self._registry = RegistryClient(db, self.settings, metrics)
            return self._registry

    @property
    def swarms(self) -> SwarmSide:
        """This process's part in swarms; who uses it opens it."""
        db = self._connected
        with self._opening:
            if self._swarms is None:
                app = make_producer(self.settings)
                self._swarms = SwarmSide.open(
                    app, db, self.announcements, self.settings
                )
            return self._swarms

    @property
    def partitions(self) -> PartitionSide:
        """This process's part in swarms that share out partitions."""
        db, swarms = self._connected, self.swarms
        with self._opening:
            if self._partitions is None:
                app = make_producer(self.settings)
                given = (app, db, self.announcements, self.settings)
                self._partitions = PartitionSide.open(*given, swarms.log, swarms.ends)
            return self._partitions

    @property
    def _connected(self) -> Database:
        if self._db is None:
            raise _not_connected()
        return self._db

    @property
    def saga_ends(self) -> EndWaiter:
        """Who tells when a saga is over."""
        if self._waiter is None:
            raise _not_connected()
        return self._waiter

    def connect(self) -> None:
        """Do what ``initialize`` does, for code that blocks."""
        with self._opening:
            if self._db is None:
                self._connect()

    def disconnect(self) -> None:
        """Do what ``close`` does, for code that blocks."""
        with self._opening:
            if self._db is not None:
                self._disconnect()

    def _connect(self) -> None:
        settings = self.settings
        db = Database(
            settings.database_url, pool_size=settings.db_pool_size, name="producer"
        )
        try:
            db.patiently(lambda: check_schema(db.engine))
        except BaseException:
            db.close()
            raise
        log = SagaLog(db)
        announcements = Announcements(db, settings.announce_interval_s)
        self._sender = StepSender(
            make_producer(settings), announcements, db.clock, settings.broker_url
        )
        self._ends = Ends(settings.redis_url, settings.key_prefix)
        self._waiter = EndWaiter(log, self._ends)
        recorder = Recorder(
            log=log,
            sender=self._sender,
            clock=db.clock,
            ends=self._ends,
            metrics=saga_metrics(),
            rules=Rules.of(settings),
        )
        door = SagaDoor(
            recorder,
            announcements,
            settings.max_payload_bytes,
            Backpressure(SagaIndex(db).count_open, settings.max_open_sagas),
        )
        self._desk = SagaDesk(recorder, door)
        self._messages = MessageDesk(
            sender=MessageSender(make_producer(settings, confirms=True), announcements),
            announcements=announcements,
            inbox=ReplyInbox(settings.redis_url, settings.key_prefix),
            topics=TopicChannel(settings.redis_url, settings.key_prefix),
            clock=db.clock,
            max_payload_bytes=settings.max_payload_bytes,
        )
        self._db = db

    def _disconnect(self) -> None:
        if self._registry is not None:
            self._registry.close()
            self._registry = None
        if self._partitions is not None:
            self._partitions.close()
            self._partitions = None
        if self._swarms is not None:
            self._swarms.close()
            self._swarms = None
        if self._messages is not None:
            self._messages.close()
        if self._waiter is not None:
            self._waiter.close()
        if self._ends is not None:
            self._ends.close()
        if self._sender is not None:
            self._sender.close()
        if self._db is not None:
            self._db.close()
        self._db = self._desk = self._sender = self._ends = self._waiter = None
        self._messages = None


def _not_connected() -> ConfigurationError:
    return ConfigurationError(
        "the message bus is not connected: `await bus.initialize()` first"
    )


def _settings(config: Settings | Mapping[str, Any] | str | None) -> Settings:
    if isinstance(config, Settings):
        return config
    if isinstance(config, str):
        return Settings.from_env(broker_url=config)
    given = dict(config or {})
    for key in _KAFKA_KEYS:
        if key in given:
            del given[key]
            warn_about_kafka(f"{key!r} in the message bus's configuration")
    return Settings.from_env(**given)
