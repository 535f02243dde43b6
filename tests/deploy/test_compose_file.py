"""What docker-compose.yml, the image and the secrets promise on paper."""

import re
import stat
import subprocess

import pytest
from kombu.utils.url import parse_url
from sqlalchemy import make_url

from tests.deploy.compose import COMPOSE, OURS, ROOT, SERVICES

ONE_SHOT = {"migrate"}


@pytest.fixture
def secrets(tmp_path):
    """Write the secrets as the compose file's first line tells people to."""
    folder = tmp_path / "secrets"
    subprocess.run(
        [ROOT / "deploy" / "make-secrets", folder], check=True, capture_output=True
    )
    return folder


def test_all_parts_of_the_stack_are_there():
    assert set(SERVICES) == {
        "postgres",
        "redis",
        "migrate",
        "worker",
        "chores",
        "beat",
        "flower",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_a_health_check_unless_it_ends_by_itself(name):
    assert ("healthcheck" in SERVICES[name]) is (name not in ONE_SHOT)


@pytest.mark.parametrize("name", SERVICES)
def test_service_runs_without_rights(name):
    service = SERVICES[name]
    assert service["user"] in {"10001:10001", "postgres", "valkey"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_cannot_write_to_their_image(name):
    assert SERVICES[name]["read_only"] is True


def test_only_this_machine_reaches_what_is_published():
    published = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_servers_are_on_a_network_without_a_way_out():
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"]
    assert SERVICES["redis"]["networks"] == ["inside"]


@pytest.mark.parametrize("name", SERVICES)
def test_addresses_and_passwords_come_from_files(name):
    told = SERVICES[name].get("environment", {})
    sensitive = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|URL|AUTH")
    for variable, value in told.items():
        if sensitive.search(variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in SERVICES[name]["secrets"]


def test_every_secret_is_written_by_make_secrets(secrets):
    wanted = {entry["file"] for entry in COMPOSE["secrets"].values()}
    assert wanted == {f"deploy/secrets/{file.name}" for file in secrets.iterdir()}


def test_only_their_owner_gets_at_the_secrets(secrets):
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_make_secrets_leaves_existing_ones_alone(secrets):
    before = (secrets / "redis_url").read_text()
    again = subprocess.run(
        [ROOT / "deploy" / "make-secrets", secrets], check=False, capture_output=True
    )
    assert again.returncode == 1
    assert (secrets / "redis_url").read_text() == before


def test_secret_addresses_agree_with_the_servers(secrets):
    database = make_url((secrets / "database_url").read_text())
    told = SERVICES["postgres"]["environment"]
    assert (database.host, database.username, database.database) == (
        "postgres",
        told["POSTGRES_USER"],
        told["POSTGRES_DB"],
    )
    assert database.password == (secrets / "postgres_password").read_text()
    redis = parse_url((secrets / "redis_url").read_text())
    assert (redis["hostname"], redis["port"]) == ("redis", 6379)
    assert f">{redis['password']} " in (secrets / "redis_acl").read_text()


def test_git_never_sees_the_secrets():
    assert "secrets/" in (ROOT / "deploy" / ".gitignore").read_text().split()


def test_image_is_built_from_files_that_exist_and_are_sent():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    sources = {source for line in copies for source in line.split()}
    sent = (ROOT / ".dockerignore").read_text().split()
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source.removeprefix('./')}" in sent


def test_image_runs_as_a_plain_user():
    users = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["10001:10001"]
