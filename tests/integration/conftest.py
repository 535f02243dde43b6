"""A worker's side without workers, and workers that a whole module of tests shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.front import Effects, Front, front_door
from tests.support.servers import fresh_database, fresh_rabbitmq, wipe
from tests.support.shared import shared_stack, wait_all_ready
from tests.support.stack import Stack
from tests.support.talking import Talk, talk
from tests.support.twin_log import Postgres
from tests.support.worker_side import WorkerSide, worker_side

AGENTS = ("-I", "tests.support.effects_agents", "--without-mingle")
TALKERS = ("-I", "tests.support.talking_agents", "-c", "2")


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    """What the agents have done."""
    return Effects(tmp_path_factory.mktemp("effects") / "effects")


@pytest.fixture(scope="module")
def running(
    postgres_server: str, redis_databases: tuple[str, str], effects: Effects
) -> Iterator[Stack]:
    """Two prefork children, a chores worker and beat."""
    settings = {
        "ORCHESTRATION_KEY_PREFIX": "shared_",
        # No attempt is taken for lost because the host stood still for a moment.
        "ORCHESTRATION_LEASE_S": "10",
        "EFFECTS_FILE": str(effects.path),
    }
    with shared_stack(postgres_server, redis_databases, **settings) as stack:
        stack.worker(*AGENTS, "-c", "2", wait=False)
        stack.chores("--without-mingle", wait=False)
        stack.beat(wait=False)
        yield wait_all_ready(stack)


@pytest.fixture(scope="module")
def front(running: Stack) -> Iterator[Front]:
    """A producer beside those workers."""
    with front_door(running.env) as front:
        yield front


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker_url(
    request: pytest.FixtureRequest, redis_databases: tuple[str, str]
) -> Iterator[str]:
    """Address of either broker, empty, for all tests of a module."""
    if request.param == "redis":
        wipe(redis_databases[1])
        yield redis_databases[1]
    else:
        with fresh_rabbitmq() as url:
            yield url


@pytest.fixture(scope="module")
def talkers(
    request: pytest.FixtureRequest,
    broker_url: str,
    postgres_server: str,
    redis_databases: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A worker of the talking agents on either broker, for all tests of a module.

    The module's ``ENVIRONMENT`` says more.
    """
    settings = {
        "EFFECTS_FILE": str(tmp_path_factory.mktemp("effects") / "effects"),
        **vars(request.module).get("ENVIRONMENT", {}),
    }
    with shared_stack(
        postgres_server, redis_databases, broker_url, **settings
    ) as stack:
        stack.worker(*TALKERS)
        yield stack


@pytest.fixture
def talking(talkers: Stack) -> Iterator[Talk]:
    """A producer of messages beside that worker; it leaves no dead letters open."""
    with talk(talkers.env) as talking:
        yield talking
        talking.discard_all()


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    """What a worker does around decisions, done by the test."""
    with worker_side(database_url, redis_url, monkeypatch) as side:
        yield side


@pytest.fixture(scope="module")
def postgres(postgres_server: str) -> Iterator[Postgres]:
    """The log in Postgres, beside which that in memory is put."""
    with fresh_database(postgres_server) as url:
        postgres = Postgres(url)
        yield postgres
        postgres.close()
