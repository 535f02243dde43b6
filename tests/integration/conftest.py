"""A worker's side without workers, and workers that a whole module of tests shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import migrate
from tests.support.front import Effects, Front, front_door
from tests.support.servers import fresh_database, wipe
from tests.support.stack import Stack
from tests.support.twin_log import Postgres
from tests.support.worker_side import WorkerSide, worker_side

AGENTS = ("-I", "tests.support.effects_agents", "--without-mingle")


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    """What the agents have done."""
    return Effects(tmp_path_factory.mktemp("effects") / "effects")


@pytest.fixture(scope="module")
def running(
    postgres_server: str, redis_databases: tuple[str, str], effects: Effects
) -> Iterator[Stack]:
    """Two prefork children, a chores worker and beat."""
    with fresh_database(postgres_server) as database_url:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_databases[0],
            "CELERY_BROKER_URL": redis_databases[1],
            "ORCHESTRATION_KEY_PREFIX": "shared_",
            "ORCHESTRATION_LEASE_S": "2",
            "EFFECTS_FILE": str(effects.path),
        }
        stack = Stack(environment, prepare=migrate)
        try:
            parts = [
                stack.worker(*AGENTS, "-c", "2", wait=False),
                stack.chores("--without-mingle", wait=False),
                stack.beat(wait=False),
            ]
            for part in parts:
                part.wait_ready()
            yield stack
        finally:
            stack.close()
            for url in redis_databases:
                wipe(url)


@pytest.fixture(scope="module")
def front(running: Stack) -> Iterator[Front]:
    """A producer beside those workers."""
    with front_door(running.env) as front:
        yield front


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
