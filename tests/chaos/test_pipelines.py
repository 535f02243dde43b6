"""A worker killed in mid-stage, a wiped Redis: the run ends right, swarm and all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import NullPool, create_engine

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.pipeline import Pipeline, PipelineStage, PipelineState
from tests.conftest import migrate
from tests.support.front import Front, front_door
from tests.support.stack import Stack
from tests.support.storm import Storm, raging
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

A, B, C = "agent-a", "agent-b", "agent-c"
ITEMS = list(range(12))
RUNS = 30
FAULTS = ("kill_worker", "flush", "kill_chores", "kill_beat", "restart_postgres")
LEASE_S = 6
AGENTS = ("-I", "tests.support.line_agents", "-c", "2")


@pytest.fixture
def storm(
    durable_servers: EmbeddedServers, make_stack: Callable[..., Stack], tmp_path: Path
) -> Iterator[Storm]:
    """Two workers of two children, chores and beat."""
    environment = {
        **durable_servers.environment,
        "ORCHESTRATION_LEASE_S": str(LEASE_S),
    }
    migrate(environment)
    engine = create_engine(environment["DATABASE_URL"], poolclass=NullPool)
    made = make_stack(environment)
    storm = Storm(made, durable_servers, engine, tmp_path / "effects", AGENTS)
    with raging(storm):
        yield storm


def stages(folder: Path | None = None) -> list[PipelineStage]:
    """Return stages of every mode; with a folder they wait there for ``gate``."""
    gated: dict[str, Any] = {"sleeps": 0.1}
    if folder is not None:
        gated = {"begun": str(folder), "waits_for": str(folder / "gate")}
    many = {"agents_required": 10, "backoff_ms": 0}
    both, swarm = {**gated, "adds": 5}, {**gated, "swarm_config": many}
    return [
        PipelineStage("first", [A, B], action="work"),
        PipelineStage("both", [A, B], mode="PARALLEL", action="work", metadata=both),
        PipelineStage("chosen", capability="counting", action="work"),
        PipelineStage("squares", [A], action="square", metadata=swarm),
        PipelineStage("each", [B, C], mode="MAP", items="xs", action="work"),
    ]


def check(front: Front, run_id: str) -> None:
    """Wait for a run and look at what came of it."""
    pipeline = Pipeline([], message_bus=front.bus)
    ended = asyncio.run(pipeline.wait(run_id, timeout_ms=240_000))
    assert ended.state is PipelineState.COMPLETED, ended
    result = ended.result
    assert [one["square"] for one in result["squares"]["values"]] == [
        n * n for n in ITEMS
    ]
    assert {agent: one["n"] for agent, one in result["both"].items()} == {A: 7, B: 7}
    assert result["by"][:2] == [A, B]
    assert [one["n"] for one in result["each"]] == [8, 9]


def start(front: Front, folder: Path | None = None) -> str:
    pipeline = Pipeline(stages(folder), message_bus=front.bus)
    return asyncio.run(pipeline.start({"n": 0, "items": ITEMS, "xs": [7, 8]}))


def test_a_killed_worker_and_a_wiped_redis_lose_no_run(
    private_servers: EmbeddedServers, tmp_path: Path, make_stack: Callable[..., Stack]
) -> None:
    stack = make_stack(private_servers.environment, prepare=migrate)
    stack.env["ORCHESTRATION_LEASE_S"] = str(LEASE_S)
    parts = [
        stack.worker(*AGENTS, wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()
    folders = [tmp_path / name for name in ("doomed", "other")]
    for folder in folders:
        folder.mkdir()
    with (
        front_door(stack.env) as front,
        redis.Redis.from_url(private_servers.redis_url) as client,
    ):
        doomed = start(front, folders[0])
        mark = folders[0] / "both[0]"
        wait_until(lambda: mark.exists() and mark.read_text(), "a stage is worked on")
        os.kill(int(mark.read_text()), signal.SIGKILL)
        client.flushall()
        (folders[0] / "gate").touch()
        check(front, doomed)
        assert "STEP_UNKNOWN" in front.types(doomed)

        other = start(front, folders[1])
        wait_until((folders[1] / "both[1]").exists, "both are worked on")
        (folders[1] / "gate").touch()
        wait_until(lambda: "STEP_WAITING" in front.types(other), "its swarm begins")
        client.flushall()
        check(front, other)


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_no_run_is_lost_in_a_storm(storm: Storm) -> None:
    with front_door(storm.stack.env) as front:
        runs = []
        for fault in FAULTS * 2:
            runs += [start(front) for _ in range(RUNS // len(FAULTS))]
            getattr(storm, fault)()
        for run_id in runs:
            check(front, run_id)
