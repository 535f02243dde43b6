"""Sweeps of the registry: what they record, and what they do not believe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from orchestration.adapters.registry_feed import Glance
from orchestration.adapters.registry_log import LastSweep, RegistryLog, RowsToSweep
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.fold import fold
from orchestration.core.registry.pulse import Pulse
from orchestration.engine.sweeping import RegistrySweeper
from tests.support.registry import RegistrySide, registry_side
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def side(database_url: str, redis_url: str) -> Iterator[RegistrySide]:
    with registry_side(database_url, redis_url) as side:
        yield side


def sweeps(side: RegistrySide) -> list[str]:
    with side.sql() as other:
        rows = other.exec_driver_sql(
            "SELECT e.type FROM es.events e JOIN es.streams s USING (stream_id) "
            "WHERE s.name = 'registry-sweeps' ORDER BY e.version"
        )
        return [row[0] for row in rows]


def test_each_sweep_leaves_one_digest(side: RegistrySide) -> None:
    side.register("agent-a")
    side.sweep()
    side.beat("agent-a", error_rate=0.9)
    side.sweep()
    assert sweeps(side) == ["HEALTH_SWEPT", "HEALTH_SWEPT"]
    assert side.types() == ["AGENT_REGISTERED", "AGENT_STATUS_CHANGED"]
    assert side.statuses() == {"agent-a": "DEGRADED"}


def test_a_sweep_over_nobody_leaves_nothing(side: RegistrySide) -> None:
    side.register("agent-a")
    side.deregister("agent-a")
    swept = side.sweep()
    assert (swept.agents, swept.repaired) == (0, 0)
    assert sweeps(side) == []


def test_two_sweeps_at_once_record_each_change_once(side: RegistrySide) -> None:
    for nth in range(20):
        side.register(f"agent-{nth}")
        side.beat(f"agent-{nth}", error_rate=0.9)
    together = Barrier(4)

    def sweep(_: int) -> int:
        together.wait()
        swept = side.sweeper.sweep(Because())
        return 0 if swept is None else swept.changed

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(sweep, range(4))) == 20
    assert all(len(side.types(f"agent-{nth}")) == 2 for nth in range(20))


def test_whoever_changes_meanwhile_is_left_to_the_next_sweep(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        side.register(f"agent-{name}")
        side.beat(f"agent-{name}", error_rate=0.9)
    rows = side.log.rows_to_sweep()
    side.register("agent-b", version="1.0.1")
    with side.db.begin() as other, monkeypatch.context() as patch:
        other.exec_driver_sql(
            "SELECT FROM orch.agent WHERE agent_id = 'agent-a' FOR UPDATE"
        )
        # As if one was updated after the sweep had looked; another is locked.
        patch.setattr(RegistryLog, "rows_to_sweep", lambda _: rows)
        assert side.sweep().changed == 1
    assert side.sweep().changed == 2
    assert side.log.states() == fold(side.log.history())


def test_silence_of_very_many_at_once_is_held_for_a_while(
    database_url: str, redis_url: str
) -> None:
    lines = {"protect_least": 3, "protect_share": 0.5, "protect_hold_s": 0.6}
    with registry_side(database_url, redis_url, **lines) as side:
        for nth in range(6):
            side.register(f"agent-{nth}")
        side.beat(*(f"agent-{nth}" for nth in range(6)))
        side.age(125)  # four intervals and a bit, of all of them
        held = side.sweep()
        assert held.held == 6
        assert set(side.statuses().values()) == {"DEGRADED"}
        assert "PROTECTION_STARTED" in sweeps(side)
        side.age(125)
        wait_until(lambda: side.sweep() and not side.log.states(), "it has an end")
        assert "PROTECTION_ENDED" in sweeps(side)


def test_held_agents_that_are_heard_of_again_are_active(
    database_url: str, redis_url: str
) -> None:
    lines = {"protect_least": 3, "protect_share": 0.5, "protect_hold_s": 60.0}
    with registry_side(database_url, redis_url, **lines) as side:
        names = [f"agent-{nth}" for nth in range(6)]
        for name in names:
            side.register(name)
        side.age(125)
        assert side.sweep().held == 6
        side.beat(*names)
        side.sweep()
        assert set(side.statuses().values()) == {"ACTIVE"}
        assert sweeps(side)[-2:] == ["PROTECTION_ENDED", "HEALTH_SWEPT"]


@pytest.mark.parametrize("ahead_s", [-3_600, 3_600])
def test_a_host_with_a_wrong_clock_changes_nothing(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + ahead_s)
    replica = side.replica()
    side.register("agent-a")
    side.beat("agent-a", cpu_usage=0.1)
    assert side.sweep().changed == 0
    wait_until(lambda: replica.last_beat("agent-a"), "it is heard of")
    agent = replica.columns.get("agent-a")
    assert agent is not None
    assert abs(agent.last_heartbeat.timestamp() - real()) < 60


@pytest.mark.parametrize("ahead_ms", [-600_000, 600_000])
def test_a_redis_whose_clock_is_not_that_of_postgres_changes_nothing(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch, ahead_ms: int
) -> None:
    look = side.hot.look_at

    def look_at(agent_ids: Sequence[str]) -> Glance | None:
        """Return heartbeats as if Redis' clock had stamped them."""
        glance = look(agent_ids)
        assert glance is not None
        now_ms = glance.now_ms + ahead_ms
        stamp = now_ms.to_bytes(8, "little")
        blobs = [blob and stamp + blob[8:] for blob in glance.blobs]
        since_ms = glance.heard_since_ms + ahead_ms
        return replace(glance, now_ms=now_ms, heard_since_ms=since_ms, blobs=blobs)

    monkeypatch.setattr(side.hot, "look_at", look_at)
    side.register("agent-a")
    side.register("agent-b")
    side.beat("agent-a", error_rate=0.9)
    assert side.sweep().changed == 1
    assert side.statuses() == {"agent-a": "DEGRADED", "agent-b": "ACTIVE"}


