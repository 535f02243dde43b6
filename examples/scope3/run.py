"""The example from end to end: a swarm, its result, the check, and the report.

Where DATABASE_URL is set, the servers and workers that the environment names are used;
else a Postgres, a Valkey and Celery workers of its own, of which nothing is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.scope3.agents import SUPPLIERS, supplier_database
from examples.scope3.course import course_of, totals_of
from examples.scope3.emissions import tonnes
from examples.scope3.film import FRAMES
from examples.scope3.plain import plain_total
from examples.scope3.report import Findings, write_report
from examples.scope3.task import scope3_task
from orchestration.adapters.embedded import EmbeddedServers
from orchestration.adapters.schema import migrate_all
from orchestration.cli.stack import LocalStack, stoppable
from orchestration.errors import OrchestrationError
from orchestration.message_bus import MessageBus
from orchestration.settings import Settings
from orchestration.swarm import SwarmOrchestrator, SwarmTask

__all__ = ["deployed", "main", "result_lines"]

_MODULES = ("examples.scope3.agents",)
_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.05
_FAILED, _INTERRUPTED = 1, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run it, and return the exit code: 0 if all is as plain NumPy has it."""
    given = _given(words)
    os.environ["SCOPE3_SUPPLIERS"] = str(given.suppliers)
    os.environ["SCOPE3_SEED"] = str(given.seed)
    try:
        with stoppable(), _servers(given.workers) as settings:
            task = scope3_task(
                suppliers=given.suppliers,
                partitions=given.partitions,
                agents=given.agents,
            )
            findings = asyncio.run(deployed(task, settings))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OrchestrationError as exc:
        print(f"✗ {exc}", file=sys.stderr)
        return _FAILED
    print("\n".join(result_lines(findings.result)))
    print()
    return _told(findings, given.out, given.frames)


async def deployed(task: SwarmTask, settings: Settings | None = None) -> Findings:
    """Have a swarm do the task, and return what came of it.

    Args:
        task: Of this example.
        settings: Where the servers are; None: where the environment says.
    """
    database = supplier_database()
    async with MessageBus(settings) as message_bus:
        swarm = SwarmOrchestrator(message_bus)
        await swarm.initialize()
        result = await swarm.deploy(task)
        events = await swarm.events(task.swarm_id)
    return Findings(
        swarm_id=task.swarm_id,
        result=result,
        totals=totals_of(events),
        plain=plain_total(database),
        course=course_of(events),
        factors=database.factors,
    )


def result_lines(result: Mapping[str, Any]) -> Sequence[str]:
    """Return the lines of the usage example."""
    return (
        "Swarm Results:",
        f"  Convergence: {result['convergence']:.2%}",
        f"  Fitness: {result['fitness']:.2%}",
        f"  Iterations: {result['iterations']}",
        f"  Duration: {result['duration_ms']:.0f}ms",
        f"  Efficiency: {result['efficiency']:.2%}",
    )


def _told(findings: Findings, folder: Path, frames: int) -> int:
    """Say whether plain NumPy agrees, and where the report is; return the exit code."""
    totals = findings.totals
    mg, cents = findings.plain
    if not findings.agrees:
        print(
            f"✗ the swarm has {totals.all_mg} mg CO2e and {totals.spend_cents} cents, "
            f"plain NumPy {mg} and {cents}",
            file=sys.stderr,
        )
    else:
        euros = f"{cents // 100:,}.{cents % 100:02}"
        print(
            f"✓ {tonnes(mg):,} t CO2e for {euros} euros spent with "
            f"{totals.suppliers:,} suppliers: as plain NumPy, to the last digit"
        )
    began = time.monotonic()
    page = write_report(folder, findings, frames=frames)
    print(f"✓ {page} and the film beside it, after {time.monotonic() - began:.0f} s")
    return 0 if findings.agrees else _FAILED


@dataclass(frozen=True, slots=True)
class _Given:
    """What the command was told."""

    suppliers: int
    partitions: int
    agents: int
    seed: int
    workers: int
    frames: int
    out: Path


def _given(words: Sequence[str] | None) -> _Given:
    parser = argparse.ArgumentParser(
        prog="python -m examples.scope3",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    numbers: tuple[tuple[str, int, str], ...] = (
        ("suppliers", 100_000, "how many suppliers there are"),
        ("partitions", 1_000, "in so many parts"),
        ("agents", 100, "by so many agents"),
        ("seed", 2024, "which suppliers"),
        ("frames", FRAMES, "of the film, at least 2"),
        ("workers", max(2, os.cpu_count() or 2), "processes of the worker it starts"),
    )
    for name, default, text in numbers:
        parser.add_argument(
            f"--{name}",
            type=int,
            default=default,
            metavar="N",
            help=f"{text} (default {default})",
        )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("var/scope3"),
        metavar="DIR",
        help="where the report goes (default var/scope3)",
    )
    return _Given(**vars(parser.parse_args(words)))


@contextlib.contextmanager
def _servers(workers: int) -> Iterator[Settings]:
    """Yield where servers are; those of its own end with the block."""
    if os.environ.get("DATABASE_URL"):
        settings = Settings.from_env()
        _until(lambda: _is_hosted(settings))
        yield settings
        return
    with EmbeddedServers() as servers:
        migrate_all(servers.database_url)
        stack = LocalStack(servers, os.environ)
        parts = [
            stack.worker("main", modules=_MODULES, concurrency=workers, quick=True),
            stack.chores(quick=True),
            stack.beat(),
        ]
        for part in parts:
            stack.start(part)
        stack.wait_ready(*parts)
        settings = Settings.from_env(
            database_url=servers.database_url,
            redis_url=servers.redis_url,
            broker_url=servers.broker_url,
        )
        _until(lambda: _is_hosted(settings))
        yield settings


def _is_hosted(settings: Settings) -> bool:
    """Tell whether a worker has said that it hosts the handler: it is ready before."""
    from orchestration.cli.session import session
    from orchestration.core.swarm.providers import Provided, announced_name

    with session(settings) as opened:
        name = announced_name(Provided.HANDLER, SUPPLIERS)
        return not opened.announcements.offline([name])


def _until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > give_up_at:
            raise OrchestrationError(
                f"no worker hosts {SUPPLIERS!r}: start one by `celery -A tasks worker "
                f"-I {_MODULES[0]}`"
            )
        time.sleep(_LOOK_EVERY_S)
