"""The fixtures that other tests build on do what they say."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest
import redis
from kombu import Connection

from tests.support.servers import psycopg2_address

pytestmark = pytest.mark.integration


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(psycopg2.connect(psycopg2_address(url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_gets_an_empty_database(database_url: str, time: str) -> None:
    rows(database_url, "CREATE TABLE only_mine (time text)")
    assert rows(database_url, "SELECT * FROM only_mine") == []


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_gets_an_empty_redis(
    redis_url: str, redis_broker_url: str, time: str
) -> None:
    for url in (redis_url, redis_broker_url):
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            assert client.dbsize() == 0
            client.set("left behind", time)


@pytest.mark.rabbitmq
def test_a_vhost_takes_messages(rabbitmq_url: str) -> None:
    with (
        Connection(rabbitmq_url) as connection,
        connection.SimpleQueue("tray") as queue,
    ):
        queue.put({"hello": "there"})
        assert queue.get(timeout=120).payload == {"hello": "there"}
