"""How workers and beat are configured."""

from __future__ import annotations

from typing import Any

import beat_schedule
from orchestration.adapters import redis_transport
from orchestration.adapters.celery_bus import celery_config
from orchestration.contracts import CHORES_QUEUE
from orchestration.settings import Settings

__all__ = ["worker_config"]

_TICK_EXPIRES_S = 600.0


def worker_config() -> dict[str, Any]:
    """Return the whole configuration, from this process's environment."""
    redis_transport.use_in_this_process()
    return celery_config(Settings.from_env()) | {
        # A message is acknowledged when its step is over, and comes back if its
        # process is killed; the claim in Postgres makes coming back harmless.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # What `-P prefork`, the default, stands for.
        "worker_pool": "tasks.pool:Prefork",
        # A late acknowledgement that is lost brings the message back: harmless too.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": 0.0,
        "beat_schedule": {
            name: {
                "task": task,
                "schedule": period_s,
                # Bounds what piles up while no worker takes chores. By the clocks of
                # two hosts, so no less: an old tick does nothing, being late.
                "options": {
                    "queue": CHORES_QUEUE,
                    "expires": max(_TICK_EXPIRES_S, 2 * period_s),
                    "kwargsrepr": "{}",
                },
                "kwargs": {"period_s": period_s},
            }
            for name, (task, period_s) in beat_schedule.SCHEDULE.items()
        },
        "beat_max_loop_interval": 1,
        # In memory: which tick comes next Postgres knows, and Celery's usual one, which
        # keeps a file, may close that while it still reads it when it is told to stop.
        "beat_scheduler": "celery.beat:Scheduler",
    }
