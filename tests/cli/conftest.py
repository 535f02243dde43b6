"""The command as a process, and a saga that was undone to look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import migrate
from tests.support.front import Front, front_door
from tests.support.servers import fresh_database, wipe
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a command is told: nothing of this process but where to look."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **given}


def orchestration(*words: str) -> list[str]:
    return [sys.executable, "-m", "orchestration", *words]


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs the command to its end, on the stack's servers."""

    def run(*words: str, **given: str) -> subprocess.CompletedProcess[str]:
        for name in {"stack", "running"} & {*request.fixturenames}:
            given = {**request.getfixturevalue(name).env, **given}
        return subprocess.run(
            orchestration(*words),
            cwd=ROOT,
            env=environment(given),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@pytest.fixture
def run_json(run: Run) -> Callable[..., Any]:
    """Return a function that runs a command with --json and reads what it printed."""

    def read(*words: str, code: int = 0, **given: str) -> Any:
        done = run(*words, "--json", **given)
        assert (done.stderr, done.returncode) == ("", code)
        return json.loads(done.stdout)

    return read


@pytest.fixture(scope="module")
def running(
    postgres_server: str,
    redis_databases: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack that a whole module of tests shares: each runs sagas of its own."""
    with fresh_database(postgres_server) as database_url:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_databases[0],
            "CELERY_BROKER_URL": redis_databases[1],
            "ORCHESTRATION_KEY_PREFIX": "cli_",
            "EFFECTS_FILE": str(tmp_path_factory.mktemp("effects") / "effects"),
        }
        stack = Stack(environment, prepare=migrate)
        try:
            parts = [
                stack.worker(
                    "-I", "tests.support.effects_agents", "-c", "2", wait=False
                ),
                stack.chores(wait=False),
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
def shared(running: Stack) -> Iterator[Front]:
    """A producer beside the stack that the module shares."""
    with front_door(running.env) as producer:
        yield producer


@pytest.fixture
def front(stack, tmp_path: Path) -> Iterator[Front]:
    """A producer beside real workers that host the effects agent."""
    stack.env["EFFECTS_FILE"] = str(tmp_path / "effects")
    parts = [
        stack.worker("-I", "tests.support.effects_agents", "-c", "1", wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()
    with front_door(stack.env) as producer:
        yield producer
