"""How fast particle swarms fly, and what they find, beside PySwarms in the same run.

Both search with the constriction of Clerc and Kennedy and periodic bounds where speed
is measured; the rounds of both alternate, and the best of each counts. What is found
is that of the default search beside PySwarms' with the same coefficients and as many
evaluations; the optimum of each seed is somewhere else.

    python -m benchmarks swarm_kernel
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import product
from statistics import median
from typing import Final

import numpy as np
from pyswarms.single import GlobalBestPSO

from benchmarks._bench import Bench, Row
from orchestration.core.swarm.federation import Federation, federated, searches
from orchestration.core.swarm.functions import STANDARD, shifted
from orchestration.core.swarm.motion import Fitness, Motion, advance, begin
from orchestration.core.swarm.search import Search, motion_of
from orchestration.core.swarm.space import Boundary
from orchestration.core.swarm.stopping import Stopping

EVALUATIONS: Final = 200_000
DIMS: Final = 30
SEEDS: Final = 25
AGENTS: Final = 100
ISLANDS: Final = 4
FOUND: Final = 1e-20
"""What is less is as good as 0.0, the least value of every function."""

_CLERC_KENNEDY: Final = {"w": 0.72984, "c1": 1.49618, "c2": 1.49618}
_CELLS: Final = tuple(product(("sphere", "rastrigin"), (3, 30), (100, 1_000)))
_PEER_AGENTS: Final = (100, 40)


def run(bench: Bench) -> list[Row]:
    """Measure everything; no server is needed."""
    parts: tuple[tuple[str, Callable[[Bench], Iterator[Row]]], ...] = (
        ("speed", _speed),
        ("chained", _chained),
        ("quality", _quality),
        ("iterations", _iterations),
        ("federation", _federation),
    )
    # Each row's name begins with its part's.
    named = [part for name, part in parts if name in bench.only.casefold()]
    rows = [row for part in named or dict(parts).values() for row in part(bench)]
    return [row for row in rows if bench.wants(row.name)]


def _speed(bench: Bench) -> Iterator[Row]:
    ratios = []
    for name, dims, agents in _CELLS:
        iterations = (100 if bench.quick else 600) * (1 if agents * dims > 5_000 else 4)
        ours, peer = _best_of(
            3 if bench.quick else 9,
            partial(_our_rate, name, dims, agents, iterations),
            partial(_peer_rate, name, dims, agents, iterations),
        )
        ratios.append(ours / peer)
        what = f"speed, {name}, {dims}-D, {agents:,} agents"
        yield _row(what, ours, peer, "iterations/s")
    yield _row("speed, median of the ratios", median(ratios), 1.0, "x")


def _chained(bench: Bench) -> Iterator[Row]:
    """Go on K iterations at once from bytes to bytes, every one of them hashed."""
    for at_once, agents in ((1, 100), (10, 1_000), (50, 100)):
        goes = (1_000 if agents == 100 else 400) // at_once // (4 if bench.quick else 1)
        ours, peer = _best_of(
            3 if bench.quick else 9,
            partial(_chained_rate, agents, at_once, goes),
            partial(_peer_rate, "rastrigin", DIMS, agents, at_once * goes),
        )
        what = f"chained, rastrigin, {DIMS}-D, {agents:,} agents, {at_once} at once"
        yield _row(what, ours, peer, "iterations/s")


def _best_of(
    rounds: int, ours: Callable[[], float], peer: Callable[[], float]
) -> tuple[float, float]:
    rates = [(ours(), peer()) for _ in range(rounds)]
    return max(our for our, _ in rates), max(theirs for _, theirs in rates)


def _our_rate(name: str, dims: int, agents: int, iterations: int) -> float:
    fitness = STANDARD[name].values
    motion = _same_motion(name, dims, agents)
    state = begin(motion, 1, fitness)
    started = time.perf_counter()
    advance(
        motion, state, seed=1, iterations=iterations, previous=None, fitness=fitness
    )
    return iterations / (time.perf_counter() - started)


def _chained_rate(agents: int, at_once: int, goes: int) -> float:
    fitness = STANDARD["rastrigin"].values
    motion = _same_motion("rastrigin", DIMS, agents)
    state = begin(motion, 1, fitness)
    previous, blob = state.digest(), state.to_bytes()
    started = time.perf_counter()
    for _ in range(goes):
        gone = advance(
            motion,
            type(state).from_bytes(blob),
            seed=1,
            iterations=at_once,
            previous=previous,
            fitness=fitness,
        )
        previous, blob = gone.hashes[-1], gone.state.to_bytes()
        gone.state.digest()
    return at_once * goes / (time.perf_counter() - started)


def _peer_rate(name: str, dims: int, agents: int, iterations: int) -> float:
    peer = _peer(name, dims, agents)
    started = time.perf_counter()
    peer.optimize(STANDARD[name].values, iterations, verbose=False)
    return iterations / (time.perf_counter() - started)


def _quality(bench: Bench) -> Iterator[Row]:
    seeds = range(5 if bench.quick else SEEDS)
    names = ("sphere", "rastrigin", "griewank", "rosenbrock")
    with ProcessPoolExecutor() as pool:
        ours = {name: pool.map(_found, [name] * len(seeds), seeds) for name in names}
        peers = {
            (name, agents): pool.map(
                _peer_found, [name] * len(seeds), seeds, [agents] * len(seeds)
            )
            for name, agents in product(names, _PEER_AGENTS)
        }
        for name in names:
            found: Sequence[float] = list(ours[name])
            what = f"quality, {name}, median of {len(seeds)} seeds, "
            for agents in _PEER_AGENTS:
                peer = median(peers[name, agents])
                what_of = f"{what}PySwarms with {agents} agents"
                yield _found_row(what_of, median(found), peer)
            if name == "sphere":
                yield _found_row("quality, sphere, worst seed", max(found), FOUND)


def _federation(bench: Bench) -> Iterator[Row]:
    """Search on four islands, and in one swarm with as many agents altogether."""
    seeds = range(5 if bench.quick else SEEDS)
    names = ("sphere", "griewank", "rastrigin", "rosenbrock")
    with ProcessPoolExecutor() as pool:
        both = {
            (name, islands): pool.map(
                _found, [name] * len(seeds), seeds, [islands] * len(seeds)
            )
            for name, islands in product(names, (ISLANDS, 1))
        }
        for name in names:
            ours, one = (median(both[name, islands]) for islands in (ISLANDS, 1))
            what = f"federation, {name}, median of {len(seeds)} seeds, "
            what_of = f"{what}{ISLANDS} islands and one swarm"
            yield _found_row(what_of, ours, one)


def _found(name: str, seed: int, islands: int = 1) -> float:
    fitness = _moved(name, seed)
    motion = _motion(name, DIMS) if islands == 1 else _islands(name, islands)
    state = begin(motion, seed, fitness)
    gone = advance(
        motion,
        state,
        seed=seed,
        iterations=EVALUATIONS // state.size - 1,  # iteration 0 is valued as well
        previous=None,
        fitness=fitness,
    )
    return gone.best[-1]


def _peer_found(name: str, seed: int, agents: int) -> float:
    np.random.seed(seed)  # noqa: NPY002 - the one that the peer draws from
    peer = _peer(name, DIMS, agents)
    cost, _ = peer.optimize(_moved(name, seed), EVALUATIONS // agents, verbose=False)
    return float(cost)


def _moved(name: str, seed: int) -> Fitness:
    bound = STANDARD[name].bound
    shift = np.random.default_rng(seed).uniform(-0.4 * bound, 0.4 * bound, DIMS)
    return shifted(STANDARD[name], shift)


def _iterations(bench: Bench) -> Iterator[Row]:
    """Search by the defaults in ten dimensions until the swarm has come together."""
    until = Stopping(iterations=2_000, convergence=0.95)
    for name, function in STANDARD.items():
        motion = _motion(name, 10)
        needed = []
        for seed in range(5 if bench.quick else SEEDS):
            state = begin(motion, seed, function.values, until=until)
            gone = advance(
                motion,
                state,
                seed=seed,
                iterations=until.iterations,
                previous=None,
                fitness=function.values,
                until=until,
            )
            needed.append(len(gone.best))
        what = f"iterations, {name}, 10-D, until 95 % converged, worst seed"
        yield _row(what, max(needed), 1_000, "iterations")


def _same_motion(name: str, dims: int, agents: int) -> Motion:
    """Return the motion that PySwarms has as well: it never begins anew."""
    return _motion(name, dims, agents=agents, boundary=Boundary.PERIODIC, patience=0)


def _motion(name: str, dims: int, **settings: object) -> Motion:
    bound = STANDARD[name].bound
    told = {"lower": dims * [-bound], "upper": dims * [bound], **settings}
    return motion_of(Search.from_json(told))


def _islands(name: str, islands: int) -> Motion:
    bound = STANDARD[name].bound
    told = {"lower": DIMS * [-bound], "upper": DIMS * [bound], "agents": AGENTS}
    return federated(Federation(islands=searches(told, islands * [{}])))


def _peer(name: str, dims: int, agents: int) -> GlobalBestPSO:
    bound = np.full(dims, STANDARD[name].bound)
    return GlobalBestPSO(agents, dims, _CLERC_KENNEDY, bounds=(-bound, bound))


def _row(name: str, ours: float, peer: float, unit: str) -> Row:
    return Row(name, round(ours, 2), round(peer, 2), round(ours / peer, 2), unit)


def _found_row(name: str, ours: float, peer: float) -> Row:
    """Compare two values of which less is better, and none less than ``FOUND``."""
    ratio = max(ours, FOUND) / max(peer, FOUND)
    return Row(
        name,
        float(f"{ours:.3g}"),
        float(f"{peer:.3g}"),
        float(f"{ratio:.3g}"),
        "least value",
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    bench = Bench(database_url="", quick=given.quick, only=given.only)
    for row in run(bench):
        print("{name:<72}{ours:>12}{peer:>12}  x{ratio:<8}{unit}".format(**asdict(row)))


if __name__ == "__main__":
    main()
