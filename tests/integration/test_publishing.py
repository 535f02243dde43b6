"""Messages of steps: given to the broker as Celery would, and when it was away."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from celery import Celery, signals

from orchestration.adapters.celery_bus import make_producer
from orchestration.adapters.embedded import EmbeddedServers
from orchestration.adapters.publishing import Publisher
from orchestration.errors import TransportError
from orchestration.settings import Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration
QUEUE = "agents.test"
LINK = {
    "task": "saga.step",
    "args": (),
    "kwargs": {"saga_id": "s", "step": "a"},
    "options": {
        "queue": QUEUE,
        "argsrepr": "label",
        "kwargsrepr": "{}",
        "time_limit": 70.0,
    },
}
NEXT = {**LINK, "kwargs": {"saga_id": "s", "step": "b"}, "subtask_type": None}


@pytest.fixture(params=["redis", "rabbitmq"])
def app(request: pytest.FixtureRequest, redis_broker_url: str) -> Iterator[Celery]:
    url = redis_broker_url
    if request.param == "rabbitmq":
        url = str(request.getfixturevalue("rabbitmq_url"))
    with closing(producer_of(url)) as app:
        yield app


def producer_of(broker_url: str) -> Celery:
    nowhere = {"database_url": "postgresql://nowhere/x", "redis_url": "redis://nowhere"}
    return make_producer(Settings.from_env(**nowhere, broker_url=broker_url))


@contextmanager
def publisher_of(app: Celery) -> Iterator[Publisher]:
    publisher = Publisher(app)
    try:
        yield publisher
    finally:
        publisher.close()


def fetched(app: Celery, count: int = 1) -> list[tuple[dict[str, Any], Any]]:
    """Take all messages once so many are there; return headers and body of each."""
    found: list[tuple[dict[str, Any], Any]] = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        queue = app.amqp.queues[QUEUE].bind(channel)

        def take() -> bool:
            while (message := queue.get(no_ack=True)) is not None:
                found.append((message.headers, json.loads(message.body)))
            return len(found) >= count

        # A broker that confirms nothing may have them a moment later.
        wait_until(take, f"{count} messages")
    return found


def told_by(send: Callable[[], object], app: Celery) -> tuple[dict[str, Any], Any]:
    send()
    [(headers, body)] = fetched(app)
    # What differs from message to message, and where a result would go.
    for key in ("id", "root_id", "origin"):
        headers.pop(key)
    return headers, body


def test_a_message_is_what_celery_would_have_sent(app: Celery) -> None:
    with publisher_of(app) as publisher:
        ours = told_by(
            lambda: publisher.publish(LINK, args=({"version": 1},), chain=[NEXT]), app
        )
    signature = app.signature(LINK["task"], kwargs=LINK["kwargs"], app=app)
    celerys = told_by(
        lambda: signature.apply_async(
            ({"version": 1},), chain=[NEXT], ignore_result=True, **LINK["options"]
        ),
        app,
    )
    assert ours == celerys


def test_ids_of_what_a_message_comes_from_are_handed_on(app: Celery) -> None:
    with publisher_of(app) as publisher:
        publisher.publish(LINK, args=(), root_id="root", parent_id="parent")
    [(headers, _)] = fetched(app)
    assert (headers["root_id"], headers["parent_id"]) == ("root", "parent")


def test_whoever_listens_to_celerys_signals_hears_of_a_message(app: Celery) -> None:
    heard = []
    link = {**LINK, "args": ({"version": 1},)}

    def hear(sender: str, headers: dict[str, Any], **_: object) -> None:
        heard.append(sender)
        headers["trace"] = "me"

    signals.before_task_publish.connect(hear)
    try:
        with publisher_of(app) as publisher:
            publisher.publish(link, args=link["args"])
    finally:
        signals.before_task_publish.disconnect(hear)
    [(headers, (args, _, _))] = fetched(app)
    assert args == [{"version": 1}]
    assert heard == ["saga.step"]
    assert headers["trace"] == "me"


def test_a_connection_that_broke_is_made_anew(app: Celery) -> None:
    with publisher_of(app) as publisher:
        publisher.publish(LINK, args=())
        connection = publisher._idle[-1].connection
        if connection.transport.driver_type == "redis":
            [broken] = connection.default_channel.pool._available_connections
            sent_by = broken._sock
        else:
            sent_by = connection.connection.transport.sock
        sent_by.shutdown(socket.SHUT_RDWR)
        publisher.publish(LINK, args=())
    assert len(fetched(app, 2)) == 2


def test_a_broker_that_is_away_is_told_and_taken_again_when_it_is_back(
    private_servers: EmbeddedServers,
) -> None:
    url = private_servers.redis_url
    with closing(producer_of(url)) as app, publisher_of(app) as publisher:
        app.conf.task_publish_retry_policy = {"max_retries": 1, "interval_start": 0}
        publisher.publish(LINK, args=())
        private_servers.stop()
        with pytest.raises(TransportError, match=r"did not take task saga\.step"):
            publisher.publish(LINK, args=())
