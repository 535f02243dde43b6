"""What each worker process keeps open; made at first use, hence after the fork."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import datetime

from celery import Celery
from celery.signals import worker_process_shutdown, worker_shutdown

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.celery_bus import StepSender
from orchestration.adapters.database import Database
from orchestration.adapters.lease import LeaseKeeper
from orchestration.adapters.push import Ends
from orchestration.adapters.saga_door import SagaDoor
from orchestration.adapters.saga_log import SagaLog
from orchestration.metrics import SagaMetrics, saga_metrics
from orchestration.settings import Settings

__all__ = ["Runtime", "runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """One process's connections and the tools that use them."""

    settings: Settings
    log: SagaLog
    announcements: Announcements
    sender: StepSender
    keeper: LeaseKeeper
    ends: Ends
    door: SagaDoor
    metrics: SagaMetrics

    def now(self) -> datetime:
        """Return the database's time."""
        return self.log.db.clock.now()

    def close(self) -> None:
        """Let go of everything."""
        self.keeper.close()
        self.ends.close()
        self.log.db.close()


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
    log = SagaLog(db)
    announcements = Announcements(db, settings.announce_interval_s)
    sender = StepSender(app, announcements, db.clock)
    return Runtime(
        settings=settings,
        log=log,
        announcements=announcements,
        sender=sender,
        keeper=LeaseKeeper(log, settings.lease_s),
        ends=Ends(settings.redis_url, settings.key_prefix),
        door=SagaDoor(log, announcements, sender, settings.max_payload_bytes),
        metrics=saga_metrics(),
    )


@worker_process_shutdown.connect
@worker_shutdown.connect
def _close(**_: object) -> None:
    made = _open.pop(os.getpid(), None)
    if made is not None:
        made.close()
