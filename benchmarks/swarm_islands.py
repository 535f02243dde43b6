"""How much faster a federation is with a task for each island than with one for all.

Its fitness takes half a millisecond for each position and sleeps meanwhile, as if it
waited for a simulation; one worker of four processes over Redis, Postgres with fsync
on. The level is the same federation in one task, and of the other figure four islands
of four processes. What a federation finds ``swarm_kernel`` tells.

    python -m benchmarks swarm_islands
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any, Final

from benchmarks._bench import Bench, Row
from benchmarks._sides import fitnesses
from benchmarks.swarm_runs import Side, opened
from orchestration.core.swarm.functions import STANDARD

__all__ = ["run"]

ISLANDS: Final = 4
AGENTS: Final = 100
EVERY: Final = 20
_ROUNDS: Final = 3
_WORKER: Final = ("-I", fitnesses.__name__)
_NAME: Final = f"{ISLANDS} islands, a slow fitness"


def run(bench: Bench) -> list[Row]:
    """Measure both; they come to the same bits."""
    if not bench.wants(_NAME):
        return []
    iterations = (2 if bench.quick else 5) * EVERY
    with asyncio.Runner() as loop, opened(bench, loop, *_WORKER, slots=ISLANDS) as side:
        _took_s(side, EVERY, evaluate="islands")  # all processes have loaded all
        together: list[float] = []
        apart: list[float] = []
        hashes = set()
        for _ in range(_ROUNDS):
            for took_s, options in (
                (together, {"iterations_per_task": EVERY}),
                (apart, {"evaluate": "islands"}),
            ):
                took, state_hash = _took_s(side, iterations, **options)
                took_s.append(took)
                hashes.add(state_hash)
    assert len(hashes) == 1, "a federation came to other bits"
    one, many = iterations / median(together), iterations / median(apart)
    share = many / one / ISLANDS
    return [
        Row(f"{_NAME}, a task each and one for all", many, one, many / one, "1/s"),
        Row(f"{_NAME}, of what they could be faster", share, 1.0, share, ""),
    ]


def _took_s(side: Side, iterations: int, **options: Any) -> tuple[float, str]:  # noqa: ANN401  as the front door's
    bound = STANDARD["rastrigin"].bound
    told: dict[str, Any] = {
        "islands": ISLANDS,
        "agents": AGENTS,
        "migrate_every": EVERY,
        "iterations": iterations,
        "seed": 1,
    }
    began = time.perf_counter()
    optimizing = side.swarm.optimize(
        fitnesses.slow, 30 * [(-bound, bound)], **told, **options
    )
    report = side.loop.run(optimizing)
    return time.perf_counter() - began, report.state_hash
