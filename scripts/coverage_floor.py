"""Fail unless each named package is covered well enough, by line and by branch.

``python scripts/coverage_floor.py 90 orchestration/core eventstore`` reads the
``.coverage`` that the last test run left. coverage's own ``fail_under`` knows one
figure for everything, lines and branches mixed.
"""

import json
import subprocess
import sys
from typing import Any


def totals_of(package: str) -> dict[str, Any]:
    """Return the coverage totals of the files below ``package``."""
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", f"--include={package}/*", "-o-"],
        check=True,
        stdout=subprocess.PIPE,
    )
    totals: dict[str, Any] = json.loads(report.stdout)["totals"]
    return totals


def share(covered: int, of: int) -> float:
    """Return ``covered`` of ``of`` in percent; of nothing, all is covered."""
    return 100.0 if of == 0 else 100.0 * covered / of


def main() -> int:
    """Print one line for each package; return 1 if one is below the floor."""
    floor, packages = float(sys.argv[1]), sys.argv[2:]
    low = False
    for package in packages:
        totals = totals_of(package)
        lines = share(totals["covered_lines"], totals["num_statements"])
        branches = share(totals["covered_branches"], totals["num_branches"])
        print(f"coverage of {package}: lines {lines:.1f} %, branches {branches:.1f} %")
        low = low or min(lines, branches) < floor
    if low:
        print(f"below {floor:g} %: 'coverage report -m' lists what no test reaches")
    return int(low)


if __name__ == "__main__":
    sys.exit(main())
