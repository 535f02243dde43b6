"""``up`` and ``demo`` as a person runs them: to their end, or to Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestration.adapters.embedded import MARKER
from tests.cli.conftest import ROOT, environment, orchestration
from tests.support.processes import wait_for_no_process
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


class Running:
    """A command that runs, and what it has said so far."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.marker = uuid.uuid4().hex
        self.folder = folder
        self.log = folder / "said"
        given = {MARKER: self.marker, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
        self.environment = environment(given)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                orchestration(*words),
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None, self.said
            return words in self.said

        wait_until(there, f"{words!r} in:\n{self.said}", timeout_s=280)

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(180)

    def children(self) -> list[psutil.Process]:
        """Every process of the stack."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def expect_nothing_left(self) -> None:
        wait_for_no_process(self.marker, self.folder, timeout_s=120)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def run(*words: str) -> Running:
        started.append(Running(tmp_path, *words))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.expect_nothing_left()


def test_up_hosts_agents_and_tells_another_terminal_where(start):
    stack = start("up", "-I", "tests.support.effects_agents", "--no-flower")
    stack.wait_for("Ctrl-C stops everything")
    script = 'eval "$({0} env)" && {0} agents && {0} doctor'

    def told() -> str:
        return subprocess.run(
            ["sh", "-c", script.format(f"{sys.executable} -m orchestration")],
            cwd=stack.folder,
            env=stack.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        ).stdout

    assert "agent-effects" in told()
    wait_until(lambda: "0 wrong" in told(), "the doctor finds nothing wrong")
    assert stack.stop(signal.SIGINT) == 0
    stack.expect_nothing_left()
    assert not list(stack.folder.glob("orchestration-*/*.json"))


def test_up_starts_a_killed_worker_again_and_says_so(start):
    stack = start("up", "--no-flower")
    stack.wait_for("Ctrl-C stops everything")
    [worker] = [
        one
        for one in stack.children()
        if "worker@%h" in one.cmdline() and "worker@%h" not in one.parent().cmdline()
    ]
    worker.kill()
    stack.wait_for("worker was killed by signal 9")
    stack.wait_for("worker is starting again")
    assert stack.stop(signal.SIGTERM) == 0
    stack.expect_nothing_left()


def test_up_ends_with_a_reason_when_its_database_dies(start):
    stack = start("up", "--no-flower")
    stack.wait_for("Ctrl-C stops everything")
    [postgres] = [one for one in stack.children() if "-D" in one.cmdline()]
    postgres.kill()
    assert stack.process.wait(180) == 2
    assert "postgres was killed by signal 9, and nothing works without it" in stack.said
    stack.expect_nothing_left()


def test_demo_completes_undoes_survives_a_kill_and_verifies(start):
    demo = start("demo", "--keep", "kept")
    assert demo.process.wait(600) == 0, demo.said
    demo.expect_nothing_left()
    said = demo.said
    assert said.count("COMPLETED after") == 2
    assert said.count("COMPENSATED after") == 1
    assert said.count("4 of 30 data points, 3 in part") == 3
    assert "kill -9" in said
    assert "attempt 2, with the same idempotency key" in said
    assert re.search(r"\d+ events in \d+ streams: nothing was changed", said)
    for name in ("report.html", "instance.xbrl"):
        [path] = re.findall(rf"\S+{re.escape(name)}", said)
        assert (demo.folder / path).stat().st_size > 1_000


@pytest.mark.parametrize("words", ["starting workers", "kill -9"])
def test_demo_that_is_stopped_leaves_nothing_running(start, words):
    demo = start("demo")
    if words == "kill -9":
        demo.wait_for(words)
    else:
        wait_until(lambda: len(demo.children()) > 3, "servers have begun to start")
    assert demo.stop(signal.SIGINT) == 130
    assert "nothing is left running" in demo.said
    demo.expect_nothing_left()


def test_demo_without_the_example_says_where_it_is(tmp_path):
    given = environment({"PATH": os.environ["PATH"]})
    hidden = (
        "import sys; sys.modules['examples'] = None\n"
        "from orchestration.cli import main\nmain(['demo'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden],
        cwd=tmp_path,
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "make demo" in done.stderr
    assert ROOT.name not in done.stdout
