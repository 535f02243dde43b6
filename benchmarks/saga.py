"""How fast sagas are, beside a bare Celery chain and what else runs such work.

Five steps that do nothing, prefork with two processes, Postgres with fsync on, the
product as shipped: worker, chores worker and beat. Machines differ, so the ratios
count: all sides of a row are measured in turns, in short rounds, and the median of
each side is taken, so that other work on the machine disturbs all alike. The processes
of a side whose turn it is not are held still. Every side is started by the same number
of producers at a time, and timed from the first start to the last end. Where the peer
is a limit, the ratio says how much of it is used.
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Final

from benchmarks._bench import Bench, Row, fresh_database
from benchmarks._sides.chain import bare_chain
from benchmarks._sides.ours import branches, five, migrate, opened, ours
from benchmarks._sides.side import missing
from benchmarks._sides.stored import store_ended
from benchmarks._sides.turns import WARM_UP, in_turns

__all__ = ["run"]

LIMIT_P50_MS, LIMIT_P99_MS = 20.0, 50.0
LIMIT_BRANCHES_S = 4.3
FEW = 1_000

OURS, CHAIN = "ours", "a bare Celery chain"
PEERS: Final = {
    "celery-saga 0.1.1": ("benchmarks._sides.saga_peer", "celery_saga"),
    "dbos 3.4.0": ("benchmarks._sides.dbos_peer", "dbos"),
}


def run(bench: Bench) -> list[Row]:
    """Measure everything that is wanted, in databases that are dropped afterwards."""
    with ExitStack() as databases:
        url = databases.enter_context(fresh_database(bench.database_url))
        migrate(url)
        return [
            *_five_steps(bench, url),
            *_with_events(bench, url),
            *_alone(bench, url),
            *_branches(bench, url),
            *_stored(bench, url, databases),
        ]


def _five_steps(bench: Bench, url: str) -> list[Row]:
    """Many at a time, all sides in one run."""
    name = "five no-op steps, against {}"
    peers = [bare_chain(CHAIN)] if bench.wants(name.format(CHAIN)) else []
    for peer, (module, function) in PEERS.items():
        if not bench.wants(name.format(peer)):
            continue
        if why := missing(peer):
            print(f"left out: {name.format(peer)} ({why})")
            continue
        peers.append(getattr(importlib.import_module(module), function)(peer))
    if not peers:
        return []
    rates = in_turns(bench, [ours(OURS, url), *peers])
    return [
        _row(name.format(peer.name), rates[OURS], rates[peer.name], "sagas/s")
        for peer in peers
    ]


def _with_events(bench: Bench, url: str) -> list[Row]:
    """The same with Celery's task events, which Flower and others listen to."""
    name = "the same with task events (-E) on both sides"
    if not bench.wants(name):
        return []
    sides = [ours(OURS, url, events=True), bare_chain(CHAIN, events=True)]
    rates = in_turns(bench, sides)
    return [_row(name, rates[OURS], rates[CHAIN], "sagas/s")]


def _alone(bench: Bench, url: str) -> list[Row]:
    """One after the other, as a caller of ``execute`` feels it."""
    name = "one saga alone, {}, against the limit"
    if not bench.wants(name):
        return []
    count = 100 if bench.quick else 400
    with opened(bench, database_url=url) as runner:
        runner.lengths_s([five() for _ in range(WARM_UP)])
        lengths_s = sorted(runner.lengths_s([five() for _ in range(count)]))
    p50_ms, p99_ms = (1_000 * lengths_s[count * p // 100] for p in (50, 99))
    return [
        _row(name.format("p50"), p50_ms, LIMIT_P50_MS, "ms"),
        _row(name.format("p99"), p99_ms, LIMIT_P99_MS, "ms"),
    ]


def _branches(bench: Bench, url: str) -> list[Row]:
    """Whether each branch goes on by itself; the longest of the runs counts."""
    name = "branches of 1 s and 3 s, then 1 s each, against the limit"
    if not bench.wants(name):
        return []
    count = 1 if bench.quick else 3
    with opened(bench, database_url=url) as runner:
        sagas = [branches(1.0, 3.0, then_s=1.0) for _ in range(count)]
        longest_s = max(runner.lengths_s(sagas))
    return [_row(name, longest_s, LIMIT_BRANCHES_S, "s")]


def _stored(bench: Bench, url: str, databases: ExitStack) -> list[Row]:
    """Whether a saga costs more beside many that ended long ago."""
    many = 10 * FEW if bench.quick else 100 * FEW
    name = f"five no-op steps beside {many:,} stored sagas, against beside {FEW:,}"
    if not bench.wants(name):
        return []
    full = databases.enter_context(fresh_database(bench.database_url))
    migrate(full)
    for database_url, count in ((url, FEW), (full, many)):
        with opened(bench, database_url=database_url):
            pass  # leaves a saga to copy
        store_ended(database_url, count)
    rates = in_turns(bench, [ours("few", url), ours("many", full, number=6)])
    return [_row(name, rates["many"], rates["few"], "sagas/s")]


def _row(name: str, ours: float, peer: float, unit: str) -> Row:
    return Row(name, round(ours, 2), round(peer, 2), round(ours / peer, 2), unit)
