"""Servers for the tests: embedded ones, or those that environment variables name.

ORCHESTRATION_TEST_DATABASE_URL, ORCHESTRATION_TEST_REDIS_URL and
ORCHESTRATION_TEST_RABBITMQ_URL point at servers of this machine. A server that is
missing skips the test on a laptop and fails it where CI is set.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import settings

from orchestration.adapters.embedded import (
    EmbeddedServerError,
    EmbeddedServerMissing,
    EmbeddedServers,
)
from tests.support.servers import (
    absent,
    fresh_database,
    fresh_rabbitmq,
    redis_database,
    spare_redis_databases,
    wipe,
)
from tests.support.stack import Stack
from tests.unit.profiles import PROFILE

# Before any test module is imported: its laws are decorated with what is then loaded.
settings.load_profile(PROFILE)

STACKS = pytest.StashKey[list[Stack]]()


def pytest_configure() -> None:
    """Let processes of the tests be interrupted, however this one was started.

    A shell starts background jobs with SIGINT ignored, and so would be their children.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Superuser address of a Postgres for the whole run."""
    given = os.environ.get("ORCHESTRATION_TEST_DATABASE_URL")
    if given:
        yield given
        return
    servers = EmbeddedServers(valkey=False, durable=False)
    try:
        servers.start()
    except EmbeddedServerMissing as error:
        absent("Postgres", "or set ORCHESTRATION_TEST_DATABASE_URL", error)
    try:
        yield servers.database_url
    finally:
        servers.stop()


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """Address of a fresh, empty database that is dropped after the test."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def redis_databases() -> Iterator[tuple[str, str]]:
    """Two databases of one Redis for the whole run: hot state, and broker."""
    given = os.environ.get("ORCHESTRATION_TEST_REDIS_URL")
    if given:
        hot, broker = spare_redis_databases(given, 2)
        yield hot, broker
        return
    servers = EmbeddedServers(postgres=False)
    try:
        servers.start()
    except EmbeddedServerMissing as error:
        absent("Redis", "or set ORCHESTRATION_TEST_REDIS_URL", error)
    try:
        yield servers.redis_url, redis_database(servers.redis_url, 1)
    finally:
        servers.stop()


@pytest.fixture
def redis_url(redis_databases: tuple[str, str]) -> Iterator[str]:
    """Address of an empty Redis database for hot state."""
    wipe(redis_databases[0])
    yield redis_databases[0]
    wipe(redis_databases[0])


@pytest.fixture
def redis_broker_url(redis_databases: tuple[str, str]) -> Iterator[str]:
    """Address of an empty Redis database for Celery, apart from ``redis_url``."""
    wipe(redis_databases[1])
    yield redis_databases[1]
    wipe(redis_databases[1])


@pytest.fixture
def private_servers() -> Iterator[EmbeddedServers]:
    """Postgres and Valkey of the test's own, to wipe, kill and restart."""
    servers = EmbeddedServers(durable=False)
    try:
        servers.start()
    except EmbeddedServerMissing as error:
        absent("embedded server", "there is no substitute", error)
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def rabbitmq_url() -> Iterator[str]:
    """Address of a RabbitMQ vhost that is deleted after the test."""
    with fresh_rabbitmq() as url:
        yield url


@pytest.fixture
def make_stack(request: pytest.FixtureRequest) -> Iterator[Callable[..., Stack]]:
    """Factory of stacks for any Celery app: ``make_stack(env, app="my.app")``."""
    stacks = request.node.stash.setdefault(STACKS, [])

    def make(env: Mapping[str, str], **options: Any) -> Stack:
        stacks.append(Stack(env, **options))
        return stacks[-1]

    yield make
    with contextlib.ExitStack() as closing:
        for stack in stacks:
            closing.callback(stack.close)


@pytest.fixture
def stack(
    database_url: str,
    redis_url: str,
    redis_broker_url: str,
    # Last, hence closed first: processes end before what they use is wiped.
    make_stack: Callable[..., Stack],
) -> Stack:
    """Workers and beat of ``tasks`` on a migrated database and empty Redis.

    Start them by ``stack.worker(…)``, ``stack.chores()`` and ``stack.beat()``; for
    another broker set ``stack.env["CELERY_BROKER_URL"]`` before.
    """
    addresses = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "CELERY_BROKER_URL": redis_broker_url,
    }
    return make_stack(addresses, prepare=migrate)


def migrate(environment: Mapping[str, str]) -> None:
    from orchestration.adapters.schema import migrate_all

    migrate_all(environment["DATABASE_URL"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the logs of a failed test's processes into its report."""
    report = yield
    if report.failed:
        for stack in item.stash.get(STACKS, []):
            with contextlib.suppress(EmbeddedServerError):
                report.sections.extend(stack.logs())
    return report
