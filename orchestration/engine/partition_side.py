"""All that one process keeps open for swarms that share out partitions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from celery import Celery

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.database import Database
from orchestration.adapters.field_log import FieldLog
from orchestration.adapters.partition_log import PartitionLog
from orchestration.adapters.partition_queue import PartitionQueue
from orchestration.adapters.partition_sender import PartitionSender
from orchestration.adapters.push import Ends
from orchestration.adapters.swarm_log import SwarmLog
from orchestration.core.swarm.fold import SwarmView
from orchestration.engine.partition_desk import PartitionDesk
from orchestration.engine.partition_pulling import Puller
from orchestration.engine.standing_fields import StandingFields
from orchestration.settings import Settings
from orchestration.swarm_metrics import swarm_metrics

__all__ = ["PartitionSide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSide:
    """One process's part in such swarms."""

    log: PartitionLog
    queue: PartitionQueue
    sender: PartitionSender
    fields: StandingFields
    desk: PartitionDesk
    puller: Puller

    @classmethod
    def open(
        cls,
        app: Celery,
        db: Database,
        announcements: Announcements,
        settings: Settings,
        swarms: SwarmLog,
        ends: Ends,
        *,
        on_end: Callable[[SwarmView], None] = lambda _: None,
    ) -> Self:
        """Return it; connections are opened when they are needed.

        Args:
            app: By which it sends.
            db: Where swarms are recorded.
            announcements: What workers host.
            settings: Of this process.
            swarms: Where all swarms are recorded.
            ends: Where their ends are told.
            on_end: Is called with each swarm that is found to be over here.
        """
        log = PartitionLog(db)
        queue = PartitionQueue(settings.redis_url, settings.key_prefix)
        sender = PartitionSender(app, announcements, settings.broker_url)
        fields = StandingFields(
            db=db, swarms=swarms, log=FieldLog(db), tick_s=settings.field_tick_s
        )
        desk = PartitionDesk(
            swarms=swarms,
            log=log,
            fields=fields,
            queue=queue,
            sender=sender,
            announcements=announcements,
            ends=ends,
            clock=db.clock,
            metrics=swarm_metrics(),
            most_agents=settings.max_swarm_agents,
            max_payload_bytes=settings.max_payload_bytes,
            lease_ms=round(settings.lease_s * 1_000),
            on_end=on_end,
        )
        puller = Puller(
            desk=desk,
            worker=lambda: f"{os.uname().nodename}/{os.getpid()}",
            max_payload_bytes=settings.max_payload_bytes,
        )
        return cls(
            log=log,
            queue=queue,
            sender=sender,
            fields=fields,
            desk=desk,
            puller=puller,
        )

    def close(self) -> None:
        """Let go of everything but the database, which is the caller's."""
        self.puller.close()
        self.sender.close()
        self.queue.close()
