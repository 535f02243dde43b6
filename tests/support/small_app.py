"""A Celery app of a few lines, to try workers and beat on."""

from __future__ import annotations

import os
import time

import redis
from celery import Celery

app = Celery("small", broker=os.environ.get("CELERY_BROKER_URL"))
app.conf.update(
    task_ignore_result=True,
    beat_schedule={"tick": {"task": "small.note", "schedule": 1.0, "args": ("tick",)}},
    beat_max_loop_interval=1,
    broker_connection_retry_on_startup=True,
)


@app.task(name="small.note")
def note(word: str) -> None:
    """Count a word in Redis, where the test looks."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.incr(word)


@app.task(name="small.hang")
def hang() -> None:
    """Say that it has begun, and never end."""
    note("hanging")
    while True:
        time.sleep(1)
