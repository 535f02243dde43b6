"""What the registry's decisions cost for 10,000 agents, without any server.

The peer of a figure is the same work agent by agent in Python where there is such, and
else the level that we hold ourselves to. Medians of the rounds.

    python -m benchmarks.registry_core
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import Final

import numpy as np

from benchmarks._bench import Bench, Row
from orchestration.core.registry.checks import descriptor_faults, metric_faults
from orchestration.core.registry.events import (
    NewFact,
    Reason,
    RegistryEvent,
    registered,
    status_changed,
)
from orchestration.core.registry.fold import fold
from orchestration.core.registry.health import health_score, health_scores
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.core.registry.packed import pack, pack_batch, unpack, unpack_many
from orchestration.core.registry.pulse import pulse_of
from orchestration.core.registry.sla import SlaState, judge, limits_of
from orchestration.core.registry.sweep import sweep
from orchestration.core.registry.swept import swept_facts
from orchestration.core.registry.token import Grant, sign_token, verify_token

AGENTS: Final = 10_000
NOW_MS: Final = 1_772_323_200_000
ROUNDS: Final = 51
SECRET: Final = bytes(range(32))


def run(bench: Bench) -> list[Row]:
    """Measure what was asked for."""
    rounds = 5 if bench.quick else ROUNDS
    rows = []
    for name, ours, peer in _subjects():
        if bench.wants(name):
            figure = _ms(ours, rounds)
            beside = peer if isinstance(peer, float) else _ms(peer, max(3, rounds // 8))
            ratio = round(figure / beside, 3)
            rows.append(Row(name, round(figure, 3), round(beside, 3), ratio, "ms"))
    return rows


_Work = Callable[[], object]
_Subject = tuple[str, _Work, _Work | float]
"""A name, our work, and the peer's or its level in milliseconds."""


def _subjects() -> Iterator[_Subject]:
    metrics = _metrics()
    yield from _heartbeats(metrics)
    yield from _sweeps(metrics)
    yield from _words()


def _heartbeats(metrics: list[dict[str, float]]) -> Iterator[_Subject]:
    blobs = _blobs(metrics)
    yield (
        "unpacking 10,000 heartbeats, against one by one",
        lambda: unpack_many(blobs),
        lambda: [unpack(blob) for blob in blobs],
    )
    batch = metrics[:1_000]
    yield "packing 1,000 heartbeats", lambda: pack_batch(NOW_MS, batch), 10.0
    yield (
        "checking 1,000 heartbeats",
        lambda: [metric_faults(told) for told in batch],
        10.0,
    )


def _sweeps(metrics: list[dict[str, float]]) -> Iterator[_Subject]:
    ids = [f"agent-{number:05}" for number in range(AGENTS)]
    zeros = np.zeros(AGENTS, dtype=np.int64)
    pulse = pulse_of(
        unpack_many(_blobs(metrics)),
        registered_ms=zeros,
        interval_ms=np.full(AGENTS, 30_000),
        violations=zeros,
        status=np.zeros(AGENTS, dtype=np.int8),
    )
    silence = pulse.silence_ms(NOW_MS)
    yield (
        "health of 10,000, against one by one",
        lambda: health_scores(pulse, silence),
        lambda: [_health(told) for told in metrics],
    )
    yield "sweep of 10,000", lambda: sweep(pulse, NOW_MS), 8.0
    limits = limits_of([{"max_latency_ms": 5_000, "availability": 0.1}] * AGENTS)
    state = SlaState.restored([{}] * AGENTS, NOW_MS - 30_000)
    yield (
        "judging the promises of 10,000",
        lambda: judge(limits, state, pulse, NOW_MS),
        8.0,
    )
    first = sweep(pulse, NOW_MS)
    calm = replace(pulse, status=first.status)
    again = sweep(calm, NOW_MS, protection=first.protection)
    yield (
        "facts of a sweep of 10,000 without a transition",
        lambda: swept_facts(ids, calm, again, before=first.protection),
        8.0,
    )
    events = _events(ids)
    yield "fold of 40,000 events", lambda: fold(events), 300.0


def _words() -> Iterator[_Subject]:
    agent = _descriptor("agent-00000")
    yield "checking a descriptor", lambda: descriptor_faults(agent), 1.0
    grant = Grant(pattern="agent-*", owner="team-a", expires_at_ms=NOW_MS + 1)
    token = sign_token(SECRET, grant)
    yield (
        "verifying a token",
        lambda: verify_token(token, [SECRET], agent_id=agent.agent_id, now_ms=NOW_MS),
        1.0,
    )


def _health(told: Mapping[str, float]) -> float:
    return health_score(
        silence_ms=30_000,
        interval_ms=30_000,
        cpu_usage=told["cpu_usage"],
        error_rate=told["error_rate"],
        response_time_ms=told["response_time_ms"],
    )


def _blobs(metrics: Sequence[Mapping[str, float]]) -> list[bytes]:
    """Return the heartbeats of the last 100 seconds."""
    heard = NOW_MS - np.random.default_rng(1).integers(0, 100_000, AGENTS)
    return [
        pack(int(heard_ms), told) for heard_ms, told in zip(heard, metrics, strict=True)
    ]


def _metrics() -> list[dict[str, float]]:
    random = np.random.default_rng(2)
    columns = zip(
        random.random(AGENTS).tolist(),
        random.random(AGENTS).tolist(),
        (random.random(AGENTS) / 10).tolist(),
        (random.random(AGENTS) * 4_000).tolist(),
        random.integers(0, 100, AGENTS).tolist(),
        strict=True,
    )
    return [
        {
            "cpu_usage": cpu,
            "memory_usage": memory,
            "error_rate": errors,
            "response_time_ms": response_ms,
            "queue_size": queue,
        }
        for cpu, memory, errors, response_ms, queue in columns
    ]


def _descriptor(agent_id: str) -> AgentDescriptor:
    return AgentDescriptor(
        agent_id=agent_id,
        agent_type="Calculator",
        version="1.0.0",
        capabilities=["carbon_calculation", "ghg_protocol", "parse@1.2.0"],
        service_types=["COMPUTATION"],
        endpoint="tcp://10.0.1.50:5000",
        tags=["production", "us-east-1"],
        sla={"max_latency_ms": 500, "availability": 0.999},
        metadata={"max_concurrent_requests": 100},
    )


def _events(ids: list[str]) -> list[RegistryEvent]:
    """Return a registration and three changes of status of each agent."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    turns = [AgentStatus.ACTIVE, AgentStatus.DEGRADED] * 2

    def changed(agent_id: str, turn: int) -> NewFact:
        return status_changed(
            agent_id,
            turns[turn - 1],
            turns[turn],
            health_score=0.5,
            last_heartbeat_ms=NOW_MS,
            reason=Reason.HEALTH,
        )

    events = []
    for agent_id in ids:
        facts = [registered(_descriptor(agent_id))]
        facts += [changed(agent_id, turn) for turn in range(1, len(turns))]
        events += [
            RegistryEvent(version, fact.type, fact.data, at)
            for version, fact in enumerate(facts, start=1)
        ]
    return events


def _ms(work: _Work, rounds: int) -> float:
    """Return the median of the rounds, milliseconds, after one to warm up."""
    work()
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1_000)
    return median(taken)


def main() -> None:
    """Print the figures."""
    for row in run(Bench(database_url="")):
        print(
            f"{row.name:<52}{row.ours:>9.3f}{row.peer:>9.3f}  x{row.ratio:<7}{row.unit}"
        )


if __name__ == "__main__":
    main()
