"""A program that holds a stack and ends in the way it is told to, run by tests.

``holder.py ENDING [DATA_DIR]`` first prints one line of JSON about its stack. Endings:
``return``, ``raise``, ``wait`` (for a signal), ``fork`` (a child of it waits too, with
every file descriptor of this process), ``work`` (waits, with a Celery worker and beat).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import psycopg2

from orchestration.adapters.embedded import Command, EmbeddedServers

ROOT = Path(__file__).parents[2]


def main(ending: str, data_dir: str | None = None) -> None:
    with EmbeddedServers(data_dir) as servers:
        # A child that ends on no signal but kill -9, and has a child of its own.
        stubborn = "trap '' TERM INT; sleep 1000 & while :; do sleep 1000; done"
        servers.supervisor.start(
            Command(name="stubborn", argv=["/bin/sh", "-c", stubborn], grace_s=0.2)
        )
        psycopg2.connect(servers.database_url.replace("+psycopg2", "")).close()
        if ending == "fork" and os.fork() == 0:
            signal.alarm(280)
            signal.pause()
        if ending == "work":
            start_celery(servers, "worker", "-c", "2")
            start_celery(servers, "beat", "-s", f"{servers.supervisor.folder}/schedule")
        facts = {
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "folder": str(servers.supervisor.folder),
            "keeper": servers.supervisor.keeper_pid,
            "database_url": servers.database_url,
        }
        print(json.dumps(facts), flush=True)
        if ending == "raise":
            raise RuntimeError("the end that was asked for")
        if ending in {"wait", "fork", "work"}:
            signal.pause()


def start_celery(servers: EmbeddedServers, name: str, *words: str) -> None:
    celery = [sys.executable, "-m", "celery", "-A", "tests.support.small_app"]
    command = Command(
        name=name,
        argv=[*celery, name, "-l", "INFO", *words],
        env=servers.environment,
        cwd=ROOT,
    )
    servers.supervisor.start(command)
    ready = {"worker": " ready.", "beat": "Starting..."}[name]
    servers.supervisor.wait_for(name, ready)


if __name__ == "__main__":
    main(*sys.argv[1:])
