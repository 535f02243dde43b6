"""What the router's resilience is worth, and what it costs per decision.

The worth comes from simulations on a clock that only counts (``tests/support``), so
that it is the same on every machine; the costs are of this one. No servers are needed.

    python benchmarks/resilience.py
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from statistics import fmean

from benchmarks._bench import Bench, Row
from orchestration.core.routing.affinity import Affinity
from orchestration.core.routing.budget import SendBudget
from orchestration.core.routing.ejection import OutlierEjection
from orchestration.core.routing.hedging import HedgeSettings
from orchestration.core.routing.predict import Predictor, kind_of
from orchestration.core.routing.rates import Rate, RateLimits
from orchestration.core.routing.shaping import Shaper
from orchestration.core.routing.slow_start import contenders
from orchestration.core.routing.split import Split
from tests.support.hedged import one_slow_agent
from tests.support.hetero import WORK, Seen, heterogeneous

SEEDS = range(5)
LEVEL_PER_S = 200_000
"""A decision is to take 5 us at most; no feature may take as long as all of it."""

ANEW_PER_S = 20_000
"""What is asked only once after each change may take ten decisions' time."""


def run(bench: Bench) -> list[Row]:
    """Run every simulation, and time every call that stands in the way of a message."""
    rows: list[Row] = []
    seeds = SEEDS[:1] if bench.quick else SEEDS
    for measure in (_predictive, _hedging, _dead_agent, _outage, _costs):
        rows += measure(seeds)
    return [row for row in rows if bench.wants(row.name)]


def _row(name: str, ours: float, peer: float, unit: str) -> Row:
    return Row(name, round(ours, 2), round(peer, 2), round(ours / peer, 3), unit)


def _predictive(seeds: range) -> list[Row]:
    rows = []
    for snapshot_s, shown in ((1.0, "1 s"), (0.1, "100 ms")):
        ours, peer = (
            [
                heterogeneous(predictive=predictive, seed=seed, snapshot_s=snapshot_s)
                for seed in seeds
            ]
            for predictive in (True, False)
        )
        name = f"PREDICTIVE against LEAST_LOADED, loads {shown} old"
        for figure in ("mean_s", "p99_s"):
            mine, theirs = (
                1_000 * fmean(getattr(outcome, figure) for outcome in side)
                for side in (ours, peer)
            )
            rows.append(
                _row(f"{name}, {figure.removesuffix('_s')}", mine, theirs, "ms")
            )
    return rows


def _hedging(seeds: range) -> list[Row]:
    rows = []
    wider = HedgeSettings(share=0.12, percentile=0.88)
    for agents, settings in ((40, None), (20, None), (10, None), (10, wider)):
        share = (settings or HedgeSettings()).share
        ours, peer = (
            [
                one_slow_agent(
                    hedged=hedged, seed=seed, agents=agents, settings=settings
                )
                for seed in seeds
            ]
            for hedged in (True, False)
        )
        p99_ms, plain_ms = (
            1_000 * fmean(one.p99_s for one in side) for side in (ours, peer)
        )
        more = 100 * max(one.more_share for one in ours)
        where = f"hedged, one slow agent of {agents}, budget {share:.0%}"
        rows += [
            _row(f"{where}, p99, and unhedged", p99_ms, plain_ms, "ms"),
            _row(f"{where}, calls sent twice", more, 100 * share, "%"),
        ]
    return rows


def _dead_agent(seeds: range) -> list[Row]:
    """One of ten dies, and stands in the registry for 300 s: 100 calls/s at random."""
    failed = [_failures(seed, ejecting=True) for seed in seeds]
    plain = [_failures(seed, ejecting=False) for seed in seeds]
    name = "failed calls until a dead agent is dropped, ejected and not"
    return [_row(name, fmean(failed), fmean(plain), "calls")]


def _failures(seed: int, *, ejecting: bool) -> int:
    names = tuple(f"agent-{n}" for n in range(10))
    ejection, rng, failed = OutlierEjection(), Random(seed), 0
    for call in range(30_000):
        now_s = call / 100
        targets = ejection.admit(names, now_s=now_s).targets if ejecting else names
        target = targets[int(rng.random() * len(targets))]
        ok = target != "agent-4"
        failed += not ok
        ejection.began(target, now_s=now_s)
        ejection.note(target, ok=ok, sent_s=now_s, now_s=now_s)
    return failed


def _outage(_seeds: range) -> list[Row]:
    """Everything fails, and every call would be tried three times more."""
    budget, retries, calls = SendBudget(), 0, 30_000
    for call in range(calls):
        budget.sent(now_s=call / 100)
        retries += sum(budget.take(now_s=call / 100) for _ in range(3))
    name = "retries in an outage of all, with the budget and without"
    return [_row(name, 100 * retries / calls, 300, "% of calls")]


def _costs(_seeds: range) -> list[Row]:
    names = tuple(f"agent-{n}" for n in range(100))
    calm, shaper = OutlierEjection(), Shaper()
    for _ in range(5):
        shaper.answered("agent-7", ok=False, sent=0.0, now=0.0)
    weights = {"agent-3": 0.1}
    predictor, four = Predictor(), [Seen(name, 1.0) for name in names[:4]]
    for name in names:
        predictor.learned(name, kind_of(WORK), latency_s=0.1, load=0, now_s=0.0)
    limits = RateLimits(Rate(calls_per_s=1e6))
    affinity = Affinity()
    affinity.hold("session", "agent-1", 0.0)
    split = Split(name="trial", weights={"a": 1, "b": 1})
    clock, draw = iter(range(10**9)), Random(1).random
    works: dict[str, Callable[[], object]] = {
        "shaping: what an unchanged decision asks": lambda: (
            shaper.version,
            shaper.weights(1.0),
        ),
        "shaping: admit 100 anew, one ejected": lambda: shaper.admit(names, 1.0),
        "ejection: note a success": lambda: calm.note(
            "agent-1", ok=True, sent_s=1.0, now_s=1.0
        ),
        "slow start: four of whom one is new": lambda: contenders(
            names[:4], weights, draw
        ),
        "rate limit: take": lambda: limits.take("agent-1", now_s=next(clock) / 1e3),
        "predict: costs of four": lambda: [
            predictor.cost(one, WORK, 1.0) for one in four
        ],
        "affinity: held": lambda: affinity.held("session", 1.0),
        "split: variant of a key": lambda: split.variant("customer-17"),
    }
    return [
        _row(
            name,
            round(_per_s(work)),
            ANEW_PER_S if "anew" in name else LEVEL_PER_S,
            "calls/s",
        )
        for name, work in works.items()
    ]


def _per_s(work: Callable[[], object], rounds: int = 5, calls: int = 20_000) -> float:
    """Return calls per second in the best of some rounds."""
    best_s = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        best_s = min(best_s, time.perf_counter() - begin)
    return calls / best_s


def main() -> None:
    """Print the figures."""
    for row in run(Bench(database_url="")):
        print(
            "{name:<64}{ours:>12,.2f}{peer:>12,.2f}  x{ratio:<8}{unit}".format(
                **asdict(row)
            )
        )


if __name__ == "__main__":
    main()
