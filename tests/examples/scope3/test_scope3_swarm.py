"""The example in small, on a real worker."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from examples.scope3.run import main

pytestmark = pytest.mark.integration

SMALL = (
    "--suppliers",
    "10000",
    "--partitions",
    "100",
    "--agents",
    "20",
    "--frames",
    "8",
)
LINES = r"""Swarm Results:
  Convergence: 100\.00%
  Fitness: \d\d\.\d\d%
  Iterations: \d+
  Duration: \d+ms
  Efficiency: \d+\.\d\d%

✓ [\d,]+\.\d+ t CO2e for [\d,]+\.\d\d euros spent with 10,000 suppliers: .*
✓ .*report\.html and the film beside it, .*
"""


def test_the_swarm_comes_to_the_total_of_plain_numpy(
    stack, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
):
    stack.env["SCOPE3_SUPPLIERS"] = "10000"
    stack.worker("-I", "examples.scope3.agents", "-c", "2")
    stack.chores()
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    assert main([*SMALL, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert re.fullmatch(LINES, said.out), said.out
    told = json.loads((tmp_path / "totals.json").read_text("utf-8"))
    assert told["agrees_with_plain_numpy"] is True
    assert told["suppliers"] == 10_000
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert (tmp_path / "swarm.gif").read_bytes().startswith(b"GIF8")
