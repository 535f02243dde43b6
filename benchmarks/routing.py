"""How fast the router decides, and how well, each figure beside a peer's or its bar.

Speed is that of one process and one thread, the best of some rounds, with everything
on that a program has on: ten thousand agents that report loads, fifty rules, metrics in
Prometheus' client. How well it decides is simulated (``_herding``): how long messages
wait that are routed by loads which are old, and by loads which are fresh.

    python -m benchmarks routing
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from types import FunctionType, MethodType, ModuleType

from prometheus_client import CollectorRegistry

from benchmarks._bench import Bench, Row
from benchmarks._herding import Fleet, Outcome, Scene, mean_outcome
from benchmarks._routed import AGENTS, NOW, RULES, Program
from orchestration.core.conditions import compile_condition
from orchestration.core.messaging.model import Message
from orchestration.core.routing.candidate_set import Candidates
from orchestration.core.routing.loads import AgentLoad, Loads, Report
from orchestration.core.routing.model import RouteRule, RoutingStrategy
from orchestration.core.routing.ring import Ring
from orchestration.core.routing.router import Router
from orchestration.core.routing.rules import values_of
from orchestration.core.routing.table import RouteTable
from orchestration.message_bus import MessageBus
from orchestration.metrics import RoutingMetrics
from orchestration.routing import MessageRouter
from orchestration.settings import Settings


def run(bench: Bench) -> list[Row]:
    """Measure everything; no server is needed."""
    rounds = 2 if bench.quick else 5
    parts: tuple[tuple[str, Callable[[int], list[Row]]], ...] = (
        ("decisions", _decisions),
        ("rules", _rules),
        ("ring", _ring),
        ("cache", _cache),
        ("shares", _shares),
        ("herding", _herding),
    )
    # Each row's name begins with its part's.
    named = [part for name, part in parts if name in bench.only.casefold()]
    rows = [row for part in named or dict(parts).values() for row in part(rounds)]
    return [row for row in rows if bench.wants(row.name)]


def _row(name: str, ours: float, peer: float, unit: str, digits: int = 2) -> Row:
    return Row(name, round(ours, digits), round(peer, digits), _ratio(ours, peer), unit)


def _ratio(ours: float, peer: float) -> float:
    return round(ours / peer, 2)


def _decisions(rounds: int) -> list[Row]:
    """Decide with everything on; the peer is the level that we hold ourselves to."""
    rows = []
    for strategy, bar in (
        (RoutingStrategy.LEAST_LOADED, 200_000),
        (RoutingStrategy.ROUND_ROBIN, 200_000),
        (RoutingStrategy.WEIGHTED_RANDOM, 50_000),
        (RoutingStrategy.PRIORITY_BASED, 50_000),
        (RoutingStrategy.CONSISTENT_HASH, 50_000),
    ):
        # A ring of ten thousand is measured by itself.
        agents = 100 if strategy is RoutingStrategy.CONSISTENT_HASH else AGENTS
        program = Program(strategy, agents)
        program.rate()
        name = f"decisions, {strategy}, {agents:,} agents, {RULES} rules, metrics on"
        best = max(program.rate() for _ in range(rounds))
        rows.append(_row(name, best, bar, "decisions/s", 0))
        if strategy is RoutingStrategy.LEAST_LOADED:
            p99 = min(program.p99_us() for _ in range(rounds))
            rows.append(_row("decisions, p99 of the same", p99, 20.0, "µs"))
            rows.append(_uncached(program))
            rows.append(_front_door(program, rounds))
    return rows


def _front_door(program: Program, rounds: int) -> Row:
    """Await ``route`` of the front door, the lock and the metrics included."""
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1/none",
        redis_url="redis://127.0.0.1/0",
        broker_url="redis://127.0.0.1/0",
    )
    loads = Loads(routers=8)
    at = time.monotonic() + 3_600  # fresh for as long as it takes
    for load in program.router.loads:
        loads.tell(load.agent_id, Report(1), at=at, capacity=20)
    router = MessageRouter(
        MessageBus(settings),
        view=program.view,
        loads=loads,
        metrics=RoutingMetrics(CollectorRegistry()),
    )
    for rule in program.table.rules:
        router.add_route_rule(rule)

    async def rate() -> float:
        begin = time.perf_counter()
        for _ in range(20):
            for message in program.messages:
                await router.route(message)
        return 20 * len(program.messages) / (time.perf_counter() - begin)

    best = max(asyncio.run(rate()) for _ in range(rounds))
    name = "decisions, await route() of the front door, the same"
    return _row(name, best, 50_000, "decisions/s", 0)


def _uncached(program: Program) -> Row:
    """Decide after each change in the registry: the candidates are made anew."""
    lengths = []
    for _ in range(100):
        program.view.membership += 1
        begin = time.perf_counter()
        program.decide(program.messages[0])
        lengths.append(time.perf_counter() - begin)
    name = f"decisions, p99 without a cached set, {AGENTS:,} candidates"
    return _row(name, 1e3 * sorted(lengths)[98], 20.0, "ms")


def _rules(rounds: int) -> list[Row]:
    """Evaluate rules: one condition, and fifty with the index."""
    program = Program(RoutingStrategy.ROUND_ROBIN, 10)
    condition = compile_condition("payload.get('task_type') == 'carbon_calculation'")
    values = values_of(program.messages[0])
    miss = program.messages[0].evolved(payload={"task_type": "none"})
    works: tuple[tuple[str, Callable[[], object], float], ...] = (
        ("rules, one condition", lambda: condition.outcome(values), 0.5),
        ("rules, fifty by their index, hit", _routes(program, None), 5.0),
        ("rules, fifty by their index, miss", _routes(program, miss), 5.0),
    )
    return [
        _row(name, _microseconds(work, rounds), bar, "µs", 3)
        for name, work, bar in works
    ]


def _routes(program: Program, message: Message | None) -> Callable[[], object]:
    turn = 0

    def work() -> object:
        nonlocal turn
        turn = (turn + 1) % len(program.messages)
        return program.table.route(message or program.messages[turn])

    return work


def _microseconds(work: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(50_000):
            work()
        best = min(best, time.perf_counter() - begin)
    return best / 50_000 * 1e6


def _ring(rounds: int) -> list[Row]:
    """Share out keys, and see which move."""
    names = [f"agent-{at}" for at in range(100)]
    keys = [f"key-{at}" for at in range(100_000)]
    ring, left = Ring(names), Ring(names[1:])
    placed, without = _placed(ring, keys), _placed(left, keys)
    counts = Counter(placed)
    elsewhere = sum(
        before not in (after, names[0])
        for before, after in zip(placed, without, strict=True)
    )
    own = [key for key in keys if ring.member_of(key) == names[0]]
    moved = sum(ring.member_of(key) != left.member_of(key) for key in keys)
    large = Ring(f"agent-{at}" for at in range(AGENTS))
    begin = time.perf_counter()
    large.remove("agent-17")
    took_ms = 1e3 * (time.perf_counter() - begin)
    spread = max(counts.values()) / (len(keys) / len(names))
    turn = iter(range(10**9))
    find = _microseconds(lambda: ring.within(keys[next(turn) % 100_000]), rounds)
    return [
        _row("ring, most by mean, 100 agents, 100k keys", spread, 1.25, "x", 3),
        _row(
            "ring, keys moved that were not of the agent that left",
            100 * (moved - len(own)) / len(keys),
            2.0,
            "%",
        ),
        _row(
            "ring, the same with bounded shares",
            100 * elsewhere / len(keys),
            2.0,
            "%",
        ),
        _row("ring, one lookup with bounded shares", find, 5.0, "µs"),
        _row(f"ring, one of {AGENTS:,} agents leaves", took_ms, 20.0, "ms"),
    ]


def _placed(ring: Ring, keys: Sequence[str]) -> list[str]:
    """Give out keys with bounded shares; return whom each went to."""
    placed = []
    for key in keys:
        number = ring.within(key)[1][-1]
        ring.given(number)
        placed.append(ring.members[number])
    return placed


def _cache(rounds: int) -> list[Row]:
    """Count hits on the mix of the second example, and the bytes of an entry."""
    del rounds
    rows = []
    for name, every, bar in (
        ("cache, hits, an agent changes each 20 messages", 20, 60.0),
        ("cache, hits, an agent changes each 1,000 messages", 1_000, 80.0),
    ):
        router, table, view, rng = _example()
        for at in range(20_000):
            if at % every == 0:
                view.membership += 1
            router.decide(_mixed(at), table, view, rng, NOW + at / 1_000)
        cache = router.cache
        hits = 100 * cache.hits / (cache.hits + cache.misses)
        rows.append(_row(name, hits, bar, "%"))
    rows.append(_row("cache, an entry", _entry_bytes(router), 1_024, "bytes", 0))
    return rows


def _example() -> tuple[Router, RouteTable, Fleet, random.Random]:
    """Return a router with the second example's rule, static routes and agents."""
    names = tuple(f"agent-calc-{at:03}" for at in range(1, 31))
    table = RouteTable().with_rule(
        RouteRule(
            name="route_carbon_calculations",
            priority=100,
            condition="payload.get('task_type') == 'carbon_calculation'",
            targets=names[:3],
        )
    )
    for at in range(5):
        table = table.with_static(f"calculator-{at}", names[3 * at : 3 * at + 3])
    return Router(), table, Fleet(names), random.Random(1)


