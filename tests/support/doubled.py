"""Imported by a worker, it delivers every tenth message twice."""

from __future__ import annotations

import itertools
from typing import Any

from celery.signals import after_task_publish

_count = itertools.count(1)


@after_task_publish.connect
def _again(
    body: Any, exchange: str, routing_key: str, headers: dict[str, Any], **_: Any
) -> None:
    if next(_count) % 10:
        return
    from tasks import app

    with app.producer_or_acquire() as producer:
        producer.publish(
            body,
            exchange=exchange,
            routing_key=routing_key,
            headers=headers,
            serializer="json",
            correlation_id=headers["id"],
        )
