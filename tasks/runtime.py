"""What each worker process keeps open; made at first use, hence after the fork."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass

from celery import Celery
from celery.signals import worker_process_shutdown, worker_shutdown

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.backlog import Backlog
from orchestration.adapters.celery_bus import StepSender, make_producer
from orchestration.adapters.database import Database
from orchestration.adapters.dead_messages import DeadMessages
from orchestration.adapters.deliveries import Deliveries
from orchestration.adapters.lease import LeaseKeeper
from orchestration.adapters.message_sender import MessageSender
from orchestration.adapters.push import Ends
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.replies import ReplySender
from orchestration.adapters.saga_index import SagaIndex
from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_watch import SagaWatch
from orchestration.agents import find_agent
from orchestration.core.swarm.fold import SwarmView
from orchestration.engine.acting import SagaDesk
from orchestration.engine.attending import Attendant
from orchestration.engine.handling import Hosted, Mailbox
from orchestration.engine.partition_side import PartitionSide
from orchestration.engine.recording import Recorder, Rules
from orchestration.engine.registering import RegistryDesk, health_rules, sla_rules
from orchestration.engine.starting import Backpressure, SagaDoor
from orchestration.engine.swarm_errands import SwarmErrands
from orchestration.engine.swarm_side import SwarmSide
from orchestration.engine.sweeping import RegistrySweeper
from orchestration.engine.watching import Sweeper
from orchestration.engine.worker_router import WorkerRouter
from orchestration.errors import TransportError
from orchestration.metrics import registry_metrics, routing_metrics, saga_metrics
from orchestration.settings import Settings
from tasks.finding import find_action

__all__ = ["Runtime", "runtime"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Runtime:
    """One process's connections and the tools that use them."""

    settings: Settings
    db: Database
    log: SagaLog
    watch: SagaWatch
    index: SagaIndex
    sender: StepSender
    recorder: Recorder
    keeper: LeaseKeeper
    ends: Ends
    desk: SagaDesk
    backlog: Backlog
    registry: RegistryDesk
    mailbox: Mailbox
    router: WorkerRouter
    swarms: SwarmSide
    partitions: PartitionSide

    @property
    def attendant(self) -> Attendant:
        """Who looks after sagas that wait for locks or other sagas."""
        return Attendant(
            self.desk,
            chooser=self.router.chooser,
            swarms=SwarmErrands(self.swarms.desk, self.partitions.desk),
        )

    @property
    def sweeper(self) -> Sweeper:
        """Who moves on sagas that stand still."""
        return Sweeper(self.recorder, self.watch, self.backlog)

    @property
    def registry_sweeper(self) -> RegistrySweeper:
        """Who judges agents by their heartbeats."""
        return RegistrySweeper(
            self.registry,
            health_rules(self.settings),
            registry_metrics(),
            sla_rules(self.settings),
        )

    def close(self) -> None:
        """Let go of everything."""
        self.partitions.close()
        self.swarms.close()
        self.router.close()
        self.registry.hot.close()
        self.keeper.close()
        self.sender.disconnect()
        self.mailbox.close()
        self.ends.close()
        self.db.close()


_lock = threading.Lock()
_open: dict[int, Runtime] = {}


def runtime(app: Celery) -> Runtime:
    """Return this process's runtime."""
    pid = os.getpid()
    made = _open.get(pid)
    if made is not None:
        return made
    with _lock:
        if pid not in _open:
            # What a parent left here belongs to the parent: it is not closed.
            _open.clear()
            _open[pid] = _make(app)
        return _open[pid]


def _make(app: Celery) -> Runtime:
    settings = Settings.from_env()
    db = Database(settings.database_url, pool_size=settings.db_pool_size, name="worker")
    log, watch, index = SagaLog(db), SagaWatch(db), SagaIndex(db)
    announcements = Announcements(db, settings.announce_interval_s)
    ends = Ends(settings.redis_url, settings.key_prefix)
    sender = StepSender(app, announcements, db.clock, settings.broker_url)
    recorder = Recorder(
        log=log,
        sender=sender,
        clock=db.clock,
        ends=ends,
        metrics=saga_metrics(),
        rules=Rules.of(settings),
    )
    door = SagaDoor(
        recorder,
        announcements,
        settings.max_payload_bytes,
        Backpressure(index.count_open, settings.max_open_sagas),
    )
    swarms = SwarmSide.open(app, db, announcements, settings)
    return Runtime(
        settings=settings,
        db=db,
        log=log,
        watch=watch,
        index=index,
        sender=sender,
        recorder=recorder,
        keeper=LeaseKeeper(watch, settings.lease_s),
        ends=ends,
        desk=SagaDesk(recorder, door),
        backlog=Backlog(app, announcements),
        registry=RegistryDesk(
            db, HotState(settings.redis_url, settings.key_prefix), settings
        ),
        mailbox=_mailbox(settings, db, announcements),
        router=WorkerRouter(settings, db, announcements, routing_metrics()),
        swarms=swarms,
        partitions=PartitionSide.open(
            app,
            db,
            announcements,
            settings,
            swarms.log,
            swarms.ends,
            on_end=lambda view: _tell_saga(sender, view),
        ),
    )


def _tell_saga(sender: StepSender, swarm: SwarmView) -> None:
    """Have the saga looked after that a swarm was a step of, if it was one."""
    saga_id = swarm.spec.get("metadata", {}).get("saga_id")
    if not isinstance(saga_id, str):
        return
    try:
        sender.attend([saga_id])
    except TransportError:
        logger.warning("end of swarm %s not told to its saga yet", swarm.swarm_id)


def _mailbox(settings: Settings, db: Database, announcements: Announcements) -> Mailbox:
    sender = MessageSender(make_producer(settings, confirms=True), announcements)
    return Mailbox(
        hosted=Hosted(find_agent, find_action),
        letters=DeadMessages(db),
        answers=ReplySender(settings.redis_url),
        sender=sender,
        deliveries=Deliveries(settings.redis_url, settings.key_prefix),
        clock=db.clock,
        max_payload_bytes=settings.max_payload_bytes,
    )


@worker_process_shutdown.connect
@worker_shutdown.connect
def _close(**_: object) -> None:
    made = _open.pop(os.getpid(), None)
    if made is not None:
        made.close()