def _mixed(at: int) -> Message:
    """Return one message of the mix: half by the rule, some by static routes, agents.

    Every tenth goes to one of thirty agents by its name.
    """
    recipient, payload = "calculator", {"task_type": "carbon_calculation"}
    if at % 10 == 0:
        recipient, payload = f"agent-calc-{at // 10 % 30 + 1:03}", {}
    elif at % 2 == 0:
        recipient, payload = f"calculator-{at % 5}", {}
    return Message(
        sender_id="pipeline-001",
        recipient_id=recipient,
        message_type="REQUEST",
        payload=payload,
    )


def _entry_bytes(router: Router) -> float:
    """Return what an entry takes with all that only the cache holds, in the mean."""
    seen: set[int] = set()

    def size(thing: object) -> int:
        outside = (RouteRule, AgentLoad, type, ModuleType, FunctionType, MethodType)
        if id(thing) in seen or isinstance(thing, outside):
            return 0
        seen.add(id(thing))
        total = sys.getsizeof(thing)
        if isinstance(thing, dict):
            total += sum(size(key) + size(value) for key, value in thing.items())
        elif isinstance(thing, tuple | list):
            total += sum(map(size, thing))
        elif isinstance(thing, Candidates):
            total += sum(size(getattr(thing, name)) for name in thing.__slots__)
        return total

    kept = vars(router.cache)
    return sum(map(size, kept.values())) / len(router.cache)


