"""The README's tour does what it says, with the files as they stand there."""

import os
import re
import subprocess
import sys

import pytest

from tests.deploy.compose import ROOT

pytestmark = pytest.mark.integration
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def order(tmp_path, stack):
    """Start the README's agents; return a function that runs its script."""
    agents, script = BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    (tmp_path / "shop.py").write_text(agents)
    (tmp_path / "order.py").write_text(script)
    stack.env["PYTHONPATH"] = str(tmp_path)
    stack.worker("-I", "shop", "-c", "1")
    stack.chores()
    stack.beat()

    def run(euros: int) -> str:
        done = subprocess.run(
            [sys.executable, "order.py", str(euros)],
            cwd=tmp_path,
            env={"PATH": os.defpath, **stack.env},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def test_the_order_is_paid_or_what_was_done_is_undone(order):
    assert "'payment'" in order(30)
    refused = order(300)
    assert "card declined" in refused
    assert "undone: ('reserve',)" in refused
