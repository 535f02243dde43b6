"""How long a hostile condition holds a process up, until it is refused or answered.

The expressions are those of ``tests/unit/hostile_conditions.py``; the peer is the time
that the slowest of them may take. No servers are needed.

    python -m benchmarks conditions
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from benchmarks._bench import Bench, Row
from orchestration.core.conditions import compile_condition
from orchestration.errors import InvalidCondition
from tests.unit.hostile_conditions import BOUNDED, REFUSED

LIMIT_MS = 5.0


def run(bench: Bench) -> list[Row]:
    """Time each expression, and show the slowest."""
    rounds = 3 if bench.quick else 20
    refused = [_refusal(text) for _, text, _ in REFUSED]
    answered = [
        partial(compile_condition(text).outcome, values)
        for _, text, values, _ in BOUNDED
    ]
    rows = [
        _row(f"hostile, slowest of {len(refused)} to be refused", refused, rounds),
        _row(
            f"hostile, slowest of {len(answered)} to be answered",
            answered,
            rounds,
        ),
    ]
    return [row for row in rows if bench.wants(row.name)]


def _refusal(text: str) -> Callable[[], object]:
    def work() -> None:
        with suppress(InvalidCondition):
            compile_condition(text)
            raise AssertionError(f"{text!r} is no condition, and was taken")

    return work


def _row(name: str, works: Sequence[Callable[[], object]], rounds: int) -> Row:
    slowest_ms = max(min(_ms(work) for _ in range(rounds)) for work in works)
    return Row(
        name, round(slowest_ms, 3), LIMIT_MS, round(slowest_ms / LIMIT_MS, 3), "ms"
    )


def _ms(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return 1_000 * (time.perf_counter() - begin)