def _shares(rounds: int) -> list[Row]:
    """Let the three agents of the second example share, with loads and without."""
    del rounds
    rows = []
    for name, tells in (("with loads", True), ("without loads", False)):
        router, table, view, rng = _example()
        counts: Counter[str] = Counter()
        for at in range(3_000):
            if tells and at % 100 == 0:
                for agent in ("agent-calc-001", "agent-calc-002", "agent-calc-003"):
                    router.loads.tell(agent, Report(rng.randrange(3)), at=NOW)
            counts.update(router.decide(_mixed(1), table, view, rng, NOW).targets)
        widest = max(abs(100 * count / 3_000 - 100 / 3) for count in counts.values())
        text = f"shares of three agents, {name}: farthest from a third"
        rows.append(_row(text, widest, 2.0, "%"))
    return rows


def _herding(rounds: int) -> list[Row]:
    """Simulate eight routers that go by the same loads; the same dice for all."""
    old, fresh = Scene(service_s=0.05), Scene(service_s=1.0)
    run: dict[tuple[str, str], Outcome] = {
        (when, policy): mean_outcome(scene, policy, rounds)
        for when, scene in (("old", old), ("fresh", fresh))
        for policy in ("least loaded", "round robin", "pure least loaded")
    }
    ours, turns = run["old", "least loaded"], run["old", "round robin"]
    pure = run["old", "pure least loaded"]
    recent = run["fresh", "least loaded"]
    unit = "service times"
    return [
        _row("herding, old loads, p99, against round robin", ours.p99, turns.p99, unit),
        _row("herding, old loads, p99, against the idlest", ours.p99, pure.p99, unit),
        _row("herding, old loads, longest queue", ours.peak, 15, "messages"),
        _row(
            "herding, old loads, longest queue, against the idlest",
            ours.peak,
            pure.peak,
            "messages",
        ),
        _row("herding, fresh loads, p99", recent.p99, 7.5, unit),
        _row(
            "herding, fresh loads, p99, against round robin",
            recent.p99,
            run["fresh", "round robin"].p99,
            unit,
        ),
        _row(
            "herding, fresh loads, p99, against the idlest",
            recent.p99,
            run["fresh", "pure least loaded"].p99,
            unit,
        ),
        *_heartbeats(rounds, unit),
    ]


def _heartbeats(rounds: int, unit: str) -> list[Row]:
    """Simulate agents that report every 30 s, one after the other."""
    scene = Scene(service_s=0.05, agents=20, refresh_s=30, groups=20, length=1_200)
    ours = mean_outcome(scene, "least loaded", rounds)
    turns = mean_outcome(scene, "round robin", rounds)
    pure = mean_outcome(scene, "pure least loaded", rounds)
    when = "herding, heartbeats every 30 s"
    return [
        _row(f"{when}, p99, against round robin", ours.p99, turns.p99, unit),
        _row(f"{when}, p99, against the idlest", ours.p99, pure.p99, unit),
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    bench = Bench(database_url="", quick=given.quick, only=given.only)
    for row in run(bench):
        print("{name:<72}{ours:>12}{peer:>12}  x{ratio:<7}{unit}".format(**asdict(row)))


if __name__ == "__main__":
    main()