def test_heartbeats_that_are_wiped_while_a_sweep_looks_are_no_silence(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.register("agent-a")
    side.beat("agent-a")
    side.age(200)
    rows = side.log.rows_to_sweep()
    monkeypatch.setattr(RegistryLog, "rows_to_sweep", lambda _: side.wipe() or rows)
    assert side.sweeper.sweep(Because()) is None
    assert side.types() == ["AGENT_REGISTERED"]


def test_time_in_which_redis_was_down_is_no_silence(side: RegistrySide) -> None:
    side.register("agent-a")
    side.age(200)
    # As a restart leaves it: the same keys, in another process.
    side.redis.hset(side.hot._epochs.key(side.hot.epoch, "meta"), "run_id", "before")
    assert side.sweep().changed == 0
    side.age(200)
    assert side.sweep().changed == 1
    assert not side.log.states(), "it is silent still"


def test_time_in_which_nobody_swept_is_no_silence(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.register("agent-a")
    last = LastSweep(ago=timedelta(minutes=10))
    side.age(200)
    with monkeypatch.context() as patch:
        patch.setattr(RegistryLog, "last_sweep", lambda _: last)
        assert side.sweep().changed == 0
    # Nor for the next sweep, which follows soon.
    assert side.sweep().changed == 0
    side.age(200)
    assert side.sweep().changed == 1
    assert not side.log.states(), "it is silent still"


def test_what_a_sweep_went_by_can_be_proved_later(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.register("agent-a")
    side.beat("agent-a", cpu_usage=0.25)
    look, seen = RegistrySweeper._pulse, []

    def looked(sweeper: RegistrySweeper, rows: RowsToSweep, glance: Glance) -> Pulse:
        seen.append(look(sweeper, rows, glance))
        return seen[0]

    monkeypatch.setattr(RegistrySweeper, "_pulse", looked)
    side.sweep()
    with side.sql() as other:
        (data,) = other.exec_driver_sql(
            "SELECT convert_from(e.data, 'UTF8')::json FROM es.events e "
            "WHERE e.type = 'HEALTH_SWEPT'"
        ).one()
    assert data["digest"] == seen[0].digest(["agent-a"])
    assert data["epoch"] == side.hot.epoch
