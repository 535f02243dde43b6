"""Workers that all tests of a file share: each test runs sagas of its own.

A test module may say what it needs: ``MODULES``, what the worker imports; ``PARTS``,
further workers' arguments; ``ENVIRONMENT``, settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.front import Effects, Front, front_door
from tests.support.shared import shared_stack, wait_all_ready
from tests.support.stack import Stack

EFFECTS = "tests.support.effects_agents"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the tests and the agents share."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def effects(folder: Path) -> Effects:
    """What the agents have done."""
    return Effects(folder / "effects")


@pytest.fixture(scope="module")
def pool() -> str:
    """How the worker runs its actions; a file may say otherwise."""
    return "prefork"


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest,
    pool: str,
    postgres_server: str,
    redis_databases: tuple[str, str],
    folder: Path,
    effects: Effects,
) -> Iterator[Stack]:
    """A worker of four children, a chores worker and beat."""
    asked = vars(request.module)
    settings = {
        "ORCHESTRATION_KEY_PREFIX": f"{request.module.__name__}_",
        # No attempt is taken for lost because the host stood still for a moment.
        "ORCHESTRATION_LEASE_S": "10",
        "EFFECTS_FILE": str(effects.path),
        "MEETING": str(folder),
        **asked.get("ENVIRONMENT", {}),
    }
    with shared_stack(postgres_server, redis_databases, **settings) as stack:
        modules = asked.get("MODULES", EFFECTS)
        stack.worker("-I", modules, "-c", "4", pool=pool, wait=False)
        for more in asked.get("PARTS", ()):
            stack.worker(*more, wait=False)
        stack.chores(wait=False)
        stack.beat(wait=False)
        yield wait_all_ready(stack)


@pytest.fixture(scope="module")
def front(running: Stack) -> Iterator[Front]:
    """A producer beside those workers."""
    with front_door(running.env) as front:
        yield front


@pytest.fixture
def gate(folder: Path) -> Callable[[], Path]:
    """Return files that are not there yet, for actions to wait for."""
    return lambda: folder / f"gate-{uuid4().hex}"
