"""Messages over Redis: what is kept, and what is put off for a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
from celery import Celery

from orchestration.adapters import redis_transport
from orchestration.adapters.redis_transport import Channel, Transport

pytestmark = pytest.mark.integration
QUEUE = "agents.test"


@pytest.fixture
def channel(redis_broker_url: str) -> Iterator[Channel]:
    app = Celery(broker=redis_broker_url, set_as_current=False)
    with closing(app), app.connection_for_write(transport=Transport) as connection:
        for _ in range(3):
            app.send_task("x", queue=QUEUE)
        with connection.channel() as channel:
            app.amqp.queues[QUEUE].bind(channel).declare()
            yield channel


@pytest.fixture
def taken(redis_broker_url: str) -> Iterator[Callable[[], int]]:
    """How many messages Redis would give out again one day."""
    with closing(redis.Redis.from_url(redis_broker_url)) as client:

        def count() -> int:
            noted, times = client.hlen("unacked"), client.zcard("unacked_index")
            assert noted == times
            return int(noted)

        yield count


def take(channel: Channel) -> Any:
    return channel.basic_get(QUEUE)


def test_a_client_is_kept_for_as_long_as_its_pool(channel: Channel) -> None:
    assert isinstance(channel, Channel)
    with channel.conn_or_acquire() as one, channel.conn_or_acquire() as other:
        assert one is other
    channel._disconnect_pools()
    with channel.conn_or_acquire() as new:
        assert new is not one
        assert new.ping()


def test_without_a_loop_a_message_is_acknowledged_at_once(
    channel: Channel, taken: Callable[[], int]
) -> None:
    message = take(channel)
    assert taken() == 1
    message.ack()
    assert taken() == 0


def test_an_acknowledgement_goes_with_the_next_message(
    channel: Channel, taken: Callable[[], int]
) -> None:
    put_off: list[Callable[[], None]] = []
    channel.qos.later = lambda _, call: put_off.append(call)
    take(channel).ack()
    assert channel.qos.can_consume()
    assert (taken(), len(put_off)) == (1, 1)
    message = take(channel)
    assert taken() == 1  # the second, the first is acknowledged
    message.ack()
    put_off.pop()()
    assert taken() == 0
    put_off.pop()()  # nothing is left to do


def test_what_is_put_off_is_done_at_the_end_and_the_rest_given_back(
    channel: Channel, taken: Callable[[], int]
) -> None:
    channel.qos.later = lambda *_: None
    take(channel).ack()
    take(channel)
    channel.close()
    assert taken() == 0
    with channel.conn_or_acquire() as client:
        assert client.llen(QUEUE) == 2


def test_what_is_put_off_is_given_up_with_a_connection_that_broke(
    channel: Channel,
) -> None:
    channel.qos.later = lambda *_: None
    take(channel).ack()
    client, channel.connection.client = channel.connection.client, None
    channel._kept = channel._pool = None
    channel.qos.catch_up()
    channel.connection.client = client
    assert not channel.qos._put_off


def test_workers_find_it_under_the_usual_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_transport, "TRANSPORT_ALIASES", {})
    redis_transport.use_in_this_process()
    names = redis_transport.TRANSPORT_ALIASES
    assert names["redis"] == names["rediss"] == f"{Transport.__module__}:Transport"
