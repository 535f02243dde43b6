"""Databases, key spaces and vhosts for one test each, on whatever server there is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from typing import NoReturn

import psycopg2
import pytest
import redis
from sqlalchemy.engine import make_url

RABBITMQ_DEFAULT = "amqp://guest:guest@127.0.0.1:5672/"
RABBITMQ_WAY_OUT = "set ORCHESTRATION_TEST_RABBITMQ_URL to an administrator's address"
SPARE_REDIS_DATABASES = range(8, 16)


def absent(server: str, way_out: str, why: object) -> NoReturn:
    """Skip on a laptop, fail where CI is set: there nothing may go untested."""
    text = f"no {server} for this test ({why}): {way_out}"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def psycopg2_address(url: str) -> str:
    """Turn SQLAlchemy's address into the driver's own."""
    plain = make_url(url).set(drivername="postgresql")
    return plain.render_as_string(hide_password=False)


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Create an empty database and drop it afterwards, whoever is connected."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    admin = psycopg2.connect(psycopg2_address(server_url))
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            try:
                url = make_url(server_url).set(database=name)
                yield url.render_as_string(hide_password=False)
            finally:
                cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        admin.close()


def redis_database(server_url: str, number: int) -> str:
    """Return the address of one numbered database of a Redis server."""
    parts = urllib.parse.urlsplit(server_url)
    return urllib.parse.urlunsplit(parts._replace(path=f"/{number}"))


def spare_redis_databases(server_url: str, count: int) -> list[str]:
    """Return empty databases of a Redis that others use too, out of 8 to 15.

    Tests that run in several processes look through a share of them each.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    spare = []
    for number in SPARE_REDIS_DATABASES[mine::processes]:
        url = redis_database(server_url, number)
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            if client.dbsize() == 0:
                spare.append(url)
        if len(spare) == count:
            return spare
    return pytest.fail(
        f"{server_url} has no {count} empty databases among 8 to 15 for each of "
        f"{processes} processes: empty some"
    )


def wipe(redis_url: str) -> None:
    """Empty one database of a Redis server."""
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        client.flushdb()


@contextlib.contextmanager
def fresh_rabbitmq() -> Iterator[str]:
    """Create a vhost of this machine's RabbitMQ, if it answers."""
    admin_url = os.environ.get("ORCHESTRATION_TEST_RABBITMQ_URL") or RABBITMQ_DEFAULT
    parts = urllib.parse.urlsplit(admin_url)
    try:
        socket.create_connection((parts.hostname, parts.port or 5672), 30).close()
    except OSError as error:
        absent("RabbitMQ", RABBITMQ_WAY_OUT, error)
    with fresh_vhost(admin_url) as url:
        yield url


@contextlib.contextmanager
def fresh_vhost(admin_url: str) -> Iterator[str]:
    """Create a RabbitMQ vhost that the admin's user may use; delete it afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    parts = urllib.parse.urlsplit(admin_url)
    make = _by_rabbitmqctl if shutil.which("rabbitmqctl") else _by_management_api
    with make(parts, name):
        yield urllib.parse.urlunsplit(parts._replace(path=f"/{name}"))


@contextlib.contextmanager
def _by_rabbitmqctl(parts: urllib.parse.SplitResult, name: str) -> Iterator[None]:
    user = urllib.parse.unquote(parts.username or "guest")
    _rabbitmqctl("add_vhost", name)
    try:
        _rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
        yield
    finally:
        _rabbitmqctl("delete_vhost", name)


def _rabbitmqctl(*words: str) -> None:
    try:
        subprocess.run(
            ["rabbitmqctl", "-q", *words], check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as error:
        absent("RabbitMQ", RABBITMQ_WAY_OUT, error.stderr or error)


@contextlib.contextmanager
def _by_management_api(parts: urllib.parse.SplitResult, name: str) -> Iterator[None]:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    user = parts.username or "guest"
    _management(parts, "PUT", f"vhosts/{name}", {})
    try:
        _management(parts, "PUT", f"permissions/{name}/{user}", everything)
        yield
    finally:
        _management(parts, "DELETE", f"vhosts/{name}", {})


def _management(
    parts: urllib.parse.SplitResult, method: str, path: str, body: dict[str, str]
) -> None:
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    root = f"http://{parts.hostname}:15672/api/"
    user = urllib.parse.unquote(parts.username or "guest")
    password = urllib.parse.unquote(parts.password or "guest")
    passwords.add_password(None, root, user, password, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    request = urllib.request.Request(
        root + path,
        method=method,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        opener.open(request, timeout=60).close()
    except (urllib.error.URLError, OSError) as error:
        absent("RabbitMQ", RABBITMQ_WAY_OUT, error)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
