"""A storm of a test's own: servers to wipe and restart, workers to kill and freeze."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from orchestration.adapters.embedded import EmbeddedServers
from tests.conftest import migrate
from tests.support.doubled import doubling
from tests.support.front import Effects, Front, front_door
from tests.support.stack import Stack
from tests.support.storm import Storm, raging

# Nobody but who is struck is taken for lost: a host may stand still for seconds.
LEASE_S = 8
AGENTS = ("-I", "tests.support.effects_agents,tests.support.doubled", "-c", "2")
CHORES = ("-I", "tests.support.doubled")


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path / "effects")


@pytest.fixture
def durable_servers() -> Iterator[EmbeddedServers]:
    """Servers that keep what was committed, as in production."""
    with EmbeddedServers() as servers:
        yield servers


@pytest.fixture
def storm(
    durable_servers: EmbeddedServers,
    effects: Effects,
    make_stack: Callable[..., Stack],
    request: pytest.FixtureRequest,
) -> Iterator[Storm]:
    """Two workers of two children, chores and beat; every tenth message comes twice.

    Parametrized with "rabbitmq" its messages go by that.
    """
    environment = durable_servers.environment
    if getattr(request, "param", "redis") == "rabbitmq":
        environment["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    environment |= {
        "ORCHESTRATION_LEASE_S": str(LEASE_S),
        "EFFECTS_FILE": str(effects.path),
    }
    migrate(environment)
    stack = make_stack(environment)
    # Each use opens a connection of its own: the server is restarted.
    engine = create_engine(environment["DATABASE_URL"], poolclass=NullPool)
    storm = Storm(stack, durable_servers, engine, effects.path, AGENTS, CHORES)
    with raging(storm):
        yield storm


@pytest.fixture
def front(storm: Storm) -> Iterator[Front]:
    """A producer in the storm; of its messages, too, every tenth comes twice."""
    with front_door(storm.stack.env) as front, doubling():
        yield front
