"""Sides measured in turns, so that other work on the machine disturbs all alike."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Final

from benchmarks._bench import Bench, fsync_ms
from benchmarks._sides.cpu import used_s
from benchmarks._sides.side import Side, frozen

__all__ = ["WARM_UP", "in_turns"]

WARM_UP: Final = 40
"""How many each side does before it is measured."""


def in_turns(bench: Bench, sides: Sequence[Side]) -> dict[str, float]:
    """Return the median rate of each side, by its name.

    Each round is told while it runs: the rates, and how much of the processors' time
    one saga took in all processes together.
    """
    rounds, count = (5, 60) if bench.quick else (9, 150)
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    with ExitStack() as opened_sides:
        runners = {
            one.name: opened_sides.enter_context(one.open(bench)) for one in sides
        }
        for runner in runners.values():
            runner.rate(WARM_UP)
        for nth in range(1, rounds + 1):
            heard = [f"round {nth}: fsync {fsync_ms()} ms"]
            for name, runner in runners.items():
                with frozen(one for one in runners.values() if one is not runner):
                    before_s = used_s()
                    rates[name].append(runner.rate(count))
                    cpu_ms = 1_000 * (used_s() - before_s) / count
                heard.append(f"{name} {rates[name][-1]:.1f}/s ({cpu_ms:.1f} ms)")
            print(" · ".join(heard))
    return {name: median(values) for name, values in rates.items()}
