"""How fast pipelines are, beside a bare Celery chain of as many tasks.

Three stages that do nothing, against a chain of three such tasks with kept results:
prefork with two processes, Postgres with fsync on, worker, chores worker and beat. The
sides are measured in turns, as ``saga`` does it, and the ratio of their medians counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks._bench import Bench, Row, fresh_database
from benchmarks._sides.chain import bare_chain
from benchmarks._sides.ours import migrate, ours
from benchmarks._sides.turns import in_turns
from orchestration.message_bus import MessageBus
from orchestration.pipeline import Pipeline, PipelineStage

__all__ = ["run"]

STAGES: Final = 3
OURS, CHAIN = "ours", "a bare Celery chain"
NAME: Final = f"{STAGES} no-op stages, against {CHAIN}"


def run(bench: Bench) -> list[Row]:
    """Measure, in a database that is dropped afterwards."""
    if not bench.wants(NAME):
        return []
    with fresh_database(bench.database_url) as url:
        migrate(url)
        sides = [ours(OURS, url, starter=stages), bare_chain(CHAIN, length=STAGES)]
        rates = in_turns(bench, sides)
    rate, peer = rates[OURS], rates[CHAIN]
    ratio = round(rate / peer, 2)
    return [Row(NAME, round(rate, 2), round(peer, 2), ratio, "runs/s")]


def stages(bus: MessageBus) -> Callable[[], Awaitable[str]]:
    """Return what starts a run of stages that do nothing."""
    names = [f"s{nth}" for nth in range(1, STAGES + 1)]
    made = [PipelineStage(name, "agent-bench", action="noop") for name in names]
    return Pipeline(made, name="bench", message_bus=bus).start
