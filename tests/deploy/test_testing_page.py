"""The tests in the chapter on testing pass, with the files as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.deploy.compose import ROOT
from tests.support.stack import Stack

BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ON_WORKERS = "test_on_workers.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files; blocks of one name are parts of one file."""
    files: dict[str, str] = defaultdict(str)
    for name, code in BLOCK.findall((ROOT / "docs" / "testing.md").read_text("utf-8")):
        files[name] += code
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def outcome(folder: Path, *words: str, env: Mapping[str, str]) -> str:
    """Run pytest in that folder and return its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *words],
        cwd=folder,
        env={"PATH": os.defpath, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_what_needs_no_servers_passes(folder: Path) -> None:
    assert "25 passed" in outcome(folder, f"--ignore={ON_WORKERS}", env={})


@pytest.mark.integration
def test_what_runs_on_workers_passes(folder: Path, stack: Stack) -> None:
    stack.env |= {
        "PYTHONPATH": str(folder),
        "SHOP": str(folder / "shop.db"),
        "ORCHESTRATION_LEASE_S": "2",
    }
    stack.worker("-I", "shop,orchestration.testing.worker", "-c", "4")
    stack.chores()
    stack.beat()
    assert "1 passed" in outcome(folder, ON_WORKERS, env=stack.env)
