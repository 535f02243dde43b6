"""Run every suite on a Postgres of its own; print the table, write latest.json.

``make bench``, or ``python -m benchmarks store`` for one suite. A suite is a module
of this package with ``run(server_url) -> rows``; a row is a dataclass with ``name``,
``ours``, ``peer``, ``ratio`` and ``unit``.
"""

import importlib
import json
import os
import pkgutil
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text

from orchestration.adapters.embedded import EmbeddedServers

LATEST = Path(__file__).parent / "latest.json"


def suites() -> list[str]:
    """Name every suite there is."""
    modules = (found.name for found in pkgutil.iter_modules([str(LATEST.parent)]))
    return sorted(name for name in modules if not name.startswith("_"))


def run_suite(name: str, server_url: str) -> list[dict[str, Any]]:
    """Run one suite, which makes and drops databases of its own on the server."""
    suite = importlib.import_module(f"benchmarks.{name}")
    return [asdict(row) for row in suite.run(server_url)]


def describe(server_url: str) -> dict[str, Any]:
    """Return what the figures were measured on."""
    engine = create_engine(server_url)
    with engine.connect() as connection:
        show = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("server_version", "fsync", "synchronous_commit")
        }
    engine.dispose()
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgres": show.pop("server_version"),
        **show,
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


def main() -> None:
    """Run the suites that the arguments name, or all of them."""
    names = sys.argv[1:] or suites()
    console = Console()
    with EmbeddedServers(valkey=False) as servers:
        machine = describe(servers.database_url)
        console.print(" · ".join(f"{key} {value}" for key, value in machine.items()))
        results = {}
        for name in names:
            with console.status(f"measuring: {name}"):
                results[name] = run_suite(name, servers.database_url)
            console.print(table_of(name, results[name]))
    if sys.argv[1:]:
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
