"""How fast the registry answers within a process, and what a replica of it weighs.

No server is needed: agents and queries are drawn from a seed, two out of three queries
by one capability or more, some by all that can be asked. Answers hold whole
descriptors, ten at most. Each figure is beside the level that we hold ourselves to.

    python -m benchmarks.registry
"""

import argparse
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np

from benchmarks._bench import Bench, Row
from orchestration.core.registry.cache import QueryCache
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import discover
from orchestration.core.registry.model import AgentDescriptor, RegisteredAgent
from orchestration.core.registry.query import Query
from tests.support.random_agents import BEGIN, random_agents, random_queries

SIZES = {10_000: 0.5, 100_000: 2.0}  # agents, and the limit of p99, milliseconds
QUERIES = 1_000
ROUNDS = 5
LIMIT_KB = 5.0
BATCH = 10_000
LIMIT_BATCH_MS = 5.0
LIMIT_PUT_US = 100.0


def run(bench: Bench) -> list[Row]:
    """Measure everything; the servers of ``bench`` are not used."""
    rows: list[Row] = []
    sizes = list(SIZES)[:1] if bench.quick else list(SIZES)
    for size in sizes:
        if bench.wants(f"discovery, {size:,} agents"):
            rows += _discovery(size, ROUNDS if not bench.quick else 1)
    if bench.wants("replica, memory per agent"):
        rows.append(_memory(BATCH))
    if bench.wants(name := f"replica, {BATCH:,} heartbeats in one batch"):
        rows.append(_row(name, _heartbeats_ms(sizes[-1]), LIMIT_BATCH_MS, "ms"))
    if bench.wants(name := f"replica, one agent put among {BATCH:,}"):
        rows.append(_row(name, _put_us(BATCH), LIMIT_PUT_US, "us"))
    return rows


def _row(name: str, ours: float, peer: float, unit: str) -> Row:
    return Row(name, round(ours, 3), peer, round(ours / peer, 3), unit)


def _discovery(size: int, rounds: int) -> Iterator[Row]:
    """Ask a thousand queries some times over, without and with the cache."""
    columns, limit_ms = _replica(size), SIZES[size]
    cache = QueryCache(columns)
    ways: dict[str, Callable[[Query], object]] = {
        "": lambda query: discover(columns, query),
        ", asked again": lambda query: cache.discover(query, now_s=0),
    }
    queries = [replace(one, max_results=10) for one in random_queries(2, QUERIES)]
    for way, ask in ways.items():
        for query in queries:
            ask(query)  # constraints are compiled, and what is kept is there
        lengths_ms = [_length_ms(ask, query) for query in queries * rounds]
        for part in (50, 99):
            name = f"discovery, {size:,} agents, p{part}{way}"
            length_ms = float(np.percentile(lengths_ms, part))
            yield _row(name, length_ms, limit_ms, "ms")


def _length_ms(ask: Callable[[Query], object], query: Query) -> float:
    begin = time.perf_counter()
    ask(query)
    return 1_000 * (time.perf_counter() - begin)


def _memory(size: int) -> Row:
    """Weigh a replica with its descriptors, which came as JSON, as from servers."""
    texts = [json.dumps(agent.descriptor.to_json()) for agent in random_agents(1, size)]
    gc.collect()
    tracemalloc.start()
    columns = Columns()
    for text in texts:
        columns.put(_registered(AgentDescriptor.from_json(json.loads(text))))
    for query in random_queries(2, QUERIES):
        discover(columns, query)  # so that agents have been handed out
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return _row("replica, memory per agent", used / size / 1_024, LIMIT_KB, "KB")


def _registered(descriptor: AgentDescriptor) -> RegisteredAgent:
    [drawn] = random_agents(1, 1)
    return replace(drawn, descriptor=descriptor)


def _heartbeats_ms(size: int) -> float:
    """Return the median time to take in one batch, each of another agent."""
    columns = _replica(size)
    agent_ids = list(columns.versions())[:BATCH]
    rng, sent_s = np.random.default_rng(1), BEGIN.timestamp() + 10**7
    lengths_ms = []
    for number in range(4 * ROUNDS):
        health, load = rng.random(BATCH), rng.random(BATCH)
        sent = np.full(BATCH, sent_s + number)
        begin = time.perf_counter()
        columns.beats(agent_ids, health, load, sent)
        lengths_ms.append(1_000 * (time.perf_counter() - begin))
    return float(np.median(lengths_ms))


def _put_us(size: int) -> float:
    agents: Sequence[RegisteredAgent] = list(random_agents(1, size))
    columns = Columns()
    begin = time.perf_counter()
    for agent in agents:
        columns.put(agent)
    return 1e6 * (time.perf_counter() - begin) / size


def _replica(size: int) -> Columns:
    columns = Columns()
    for agent in random_agents(1, size):
        columns.put(agent)
    return columns


def main() -> None:
    """Measure and print a line for each figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    parser.add_argument("--only", default="", metavar="WORD", help="rows that have it")
    given = parser.parse_args()
    bench = Bench(database_url="", quick=given.quick, only=given.only)
    for row in run(bench):
        line = "{name:<60}{ours:>9.3f}{peer:>9.1f}  x{ratio:<7}{unit}\n"
        sys.stdout.write(line.format(**asdict(row)))


if __name__ == "__main__":
    main()
