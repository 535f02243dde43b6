"""What importing the packages loads, and that importing them does nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("orchestration", "tasks", "eventstore")

LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({module.partition(".")[0] for module in sys.modules})))
"""

# Runs before anything else is imported; what it sees done, it prints and goes on.
WATCHED = """
import importlib, sys
WRITES = 0x1 | 0x2 | 0x40  # O_WRONLY, O_RDWR, O_CREAT
def watch(event, arguments):
    if event in {
        "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen",
        "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.mkdir", "os.remove",
    }:
        print(name, event, arguments)
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
        if arguments[0] != "/dev/null":
            print(name, event, arguments)
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def run(script: str, *arguments: str, folder: Path = ROOT) -> str:
    """Run ``script`` in a fresh interpreter that is told of no server."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, *arguments],
        cwd=folder,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> list[str]:
    """Name every module that is shipped and is no program."""
    files = [file for name in PACKAGES for file in (ROOT / name).rglob("*.py")]
    names = (
        file.relative_to(ROOT).with_suffix("").parts
        for file in [*files, ROOT / "beat_schedule.py"]
        if file.stem != "__main__"
    )
    return sorted(".".join(name).removesuffix(".__init__") for name in names)


@pytest.mark.parametrize(
    "name", ["orchestration.core", "orchestration.core.saga", "orchestration.contracts"]
)
def test_core_and_contracts_load_no_driver(name):
    loaded = set(json.loads(run(LOADED, name)))
    assert loaded.isdisjoint(
        {"celery", "kombu", "redis", "sqlalchemy", "psycopg2", "prometheus_client"}
    )


def test_event_store_loads_nothing_of_the_rest():
    loaded = set(json.loads(run(LOADED, "eventstore")))
    assert loaded.isdisjoint({"orchestration", "tasks", "celery", "kombu", "redis"})


def test_importing_does_nothing_and_needs_no_environment():
    assert run(WATCHED, *modules()) == ""


def test_the_watch_sees_a_file_written_and_a_connection_made(tmp_path):
    (tmp_path / "busy.py").write_text(
        "import contextlib, socket\n"
        "open('left.txt', 'w').close()\n"
        "with contextlib.suppress(OSError), socket.socket() as client:\n"
        "    client.connect(('127.0.0.1', 9))\n"
    )
    seen = run(WATCHED, "busy", folder=tmp_path)
    assert "left.txt" in seen
    assert "socket.connect" in seen


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()
