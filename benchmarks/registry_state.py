"""How fast agents are registered, heard of, judged, and seen by other processes.

One process does it all, on Postgres and Valkey of this machine; replicas follow the
feed in threads of their own. Each figure is beside the level that we hold ourselves to.

    python -m benchmarks registry_state
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks._bench import Bench, Row, fresh_database
from orchestration.adapters.database import Database
from orchestration.adapters.registry_feed import FeedChange, Kind
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_rebuild import rebuild
from orchestration.adapters.registry_replica import Replica
from orchestration.adapters.saga_records import Because
from orchestration.adapters.schema import migrate_all
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.engine.registering import (
    RegistryDesk,
    checked_heartbeats,
    health_rules,
)
from orchestration.engine.sweeping import RegistrySweeper
from orchestration.metrics import RegistryMetrics
from orchestration.settings import Settings

AGENTS, QUICK_AGENTS = 10_000, 1_000
CHANGES_PER_S = 2_000
METRICS = {
    "cpu_usage": 0.45,
    "memory_usage": 0.62,
    "error_rate": 0.01,
    "response_time_ms": 234.0,
    "queue_size": 12,
}


def run(bench: Bench) -> list[Row]:
    """Measure everything, on a database of its own."""
    size = QUICK_AGENTS if bench.quick else AGENTS
    with _desk(bench) as (desk, settings):
        rows = list(_registering(desk, size))
        ids = [f"agent-{nth}" for nth in range(size)]
        rows += [_heartbeats(desk, ids, per_call) for per_call in (1, 100, 1_000)]
        name = f"hot state, {size:,} agents built from Postgres"
        rows.append(_row(name, _ms(lambda: rebuild(desk.log, desk.hot)), 2_000, "ms"))
        rules = health_rules(settings)
        sweeper = RegistrySweeper(desk, rules, RegistryMetrics(CollectorRegistry()))
        for metrics, what in ((METRICS, "none"), ({"error_rate": 0.9}, "all")):
            for at in range(0, size, 1_000):
                desk.beat([(one, metrics) for one in ids[at : at + 1_000]])
            sweeper_ms = _ms(lambda: sweeper.sweep(Because()))
            name = f"sweep of {size:,} agents, {what} of them changed"
            rows.append(_row(name, sweeper_ms, 5_000, "ms"))
        rows += _visibility(desk, ids, seconds=2 if bench.quick else 10)
    return [row for row in rows if bench.wants(row.name)]


def _row(name: str, ours: float, limit: float, unit: str) -> Row:
    return Row(name, round(ours, 3), limit, round(ours / limit, 3), unit)


@contextmanager
def _desk(bench: Bench) -> Iterator[tuple[RegistryDesk, Settings]]:
    with fresh_database(bench.database_url) as database_url:
        migrate_all(database_url)
        settings = Settings(
            database_url=database_url.replace("+psycopg2", ""),
            redis_url=bench.redis_url,
            broker_url=bench.redis_url,
            key_prefix=f"{uuid4().hex}_",
            max_agents=10 * AGENTS,
        )
        db = Database(settings.database_url, name="benchmark")
        hot = HotState(settings.redis_url, settings.key_prefix)
        try:
            yield RegistryDesk(db, hot, settings), settings
        finally:
            hot.close()
            db.close()


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


def _registering(desk: RegistryDesk, size: int) -> Iterator[Row]:
    """Register all, one after the other at first, then four at a time."""

    def register(nth: int) -> float:
        said = AgentDescriptor(
            agent_id=f"agent-{nth}",
            agent_type="Calculator",
            version="1.0.0",
            capabilities=[f"capability-{nth % 50}", f"capability-{nth % 7}"],
            tags=["production"],
            metadata={"max_concurrent_requests": 100},
        )
        return _ms(lambda: desk.register(said, Because(), location="eu"))

    first = min(1_000, size // 2)
    took_ms = [register(nth) for nth in range(first)]
    for part in (50, 99):
        length_ms = float(np.percentile(took_ms, part))
        yield _row(f"registration, p{part}", length_ms, 10, "ms")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(register, range(first, size)))


def _heartbeats(desk: RegistryDesk, ids: list[str], per_call: int) -> Row:
    """Take in heartbeats as the task does, for two seconds."""
    calls = [
        [{"agent_id": one, "metrics": METRICS} for one in ids[at : at + per_call]]
        for at in range(0, len(ids), per_call)
    ]
    number, taken, until = 0, 0, time.perf_counter() + 2
    began = time.perf_counter()
    while time.perf_counter() < until:
        number += 1
        good, _ = checked_heartbeats(calls[number % len(calls)])
        desk.beat(good, sender="bench", number=number)
        taken += len(good)
    per_s = taken / (time.perf_counter() - began)
    least = 50_000 if per_call >= 100 else 1_000
    return _row(f"heartbeats taken, {per_call:,} in a message", per_s, least, "1/s")


def _visibility(desk: RegistryDesk, ids: list[str], seconds: float) -> Iterator[Row]:
    """Change statuses at a steady pace, and look when two replicas have them."""
    replicas = [Replica(desk.log, desk.hot) for _ in range(2)]
    told: dict[tuple[str, int], float] = {}
    lags_ms: list[float] = []
    versions = {one: state.version for one, state in desk.log.states().items()}
    shown = []
    for replica in replicas:
        replica.start()
        shown.append(_listen(replica, told, lags_ms))
    batch, pause_s = 100, 100 / CHANGES_PER_S
    due = time.perf_counter()
    for nth in range(round(seconds / pause_s)):
        some = [ids[(nth * batch + at) % len(ids)] for at in range(batch)]
        changes = []
        for one in some:
            versions[one] += 1
            changes.append(
                FeedChange(
                    kind=Kind.STATUS,
                    agent_id=one,
                    version=versions[one],
                    status=[AgentStatus.ACTIVE, AgentStatus.DEGRADED][
                        versions[one] % 2
                    ],
                )
            )
        now = time.perf_counter()
        told.update({(one, versions[one]): now for one in some})
        desk.hot.change(changes)
        due += pause_s
        time.sleep(max(0.0, due - time.perf_counter()))
    time.sleep(0.5)
    for replica in replicas:
        replica.close()
    for seen in shown:  # what a replica never showed took for ever
        missed = sum(version > seen[agent_id] for agent_id, version in told)
        lags_ms += [float("inf")] * missed
    for part in (50, 99):
        name = f"status seen by 2 replicas, {CHANGES_PER_S:,} changes/s, p{part}"
        yield _row(name, float(np.percentile(lags_ms, part)), 250, "ms")


def _listen(
    replica: Replica, told: dict[tuple[str, int], float], lags_ms: list[float]
) -> dict[str, int]:
    """Note of each version how long ago it was told, once that or a newer one shows.

    Returns the versions that the replica shows, which are kept up.
    """
    seen = replica.columns.versions()
    lock = threading.Lock()

    def look() -> None:
        now = time.perf_counter()
        with lock:
            for agent_id, version in replica.columns.versions().items():
                newer = range(seen.get(agent_id, 0) + 1, version + 1)
                at = [told[agent_id, one] for one in newer if (agent_id, one) in told]
                lags_ms.extend([(now - when) * 1_000 for when in at])
                seen[agent_id] = version

    replica.listen(look)
    return seen
