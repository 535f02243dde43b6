"""No server outlives the process that started it, whoever that is, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration.adapters.embedded import MARKER, EmbeddedServers
from tests.support.processes import process_scan, wait_for_no_process
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

HOLDER = Path(__file__).with_name("holder.py")
NOBODY, NAMELESS = 65534, 12345
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change users")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux'")


class Held:
    """A running holder and what it said about its stack."""

    def __init__(self, process: subprocess.Popen[str], marker: str) -> None:
        self.process = process
        self.marker = marker
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        self.facts: dict[str, Any] = json.loads(line)
        self.folder = Path(self.facts["folder"])

    def ends(self) -> int:
        """Wait for the holder to end, then for all of its stack."""
        code = self.process.wait(timeout=120)
        wait_for_no_process(self.marker, self.folder, timeout_s=120)
        return code


@pytest.fixture
def hold() -> Iterator[Callable[..., Held]]:
    """Start a holder: ``hold(ending, data_dir=…, uid=…)``."""
    held: list[Held] = []
    with contextlib.ExitStack() as closing:

        def start(ending: str, data_dir: Path | None = None, uid: int | None = None):
            marker = uuid.uuid4().hex
            process = subprocess.Popen(
                [python_for(uid), HOLDER, ending, *([data_dir] if data_dir else [])],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment() | {MARKER: marker},
                start_new_session=True,
                **({} if uid is None else identity(uid)),
            )
            closing.enter_context(process)
            closing.callback(kill_group, process.pid)
            held.append(Held(process, marker))
            return held[-1]

        yield start


def kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def identity(uid: int) -> dict[str, Any]:
    return {"user": uid, "group": uid, "extra_groups": []}


def environment() -> dict[str, str]:
    """Little enough for a stranger: no HOME, and modules from here."""
    modules = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": modules,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def python_for(uid: int | None) -> str:
    """Find a Python of this version that the user can run: ours may be in /root."""
    if uid is None:
        return sys.executable
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (
        sys.executable,
        f"/usr/bin/{version}",
        f"/usr/local/bin/{version}",
    ):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(
                [candidate, "-c", "import psycopg2"],
                check=True,
                capture_output=True,
                env=environment(),
                **identity(uid),
            )
            return candidate
    pytest.skip(f"no {version} that user {uid} may run, or packages closed to others")


@pytest.mark.parametrize(
    "uid",
    [
        pytest.param(None, id="whoever runs the tests"),
        pytest.param(NOBODY, id="nobody", marks=root_only),
        pytest.param(
            NAMELESS, id="a number without a name", marks=[root_only, linux_only]
        ),
    ],
)
def test_any_user_can_hold_a_stack(hold: Callable[..., Held], uid: int | None) -> None:
    users = Path("/etc/passwd").read_bytes()
    held = hold("return", uid=uid)
    assert held.facts["uid"] == (os.geteuid() if uid is None else uid)
    assert held.ends() == 0
    assert not held.folder.exists()
    assert Path("/etc/passwd").read_bytes() == users


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, -15), (signal.SIGHUP, -1), (signal.SIGKILL, -9)],
)
def test_nothing_is_left_after_signal(
    hold: Callable[..., Held], number: signal.Signals, code: int
) -> None:
    held = hold("wait")
    assert process_scan(held.marker, held.folder)
    held.process.send_signal(number)
    assert held.ends() == code
    assert not held.folder.exists()


def test_nothing_is_left_after_ctrl_c_of_a_terminal(hold: Callable[..., Held]) -> None:
    held = hold("wait")
    os.killpg(held.process.pid, signal.SIGINT)
    assert held.ends() == -signal.SIGINT
    assert not held.folder.exists()


def test_nothing_is_left_after_an_exception(hold: Callable[..., Held]) -> None:
    held = hold("raise")
    assert held.ends() == 1
    assert not held.folder.exists()


def test_nothing_is_left_though_a_fork_holds_the_pipe(
    hold: Callable[..., Held],
) -> None:
    held = hold("fork")
    held.process.kill()
    held.process.wait()
    wait_until(lambda: not held.folder.exists(), "the keeper to clean up")
    # Of all processes only the fork is left: it is the test's, not the stack's.
    wait_until(
        lambda: len(process_scan(held.marker, held.folder)) == 1,
        "only the fork to be left",
    )
    assert "holder.py" in process_scan(held.marker, held.folder)[0]


def test_nothing_is_left_of_workers_and_beat_after_kill_9(
    hold: Callable[..., Held],
) -> None:
    held = hold("work")
    running = process_scan(held.marker, held.folder)
    assert sum("celery" in line for line in running) == 4  # beat, worker, two children
    held.process.kill()
    assert held.ends() == -9
    assert not held.folder.exists()


@linux_only
def test_nothing_is_left_after_kill_9_of_keeper_and_maker(
    hold: Callable[..., Held],
) -> None:
    held = hold("wait")
    os.kill(held.facts["keeper"], signal.SIGSTOP)  # it cannot clean up
    held.process.kill()
    os.kill(held.facts["keeper"], signal.SIGKILL)
    held.process.wait()
    wait_until(
        lambda: (
            not [p for p in process_scan(held.marker, held.folder) if "sleep" not in p]
        ),
        "the servers to end with their keeper",
    )
    for line in process_scan(held.marker, held.folder):
        os.kill(int(line.split()[0]), signal.SIGKILL)  # the one that heeds no signal
    assert held.folder.exists()
    with EmbeddedServers(postgres=False, valkey=False):
        assert not held.folder.exists()


def test_kept_folder_can_be_taken_over_right_after_kill_9(
    hold: Callable[..., Held], open_folder: Path
) -> None:
    first = hold("wait", open_folder)
    first.process.kill()
    first.process.wait()
    second = hold("return", open_folder)
    assert second.facts["database_url"] == first.facts["database_url"]
    assert second.ends() == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that nobody may pass through, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name) / "data"
