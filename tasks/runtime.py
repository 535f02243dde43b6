"""What each worker process keeps open; made at first use, hence after the fork."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from celery import Celery
from celery.signals import worker_process_shutdown, worker_shutdown

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.backlog import Backlog
from orchestration.adapters.celery_bus import StepSender
from orchestration.adapters.database import Database
from orchestration.adapters.lease import LeaseKeeper
from orchestration.adapters.push import Ends
from orchestration.adapters.saga_index import SagaIndex
from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_watch import SagaWatch
from orchestration.engine.acting import SagaDesk
from orchestration.engine.attending import Attendant
from orchestration.engine.recording import Recorder, Rules
from orchestration.engine.starting import Backpressure, SagaDoor
from orchestration.engine.watching import Sweeper
from orchestration.metrics import saga_metrics
from orchestration.settings import Settings

__all__ = ["Runtime", "runtime"]


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

    @property
    def attendant(self) -> Attendant:
        """Who looks after sagas that wait for locks or other sagas."""
        return Attendant(self.desk)

    @property
    def sweeper(self) -> Sweeper:
        """Who moves on sagas that stand still."""
        return Sweeper(self.recorder, self.watch, self.backlog)

    def close(self) -> None:
        """Let go of everything."""
        self.keeper.close()
        self.sender.disconnect()
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
    sender = StepSender(app, announcements, db.clock)
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
    )


@worker_process_shutdown.connect
@worker_shutdown.connect
def _close(**_: object) -> None:
    made = _open.pop(os.getpid(), None)
    if made is not None:
        made.close()
