"""Settings: read once, with one sentence for each fault."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import ConfigurationError
from orchestration.settings import Settings

GIVEN = {
    "DATABASE_URL": "postgresql://user:secret@db/app",
    "REDIS_URL": "redis://cache:6379/0",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Only what the test itself sets, on top of two URLs."""
    prefixes = ("ORCHESTRATION_", "DATABASE_URL", "REDIS_URL", "CELERY_", "KAFKA_")
    for name in [*os.environ]:
        if name.startswith((*prefixes, "ENABLE_")):
            monkeypatch.delenv(name)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def fault(environment: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env()
    return str(caught.value)


def test_redis_is_the_broker_unless_another_is_named(
    environment: pytest.MonkeyPatch,
) -> None:
    assert Settings.from_env().broker_url == GIVEN["REDIS_URL"]
    environment.setenv("CELERY_BROKER_URL", "amqp://guest@mq//")
    assert Settings.from_env().broker_url == "amqp://guest@mq//"
    assert Settings.from_env().redis_url == GIVEN["REDIS_URL"]


def test_a_broker_that_is_redis_is_the_hot_state_too(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.delenv("REDIS_URL")
    environment.setenv("CELERY_BROKER_URL", "rediss://cache/1")
    assert Settings.from_env().redis_url == "rediss://cache/1"


def test_the_database_is_spoken_to_by_the_driver_that_is_installed() -> None:
    url = Settings.from_env().database_url
    assert url == "postgresql+psycopg2://user:secret@db/app"
    assert Settings.from_env(DATABASE_URL=url).database_url == url


def test_settings_have_these_defaults() -> None:
    settings = Settings.from_env()
    assert (settings.lease_s, settings.max_payload_bytes) == (15.0, 262_144)
    assert (settings.max_swarm_agents, settings.max_agents) == (1_000, 10_000)


def test_arguments_go_before_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ORCHESTRATION_LEASE_S", "5")
    assert Settings.from_env().lease_s == 5
    assert Settings.from_env(lease_s=7).lease_s == 7


def test_a_missing_database_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DATABASE_URL")
    assert fault(environment).startswith("DATABASE_URL is not set: give it in the")


def test_a_missing_broker_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("REDIS_URL")
    assert "REDIS_URL is not set: use redis://" in fault(environment)
    text = fault(environment, CELERY_BROKER_URL="amqp://mq")
    assert text.startswith("REDIS_URL is not set")


@pytest.mark.parametrize("url", ["mysql://db", "postgres://db", "db", ""])
def test_another_database_is_refused_without_showing_the_secret(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    text = fault(environment, DATABASE_URL=url)
    assert text == "DATABASE_URL is (hidden): use a URL that begins with postgresql://"


@pytest.mark.parametrize(
    "url", ["hooks.example/secret", "ftp://h/x", "https://", "https://h:secret/", "//h"]
)
def test_another_webhook_is_refused_without_showing_the_secret(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    text = fault(environment, ORCHESTRATION_FAILURE_WEBHOOK=url)
    way_out = "use a URL like https://host/path"
    assert text == f"ORCHESTRATION_FAILURE_WEBHOOK is (hidden): {way_out}"


def test_a_webhook_may_be_kept_in_a_secrets_file(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "webhook"
    secret.write_text("https://user:password@hooks.example/x\n")
    environment.setenv("ORCHESTRATION_FAILURE_WEBHOOK_FILE", str(secret))
    assert Settings.from_env().failure_webhook.endswith("@hooks.example/x")
    given = Settings.from_env(failure_webhook="http://127.0.0.1:8080")
    assert given.failure_webhook == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("variable", "value", "way_out"),
    [
        ("ORCHESTRATION_LEASE_S", "0", "greater than 0"),
        ("ORCHESTRATION_LEASE_S", "soon", "valid number"),
        ("ORCHESTRATION_DB_POOL_SIZE", "-1", "greater than 0"),
        ("ORCHESTRATION_MAX_PAYLOAD_BYTES", "1.5", "valid integer"),
        ("ORCHESTRATION_MAX_AGENTS", "many", "valid integer"),
        ("ENABLE_EVENT_SOURCING", "maybe", "valid boolean"),
    ],
)
def test_a_fault_names_variable_value_and_way_out(
    environment: pytest.MonkeyPatch, variable: str, value: str, way_out: str
) -> None:
    text = fault(environment, **{variable: value})
    assert text.startswith(f"{variable} is {value!r}: ")
    assert way_out in text


def test_every_fault_has_a_sentence_of_its_own(
    environment: pytest.MonkeyPatch,
) -> None:
    text = fault(environment, ORCHESTRATION_LEASE_S="0", ORCHESTRATION_MAX_AGENTS="x")
    assert len(text.split("; ")) == 2


@pytest.mark.parametrize("off", ["false", "0", "no"])
def test_event_sourcing_cannot_be_switched_off(
    environment: pytest.MonkeyPatch, off: str
) -> None:
    text = fault(environment, ENABLE_EVENT_SOURCING=off)
    assert text.startswith("ENABLE_EVENT_SOURCING is ")
    assert text.endswith("they cannot be switched off: remove the variable")


def test_event_sourcing_may_be_said_to_be_on(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ENABLE_EVENT_SOURCING", "true")
    assert Settings.from_env().enable_event_sourcing


def test_a_url_may_be_kept_in_a_secrets_file(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "database"
    secret.write_text("postgresql://from/file\n")
    environment.delenv("DATABASE_URL")
    environment.setenv("DATABASE_URL_FILE", str(secret))
    assert Settings.from_env().database_url == "postgresql+psycopg2://from/file"
    environment.setenv("DATABASE_URL", "postgresql://from/variable")
    assert Settings.from_env().database_url == "postgresql+psycopg2://from/variable"


def test_a_secrets_file_that_cannot_be_read_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "absent")
    text = fault(environment, REDIS_URL_FILE=path)
    assert text.startswith(f"REDIS_URL_FILE is {path!r}, which cannot be read")
    assert text.endswith("name a readable file")


def test_kafka_s_address_is_warned_about(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    with pytest.warns(UserWarning, match=r"KAFKA_BOOTSTRAP_SERVERS.*CELERY_BROKER_U"):
        Settings.from_env()
