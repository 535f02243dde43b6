"""Workers that start at once, lose their announcement, or have other clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.celery_bus import make_producer
from orchestration.agents import Agent
from orchestration.contracts import CHORES_QUEUE, SAGA_SWEEP
from orchestration.saga import SagaState
from tasks.config import worker_config
from tests.support.front import Effects, front_door, linear
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

EFFECTS = ("-I", "tests.support.effects_agents", "-c", "1")
EXAMPLES = ("-I", "tests.support.example_agents", "-c", "1")


@pytest.fixture
def effects(stack: Stack, tmp_path: Path) -> Effects:
    found = Effects(tmp_path / "effects")
    stack.env["EFFECTS_FILE"] = str(found.path)
    return found


def count(stack: Stack, query: str) -> int:
    engine = create_engine(stack.env["DATABASE_URL"])
    with engine.begin() as connection:
        result = connection.exec_driver_sql(query)
        found = int(result.scalar_one()) if result.returns_rows else 0
    engine.dispose()
    return found


def test_of_two_workers_of_one_pool_that_start_at_once_with_other_agents_one_stops(
    stack: Stack, effects: Effects
) -> None:
    both = [
        stack.worker(*EFFECTS, wait=False),
        stack.worker(*EXAMPLES, wait=False),
    ]
    wait_until(lambda: any(one.poll() is not None for one in both), "one stops")
    [stopped, *_] = [one for one in both if one.poll() is not None]
    assert stopped.poll() == 78
    assert "pool 'default' is served by" in stopped.log


def test_a_worker_says_again_what_was_forgotten_of_it(
    stack: Stack, effects: Effects
) -> None:
    # Often: elsewhere a worker that stands still for seconds is not taken for gone.
    stack.env["ORCHESTRATION_ANNOUNCE_INTERVAL_S"] = "0.5"
    stack.worker(*EFFECTS)
    count(stack, "DELETE FROM orch.announcement")
    wait_until(
        lambda: count(stack, "SELECT count(*) FROM orch.announcement"), "said again"
    )
    with front_door(stack.env) as front:
        assert front.run(linear(1)).state is SagaState.COMPLETED


def test_a_beat_whose_clock_is_slow_keeps_recovery_going(
    stack: Stack, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.chores()
    for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
        monkeypatch.setenv(name, stack.env[name])
    options = worker_config()["beat_schedule"]["sweep sagas"]["options"]
    its_clock = datetime.now(UTC) - timedelta(minutes=1)
    with front_door(stack.env) as front:
        producer = make_producer(front.bus.settings)
        producer.send_task(
            SAGA_SWEEP,
            queue=CHORES_QUEUE,
            expires=its_clock + timedelta(seconds=options["expires"]),
        )
        producer.close()
    wait_until(lambda: count(stack, "SELECT count(*) FROM orch.tick"), "it swept")


def test_what_long_gone_workers_said_is_struck_once_another_says_it(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent("agent-announced-by-many")
    with worker_side(database_url, redis_url, monkeypatch) as side:
        said = Announcements(side.rt.db)
        for pod in range(3):
            said.announce(f"worker@pod-{pod}", [agent], also=[("queue", f"q{pod}")])
        age(side)
        said.announce("worker@pod-new", [agent])
        left = {(row.worker, row.kind) for row in said.listed()}
        assert {("worker@pod-new", "agent"), ("worker@pod-0", "queue")} <= left
        assert ("worker@pod-0", "agent") not in left


def age(side: WorkerSide) -> None:
    side.run("UPDATE orch.announcement SET last_seen = now() - interval '2 days'")
