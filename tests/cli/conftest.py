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

from tests.support.commands import Commands
from tests.support.front import Front, front_door
from tests.support.shared import shared_stack, wait_all_ready
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a command is told: nothing of this process but where to look."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **given}


def orchestration(*words: str) -> list[str]:
    return [sys.executable, "-m", "orchestration", *words]


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """The process whose forks are the commands of all tests."""
    commands = Commands(environment({}))
    yield commands
    commands.close()


@pytest.fixture
def run(request: pytest.FixtureRequest, commands: Commands) -> Run:
    """Return a function that runs the command to its end, on the stack's servers."""

    def run(*words: str, **given: str) -> subprocess.CompletedProcess[str]:
        for name in {"stack", "running"} & {*request.fixturenames}:
            given = {**request.getfixturevalue(name).env, **given}
        return commands.run([*words], environment(given))

    return run


@pytest.fixture
def run_json(run: Run) -> Callable[..., Any]:
    """Return a function that runs a command with --json and reads what it printed."""

    def read(*words: str, code: int | None = None, **given: str) -> Any:
        done = run(*words, "--json", **given)
        assert done.stderr == ""
        assert code in (None, done.returncode)
        return json.loads(done.stdout)

    return read


@pytest.fixture(scope="module")
def running(
    postgres_server: str,
    redis_databases: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack that a whole module of tests shares: each runs sagas of its own."""
    settings = {
        "ORCHESTRATION_KEY_PREFIX": "cli_",
        "EFFECTS_FILE": str(tmp_path_factory.mktemp("effects") / "effects"),
    }
    with shared_stack(postgres_server, redis_databases, **settings) as stack:
        stack.worker("-I", "tests.support.effects_agents", "-c", "2", wait=False)
        stack.chores(wait=False)
        stack.beat(wait=False)
        yield wait_all_ready(stack)


@pytest.fixture(scope="module")
def shared(running: Stack) -> Iterator[Front]:
    """A producer beside the stack that the module shares."""
    with front_door(running.env) as producer:
        yield producer
