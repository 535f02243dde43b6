"""How fast swarms look around, fly and smell, each figure beside a peer's or its bar.

One process, one thread, the best of some rounds. What is compared is done in turns, so
that whatever else the machine does slows both. The peer of the neighbours is SciPy's
k-d tree where SciPy is installed, which this project does not need, else comparing all.

    python -m benchmarks.swarm_motion
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks._bench import Bench, Row
from orchestration.core.swarm.behaviors import motion_for
from orchestration.core.swarm.motion import begin
from orchestration.core.swarm.neighbours import brute_pairs, cell_pairs, pairs
from orchestration.core.swarm.pheromone import deposited, diffused, evaporated
from orchestration.core.swarm.randomness import draws
from orchestration.core.swarm.state import Floats

_BALL = 4.0 * math.pi / 3.0


def run(bench: Bench) -> list[Row]:
    """Measure everything; no server is needed."""
    rounds = 5 if bench.quick else 30
    parts: tuple[tuple[str, Callable[[int], list[Row]]], ...] = (
        ("neighbours", _neighbours),
        ("crossover", _crossover),
        ("step", _steps),
        ("field", _field),
    )
    # Each row's name begins with its part's.
    named = [part for name, part in parts if name in bench.only.casefold()]
    rows = [row for part in named or dict(parts).values() for row in part(rounds)]
    return [row for row in rows if bench.wants(row.name)]


def _best_ms(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Return the shortest time of each, done in turns."""
    best = [math.inf] * len(works)
    for _ in range(rounds):
        for at, work in enumerate(works):
            begun = time.perf_counter()
            work()
            best[at] = min(best[at], 1e3 * (time.perf_counter() - begun))
    return best


def _row(name: str, ours: float, peer: float, unit: str = "ms") -> Row:
    return Row(name, round(ours, 3), round(peer, 3), round(ours / peer, 3), unit)


def _cloud(count: int, near: float) -> tuple[Floats, float]:
    """Return agents in the unit cube, and the radius within which so many are near."""
    position = np.random.default_rng(1).random((count, 3))
    return position, (near / (count * _BALL)) ** (1.0 / 3.0)


def _tree(position: Floats, radius: float, side: float | None) -> Callable[[], object]:
    """Return a search by SciPy's tree, made anew as each iteration must."""
    if importlib.util.find_spec("scipy") is None:
        return lambda: brute_pairs(position, radius, side)
    tree: Any = importlib.import_module("scipy.spatial").cKDTree
    return lambda: tree(position, boxsize=side).query_pairs(
        radius, output_type="ndarray"
    )


def _neighbours(rounds: int) -> list[Row]:
    """Find all pairs: beside a tree, and beside comparing all."""
    rows = []
    for count, near in (
        (100, 10),
        (1_000, 10),
        (1_000, 30),
        (10_000, 10),
        (10_000, 30),
    ):
        position, radius = _cloud(count, near)
        for space, side in (("open", None), ("periodic", 1.0)):
            ours, peer = _best_ms(
                rounds,
                lambda p=position, r=radius, s=side: pairs(p, r, s),  # type: ignore[misc]
                _tree(position, radius, side),
            )
            name = f"neighbours, {count:,} agents, {near} near each, {space}, by a tree"
            rows.append(_row(name, ours, peer))
    for count in (1_000, 10_000):
        position, radius = _cloud(count, 10)
        ours, whole, halved = _best_ms(
            1 if count > 1_000 else rounds,
            lambda p=position, r=radius: pairs(p, r),  # type: ignore[misc]
            lambda p=position, r=radius: _whole_matrix(p, r),  # type: ignore[misc]
            lambda p=position, r=radius: brute_pairs(p, r),  # type: ignore[misc]
        )
        name = f"neighbours, {count:,} agents, by"
        rows.append(_row(f"{name} a matrix of all distances", ours, whole))
        rows.append(_row(f"{name} comparing all in parts", ours, halved))
    return rows


def _whole_matrix(position: Floats, radius: float) -> object:
    """Find all pairs as one writes it down: of 10,000 agents it holds 800 MB."""
    squared = np.zeros((len(position), len(position)))
    for along in position.T:
        squared += np.square(along[:, np.newaxis] - along[np.newaxis, :])
    return np.argwhere(np.triu(squared <= radius * radius, 1))


def _crossover(rounds: int) -> list[Row]:
    """Compare both ways where one becomes the faster."""
    rows = []
    for count in (100, 200, 300, 400):
        position, radius = _cloud(count, 10)
        for space, side in (("open", None), ("periodic", 1.0)):
            cells, brute = _best_ms(
                4 * rounds,
                lambda p=position, r=radius, s=side: cell_pairs(p, r, s),  # type: ignore[misc]
                lambda p=position, r=radius, s=side: brute_pairs(p, r, s),  # type: ignore[misc]
            )
            name = f"crossover, cells by comparing all, {count} agents, {space}"
            rows.append(_row(name, cells, brute))
    return rows


def _steps(rounds: int) -> list[Row]:
    """Move once by each behaviour, from where it begins; ten are near each."""
    rows = []
    side = (1_000 * _BALL / 10) ** (1.0 / 3.0)
    settings: Sequence[tuple[str, dict[str, Any], int, float]] = (
        ("FLOCKING", {"side": (100 * _BALL / 10) ** (1.0 / 3.0)}, 100, 5.0),
        ("FLOCKING", {"side": side}, 1_000, 5.0),
        ("FLOCKING", {"side": (10_000 * _BALL / 10) ** (1 / 3)}, 10_000, 50.0),
        ("DISPERSING", {}, 1_000, 5.0),
        ("CLUSTERING", {}, 1_000, 50.0),
        ("MIGRATING", {}, 100, 5.0),
        ("FORAGING", {}, 1_000, 5.0),
    )
    for behavior, given, agents, bar in settings:
        motion = motion_for(behavior, {"agents": agents, **given})
        blob = begin(motion, 1).to_bytes()
        best = math.inf
        for nth in range(1, rounds + 1):
            state = type(begin(motion, 1)).from_bytes(blob)
            draw = draws(1, nth)
            begun = time.perf_counter()
            motion.move(state, draw)
            best = min(best, 1e3 * (time.perf_counter() - begun))
        rows.append(_row(f"step, {behavior}, {agents:,} agents", best, bar))
    return rows


def _field(rounds: int) -> list[Row]:
    """Let a grid evaporate, spread, and take what a thousand agents lay."""
    rows = []
    rng = np.random.default_rng(1)
    for cells, bars in ((32, (0.1, 1.0, 0.2)), (64, (0.5, 8.0, 1.0))):
        field = rng.random((cells, cells, cells))
        where, amounts = rng.integers(cells**3, size=1_000), rng.random(1_000)
        times = _best_ms(
            rounds,
            lambda f=field: evaporated(f, 0.01),  # type: ignore[misc]
            lambda f=field: diffused(f, 0.1),  # type: ignore[misc]
            lambda f=field, w=where, a=amounts: deposited(f, w, a),  # type: ignore[misc]
        )
        names = ("evaporation", "diffusion, seven points", "1,000 deposits")
        rows += [
            _row(f"field, {cells}^3 cells, {name}", each, bar)
            for name, each, bar in zip(names, times, bars, strict=True)
        ]
    return rows


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
