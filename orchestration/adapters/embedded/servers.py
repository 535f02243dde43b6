"""How one Postgres and one Valkey are set up, started, asked and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from orchestration.adapters.embedded.identity import named_identity
from orchestration.adapters.embedded.supervisor import Command, RunAs, Supervisor
from orchestration.errors import (
    EmbeddedServerError,
)

_START_S = 60.0
_POLL_S = 0.01
_RETRIES = 30
_RETRY_S = 0.1


class Server(ABC):
    """What both share: a folder of their user, a password, a port, start and stop."""

    name: ClassVar[str]
    stop_signals: ClassVar[dict[str, signal.Signals]]

    def __init__(self, supervisor: Supervisor, run_as: RunAs, program: Path) -> None:
        self._supervisor = supervisor
        self._run_as = run_as
        self._program = program
        self._folder = supervisor.folder / self.name
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._give(self._folder)
        self._kept = supervisor.folder / f"{self.name}.json"
        self._password, self._port = secrets.token_urlsafe(24), 0
        with contextlib.suppress(FileNotFoundError):
            kept = json.loads(self._kept.read_text())
            self._password, self._port = kept["password"], kept["port"]

    def start(self) -> None:
        """Start on the port of last time if it is free, else on another, and wait.

        Raises:
            EmbeddedServerError: It ended or did not answer; with the end of its log.
        """
        for _ in range(_RETRIES):
            if not _is_free(self._port):
                self._port = _free_port()
            if self._try_start():
                self._keep()
                return
            time.sleep(_RETRY_S)
        raise self._failure(f"port after port was taken, the last one {self._port}")

    def restart(self, mode: str) -> None:
        """Stop as ``mode`` says and start on the same port."""
        if mode not in self.stop_signals:
            known = ", ".join(self.stop_signals)
            raise EmbeddedServerError(
                f"{self.name} cannot be stopped by mode {mode!r}: choose one of {known}"
            )
        self._supervisor.stop(self.name, with_signal=self.stop_signals[mode])
        for _ in range(_RETRIES):
            if self._try_start():
                return
            time.sleep(_RETRY_S)
        raise self._failure(f"port {self._port} was taken meanwhile")

    @abstractmethod
    def _command(self) -> Command: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _try_start(self) -> bool:
        """Start and wait; False if the port, or memory of a killed run, is in use."""
        self._supervisor.start(self._command())
        deadline = time.monotonic() + _START_S
        while not self._answers():
            code = self._supervisor.ended().get(self.name)
            if code is not None:
                self._supervisor.stop(self.name)
                if "in use" in self._supervisor.log_text(self.name):
                    return False
                raise self._failure(f"it ended with code {code}")
            if time.monotonic() > deadline:
                self._supervisor.stop(self.name, with_signal=signal.SIGKILL)
                raise self._failure(f"it did not answer within {_START_S:.0f} s")
            time.sleep(_POLL_S)
        return True

    def _failure(self, why: str, log_name: str | None = None) -> EmbeddedServerError:
        tail = self._supervisor.log_tail(log_name or self.name)
        return EmbeddedServerError(
            f"{self.name} did not start in {self._folder}: {why}. Its log ends:\n{tail}"
        )

    def _give(self, path: Path) -> None:
        """Hand a file of ours to the user that the server runs as."""
        if self._run_as.uid is not None and self._run_as.gid is not None:
            os.chown(path, self._run_as.uid, self._run_as.gid)

    def _keep(self) -> None:
        """Remember password and port for the next start in this folder."""
        known = {"password": self._password, "port": self._port}
        self._write(self._kept, json.dumps(known))

    def _write(self, path: Path, text: str) -> None:
        """Write a file that only its owner reads: passwords are in it."""
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(text)


class Postgres(Server):
    """A Postgres with passwords (SCRAM) and no socket but 127.0.0.1."""

    name = "postgres"
    stop_signals: ClassVar = {
        "fast": signal.SIGINT,
        "immediate": signal.SIGQUIT,
        "kill": signal.SIGKILL,
    }

    def __init__(
        self, supervisor: Supervisor, run_as: RunAs, program: Path, *, durable: bool
    ) -> None:
        super().__init__(supervisor, run_as, program)
        self._durable = durable
        self._data = self._folder / "data"
        if not self._data.exists():
            self._create()

    @property
    def url(self) -> str:
        """Address for SQLAlchemy."""
        return (
            f"postgresql+psycopg2://postgres:{self._password}"
            f"@127.0.0.1:{self._port}/postgres"
        )

    def _create(self) -> None:
        # Renamed when complete: a start that is cut short leaves no half cluster.
        new = self._folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        secret = self._folder / "password"
        self._write(secret, self._password)
        self._give(secret)
        options = [f"--pgdata={new}", f"--pwfile={secret}", "--username=postgres"]
        options += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._supervisor.temporary or not self._durable:
            options += ["--no-sync"]
        command = replace(
            self._command(),
            name="initdb",
            argv=[self._program.with_name("initdb"), *options],
            run_as=named_identity(self._run_as),
        )
        code = self._supervisor.run(command)
        secret.unlink()
        if code != 0:
            raise self._failure(f"initdb ended with code {code}", "initdb")
        new.rename(self._data)
        # The password belongs to the cluster from now on, whatever comes next.
        self._keep()

    def _command(self) -> Command:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "200",
            # Files of the data folder, so that no kill leaves a piece in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
        }
        if not self._durable:
            # Still written at commit, to the system: a kill of Postgres loses nothing.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [
            word for key, value in settings.items() for word in ("-c", f"{key}={value}")
        ]
        return Command(
            name=self.name,
            argv=[self._program, "-D", self._data, *options],
            env=_plain_environment(),
            bare_env=True,
            stage=0,
            stop_signal=signal.SIGINT,
            grace_s=30.0,
            run_as=self._run_as,
        )

    def _answers(self) -> bool:
        # The file may be of a run that was killed: compare the pid.
        with contextlib.suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            pid = str(self._supervisor.pid_of(self.name))
            return lines[:1] == [pid] and lines[7:8] == ["ready   "]
        return False


class Valkey(Server):
    """A Valkey with a password; its data is kept only where the folder is."""

    name = "valkey"
    stop_signals: ClassVar = {"fast": signal.SIGTERM, "kill": signal.SIGKILL}

    def url(self, database: int) -> str:
        """Address of one of the 16 databases."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/{database}"

    def _command(self) -> Command:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "requirepass": self._password,
            "dir": f'"{self._folder}"',
            # A broker that evicts loses messages.
            "maxmemory-policy": "noeviction",
            "appendonly": "no" if self._supervisor.temporary else "yes",
            "save": '""',
        }
        # A file and not arguments: those are for everyone to read.
        file = self._folder / "valkey.conf"
        self._write(
            file, "".join(f"{key} {value}\n" for key, value in settings.items())
        )
        self._give(file)
        return Command(
            name=self.name,
            argv=[self._program, file],
            env=_plain_environment(),
            bare_env=True,
            stage=0,
            run_as=self._run_as,
        )

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port), timeout=1.0) as link,
        ):
            link.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2:  # noqa: PLR2004 - two commands were sent
                chunk = link.recv(1024)
                if not chunk:
                    return False
                reply += chunk
            return reply == b"+OK\r\n+PONG\r\n"
        return False


def _plain_environment() -> dict[str, str]:
    """Return what a server needs: the caller's secrets and PG… settings are no part."""
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C"}


def _is_free(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
