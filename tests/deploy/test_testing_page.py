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
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
SHOWN = re.compile(r"^```\n(\d+ scenarios .*?)…\n```$", re.MULTILINE | re.DOTALL)
ON_WORKERS = "test_on_workers.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files; blocks of one name are parts of one file."""
    files: dict[str, str] = defaultdict(str)
    for name, code in BLOCK.findall(PAGE):
        files[name] += code
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def said(folder: Path, *words: str, env: Mapping[str, str], code: int = 0) -> str:
    """Run pytest in that folder and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *words],
        cwd=folder,
        env={"PATH": os.defpath, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_what_needs_no_servers_passes(folder: Path) -> None:
    assert "26 passed" in said(folder, f"--ignore={ON_WORKERS}", env={})


def test_what_a_broken_undo_is_told_of_stands_there(folder: Path) -> None:
    shop, refund = folder / "shop.py", 'sql("DELETE FROM charged'
    assert refund in shop.read_text()
    shop.write_text(shop.read_text().replace(refund, 'print("DELETE FROM charged'))
    shown = said(folder, "test_rollback.py", env={}, code=1)
    [told] = re.findall(
        r"^```\n(\d+ scenarios .*?)…\n```$", PAGE, re.MULTILINE | re.DOTALL
    )
    missing = [line for line in told.splitlines() if line.strip() not in shown]
    assert missing == []


@pytest.mark.integration
@pytest.mark.slow
def test_what_runs_on_workers_passes(folder: Path, stack: Stack) -> None:
    stack.env |= {
        "PYTHONPATH": str(folder),
        "SHOP": str(folder / "shop.db"),
        # Nobody but who is killed or frozen is taken for lost.
        "ORCHESTRATION_LEASE_S": "5",
    }
    stack.worker("-I", "shop,orchestration.testing.worker", "-c", "4")
    stack.chores()
    stack.beat()
    assert "1 passed" in said(folder, ON_WORKERS, env=stack.env)
