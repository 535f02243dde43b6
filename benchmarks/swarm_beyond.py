"""What swarms find whose size adapts, or whose settings were tuned, beside the default.

All have as many evaluations, the optimum of each seed is somewhere else, and a ratio is
that of the medians over 25 seeds: below 1, more is found than by the default. The rule
by which a size adapts was chosen on seeds from 1,000 on. Settings are tuned here, for
each function with its optimum at one place, and shown with it at 25 others.

    python -m benchmarks.swarm_beyond

It takes two and a half minutes on two cores; ``--only adaptive`` and ``--only tuned``
are about half of it each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks._bench import Bench, Row
from orchestration.core.swarm.functions import STANDARD, shifted
from orchestration.core.swarm.motion import Fitness, advance, begin
from orchestration.core.swarm.search import Search, motion_of
from orchestration.core.swarm.state import Floats
from orchestration.core.swarm.stopping import MAX_ITERATIONS, Stopping, values_asked
from orchestration.core.swarm.tuning import Tuning, TuningSettings, settings_of

SEEDS: Final = 25
FUNCTIONS: Final = ("griewank", "rosenbrock", "levy", "rastrigin")
FOUND: Final = 1e-20
"""What is less is as good as 0.0, the least value of every function."""

_TUNED_AT: Final = 1_000
_GENERATIONS: Final = 5


def run(bench: Bench) -> list[Row]:
    """Measure everything; no server is needed."""
    with ProcessPoolExecutor() as pool:
        rows = [*_adaptive(bench, pool), *_tuned(bench, pool)]
    return [row for row in rows if bench.wants(row.name)]


def _adaptive(bench: Bench, pool: Executor) -> Iterator[Row]:
    if bench.only and not bench.wants("adaptive"):
        return
    dims, evaluations = (10, 20_000) if bench.quick else (30, 200_000)
    for name in FUNCTIONS:
        find = partial(_all_found, pool, bench, name, dims, evaluations)
        what = f"adaptive size, {name}, {dims}-D, {evaluations:,} evaluations"
        yield _row(what, find({"sizing": "ADAPTIVE"}), find({}))


def _tuned(bench: Bench, pool: Executor) -> Iterator[Row]:
    if bench.only and not bench.wants("tuned"):
        return
    dims, evaluations = 10, 20_000
    for name in FUNCTIONS:
        generations = 2 if bench.quick else _GENERATIONS
        settings = _tune(pool, name, dims, evaluations, generations)
        find = partial(_all_found, pool, bench, name, dims, evaluations)
        told = ", ".join(f"{one} {_short(value)}" for one, value in settings.items())
        what = f"tuned, {name}, {dims}-D, {evaluations:,} evaluations: {told}"
        yield _row(what, find(settings), find({}))


def _tune(
    pool: Executor, name: str, dims: int, evaluations: int, generations: int
) -> dict[str, Any]:
    """Return the settings that a tuning comes to, each tried in a process."""
    bound = STANDARD[name].bound
    tuning = TuningSettings(
        lower=dims * [-bound], upper=dims * [bound], evaluations=evaluations
    )
    motion = Tuning(tuning)

    def values(position: Floats) -> Floats:
        try_one = partial(_tried, name, tuning)
        return np.array(list(pool.map(try_one, position)))

    state = begin(motion, 1, values)
    done = advance(
        motion, state, seed=1, iterations=generations, previous=None, fitness=values
    )
    return settings_of(done.state.record["best_position"])


def _tried(name: str, tuning: TuningSettings, genes: Floats) -> float:
    fitness = _moved(name, len(tuning.lower), _TUNED_AT)
    return float(Tuning(tuning).values_of(fitness, 1)(genes[np.newaxis])[0])


def _all_found(
    pool: Executor,
    bench: Bench,
    name: str,
    dims: int,
    evaluations: int,
    settings: Mapping[str, Any],
) -> list[float]:
    seeds = range(5 if bench.quick else SEEDS)
    return list(pool.map(partial(_found, name, dims, evaluations, settings), seeds))


def _found(
    name: str, dims: int, evaluations: int, settings: Mapping[str, Any], seed: int
) -> float:
    bound, fitness = STANDARD[name].bound, _moved(name, dims, seed)
    search = Search(
        lower=dims * [-bound],
        upper=dims * [bound],
        evaluations=evaluations,
        **settings,
    )
    motion = motion_of(search)
    until = Stopping(iterations=MAX_ITERATIONS, evaluations=evaluations)
    state = begin(motion, seed, fitness, until=until)
    done = advance(
        motion,
        state,
        seed=seed,
        iterations=MAX_ITERATIONS,
        previous=None,
        fitness=fitness,
        until=until,
    )
    asked = values_asked(done.state)
    if asked > evaluations:
        raise RuntimeError(f"{asked} values were asked for, not {evaluations}")
    return done.best[-1]


def _moved(name: str, dims: int, seed: int) -> Fitness:
    bound = STANDARD[name].bound
    shift = np.random.default_rng(seed).uniform(-0.4 * bound, 0.4 * bound, dims)
    return shifted(STANDARD[name], shift)


def _row(name: str, ours: list[float], peers: list[float]) -> Row:
    """Compare medians of what was found; none counts as less than ``FOUND``."""
    our, peer = max(median(ours), FOUND), max(median(peers), FOUND)
    found, by_default, ratio = (float(f"{one:.3g}") for one in (our, peer, our / peer))
    return Row(name, found, by_default, ratio, "least value")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    began = time.perf_counter()
    for row in run(Bench(database_url="", quick=given.quick, only=given.only)):
        told = asdict(row)
        print(told.pop("name"))
        print("    {ours:>12}  default {peer:>12}  x{ratio:<8}  {unit}".format(**told))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
