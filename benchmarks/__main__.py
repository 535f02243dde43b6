"""Run every suite on servers of its own; print the table, write latest.json.

``make bench``, or ``python -m benchmarks store`` for one suite; with ``--quick`` or
``--only WORD`` for a look while working. A suite is a module of this package with
``run(bench) -> rows``; a row is a dataclass with ``name``, ``ours``, ``peer``,
``ratio`` and ``unit``.
"""

import argparse
import contextlib
import importlib
import json
import os
import pkgutil
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text

from benchmarks._bench import Bench, fsync_ms
from orchestration.adapters.embedded import EmbeddedServers
from orchestration.cli.stack import stoppable

LATEST = Path(__file__).parent / "latest.json"


def suites() -> list[str]:
    """Name every suite there is."""
    modules = (found.name for found in pkgutil.iter_modules([str(LATEST.parent)]))
    return sorted(name for name in modules if not name.startswith("_"))


def run_suite(name: str, bench: Bench) -> list[dict[str, Any]]:
    """Run one suite, which makes and drops databases of its own on the servers."""
    suite = importlib.import_module(f"benchmarks.{name}")
    return [asdict(row) for row in suite.run(bench)]


def describe(server_url: str, redis_url: str) -> dict[str, Any]:
    """Return what the figures were measured on."""
    engine = create_engine(server_url)
    with engine.connect() as connection:
        show = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("server_version", "fsync", "synchronous_commit")
        }
    engine.dispose()
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        valkey = client.info("server")["valkey_version"]
        kept = client.config_get("appendonly")["appendonly"]
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgres": show.pop("server_version"),
        **show,
        "valkey": valkey,
        "appendonly": kept,
        "fsync_ms": fsync_ms(),
    }


def table_of(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows of one suite as a table."""
    table = Table("what", "ours", "peer", "ratio", "unit", title=name)
    for row in rows:
        figures = (shown(row.get(key)) for key in ("ours", "peer", "ratio"))
        table.add_row(str(row["name"]), *figures, str(row["unit"]))
    return table


def shown(value: float | None) -> str:
    """Return a figure with the digits that count; where there is none, a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@contextlib.contextmanager
def servers() -> Iterator[EmbeddedServers]:
    """Run Postgres and Valkey as they would run for good: nothing is forgotten."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        Path(folder).chmod(0o711)  # root's servers run as another user
        with EmbeddedServers(Path(folder) / "stack") as running:
            yield running


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="default: all")
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="rows that have it in their name"
    )
    given = parser.parse_args()
    if unknown := set(given.suites) - set(suites()):
        parser.error(f"no suite {', '.join(unknown)}: choose of {', '.join(suites())}")
    return given


def main() -> None:
    """Run the suites that the arguments name, or all of them."""
    given = arguments()
    console = Console()
    with stoppable(), servers() as running:
        bench = Bench(
            database_url=running.database_url,
            redis_url=running.redis_url,
            quick=given.quick,
            only=given.only,
        )
        machine = describe(bench.database_url, bench.redis_url)
        console.print(" · ".join(f"{key} {value}" for key, value in machine.items()))
        results = {}
        for name in given.suites or suites():
            with console.status(f"measuring: {name}"):
                results[name] = run_suite(name, bench)
            console.print(table_of(name, results[name]))
    if given.suites or given.quick or given.only:
        return  # latest.json is of one whole run
    record = {
        "command": "make bench",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "suites": results,
    }
    LATEST.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    console.print(f"written: {LATEST}")


if __name__ == "__main__":
    main()
