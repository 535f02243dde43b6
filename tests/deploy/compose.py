"""docker-compose.yml as data, and its services as processes of this machine."""

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, one in SERVICES.items() if one.get("build") == ".")
READY_S = 180.0


def seconds(duration: str) -> float:
    """Return compose's ``30s`` as a number."""
    assert duration.endswith("s")
    return float(duration.removesuffix("s"))


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass(slots=True)
class Here:
    """Where a service runs in a test: what a container has under fixed names.

    Attributes:
        folder: Stands for ``/tmp``, holds logs, and ``data`` for ``/data``.
        secrets: Stands for ``/run/secrets``.
        port: Stands for 5555.
    """

    folder: Path
    secrets: Path
    port: int = field(default_factory=free_port)

    def translate(self, word: str) -> str:
        """Return a word of the compose file with this place's names in it."""
        names = {
            "/run/secrets": str(self.secrets),
            "/tmp": str(self.folder),
            "/data": str(self.folder / "data"),
            "0.0.0.0": "127.0.0.1",
            "5555": str(self.port),
        }
        pattern = "|".join(map(re.escape, names))
        return re.sub(rf"({pattern})(?!\w)", lambda found: names[found[0]], word)

    def environment(self, service: str) -> dict[str, str]:
        """Return all that the service's process is told, and nothing else."""
        told = SERVICES[service].get("environment", {})
        programs = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": programs} | {
            key: self.translate(value) for key, value in told.items()
        }

    def run(self, service: str) -> subprocess.CompletedProcess[str]:
        """Run a service's command to its end."""
        return self._run(service, SERVICES[service]["command"])

    def is_healthy(self, service: str) -> bool:
        """Tell what the service's health check says now."""
        kind, *command = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        return self._run(service, command).returncode == 0

    def _run(
        self, service: str, command: list[str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.translate(word) for word in command],
            cwd=ROOT,
            env=self.environment(service),
            capture_output=True,
            text=True,
            check=False,
            timeout=READY_S,
        )

    @contextmanager
    def running(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a service; yield when it is healthy; kill what is left of it."""
        log = self.folder / f"{service}.log"
        command = [self.translate(word) for word in SERVICES[service]["command"]]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(service),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + READY_S
            while not self.is_healthy(service):
                said = f"{shlex.join(command)}\n{log.read_text()}"
                assert process.poll() is None, f"ended at its start: {said}"
                assert time.monotonic() < deadline, f"not healthy: {said}"
            yield process
        finally:
            process.kill()
            process.wait()
