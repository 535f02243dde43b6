"""Commands as processes that need not import first: forks of one that has.

Each has an environment, a working directory, files and an exit code of its own, and
ends as any interpreter does; but what takes a second of a processor, the imports, is
there when it begins. Run as a script, this is the process that is forked.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 180
# What commands import when they begin, beside what all of orchestration.cli does.
NEEDED = (
    "orchestration.message_bus",
    "orchestration.saga",
    "orchestration.agent_registry",
    "orchestration.routing",
    "sqlalchemy.dialects.postgresql.psycopg2",
)


class Commands:
    """Runs ``orchestration …``, one after the other."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._folder = TemporaryDirectory(prefix="commands-")
        self._forked = subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, words: list[str], env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; one that takes three minutes is killed."""
        out, err = (Path(self._folder.name) / name for name in ("out", "err"))
        asked = {"words": words, "env": dict(env), "out": str(out), "err": str(err)}
        assert self._forked.stdin is not None
        assert self._forked.stdout is not None
        self._forked.stdin.write(json.dumps(asked) + "\n")
        self._forked.stdin.flush()
        code = int(self._forked.stdout.readline())
        return subprocess.CompletedProcess(
            words, code, out.read_text("utf-8"), err.read_text("utf-8")
        )

    def close(self) -> None:
        self._forked.communicate()
        self._folder.cleanup()


def serve() -> None:
    """Fork for each line of JSON on stdin, and answer with the exit code."""
    import orchestration.cli

    for module in pkgutil.iter_modules(orchestration.cli.__path__):
        importlib.import_module(f"orchestration.cli.{module.name}")
    for name in NEEDED:
        importlib.import_module(name)
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(asked: Mapping[str, Any]) -> None:
    """Turn this process into the command, as ``python -m orchestration`` would."""
    for number, path in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
        flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if number else 0)
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(asked["env"])
    signal.alarm(TIMEOUT_S)
    sys.argv = ["orchestration", *asked["words"]]
    runpy.run_module("orchestration", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve()
