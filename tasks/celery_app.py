"""The Celery app; importing it reads no settings and opens nothing."""

from __future__ import annotations

from celery import Celery

from orchestration.adapters.queues import AMQP_CLASS
from tasks.config import worker_config
from tasks.fetching import FetchAhead

app = Celery(
    "tasks",
    amqp=AMQP_CLASS,
    include=[
        "tasks.saga",
        "tasks.recovery",
        "tasks.chores",
        "tasks.registry",
        "tasks.messaging",
        "tasks.routing",
        "tasks.pipeline",
        "tasks.provenance",
        "tasks.swarm",
        "tasks.partitions",
    ],
)
# A callable is evaluated when the configuration is first looked at, not before.
app.add_defaults(worker_config)
app.steps["consumer"].add(FetchAhead)

# Connects the signals by which a worker learns what it hosts.
import tasks.hosting  # noqa: E402, F401
