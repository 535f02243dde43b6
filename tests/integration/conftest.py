"""Workers that a whole module of tests shares: each test runs sagas of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import migrate
from tests.support.front import Effects, Front, front_door
from tests.support.servers import fresh_database, wipe
from tests.support.stack import Stack

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
