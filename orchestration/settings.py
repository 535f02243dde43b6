"""Every setting, with its unit in its name; read when a process starts, once."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from orchestration.errors import ConfigurationError

__all__ = ["Settings"]

_URLS = {
    "database_url": "DATABASE_URL",
    "broker_url": "CELERY_BROKER_URL",
    "redis_url": "REDIS_URL",
    "failure_webhook": "ORCHESTRATION_FAILURE_WEBHOOK",
    "registry_secrets": "ORCHESTRATION_REGISTRY_SECRETS",
    "peers": "ORCHESTRATION_PEERS",
}


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads ``DATABASE_URL_FILE`` and its like: a URL kept in a secret's file."""

    def get_field_value(
        self, field: FieldInfo, field_name: str
    ) -> tuple[Any, str, bool]:
        """Return the content of the field's file, if its variable is set."""
        del field
        variable = f"{_URLS.get(field_name, '')}_FILE"
        path = os.environ.get(variable)
        if field_name not in _URLS or not path:
            return None, field_name, False
        try:
            return Path(path).read_text().strip(), field_name, False
        except OSError as exc:
            raise ConfigurationError(
                f"{variable} is {path!r}, which cannot be read ({exc.strerror}): "
                "name a readable file"
            ) from exc

    def __call__(self) -> dict[str, Any]:
        """Return the URLs that files give."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {_URLS[name]: value for name, value in found.items() if value}


class Settings(BaseSettings):
    """Settings of every process; each is an environment variable of its name.

    The three URLs are ``DATABASE_URL``, ``CELERY_BROKER_URL`` and ``REDIS_URL``; the
    rest begins with ``ORCHESTRATION_``. These three, the webhook and the registry's
    secrets and the peers may be files, named by the variable with ``_FILE`` behind.

    Attributes:
        database_url: Postgres: events and side tables.
        broker_url: Redis or RabbitMQ; default: ``redis_url``.
        redis_url: Hot state and push; default: ``broker_url`` if that is Redis.
        key_prefix: Before every Redis key and channel, to share one server.
        lease_s: How long a claim outlives its worker, seconds.
        max_payload_bytes: Limit of one message's, one saga's input's or one output's
            size, bytes; an event, which holds it, may have 1 MiB.
        announce_interval_s: How often a worker says what it hosts, seconds.
        db_pool_size: Connections that one process keeps.
        max_open_sagas: How many sagas may be open at once; a start beyond it is
            refused.
        saga_retention_days: After how many days a finished saga leaves the lists; its
            events stay.
        dead_message_retention_days: After how many days a message that could not be
            delivered is forgotten, settled or not; its events stay.
        letter_retry_s: After which wait a failed undo is tried again, seconds;
            doubled each time, at most a day.
        letter_max_tries: How often that is done before it is left to a person.
        failure_task: Name of the Celery task that is sent word of each saga that
            needs a person.
        failure_webhook: URL to which the same is posted as JSON; a user and a
            password in it are sent as basic authentication.
        templates_dir: The folder of saga templates.
        routes_file: A TOML or JSON file of routing rules and static routes, which
            routers begin with; empty: none.
        location: Region or cluster that this process runs in, for routing rules that
            ask for the nearest agents.
        route_record_rate: Share of routing decisions that are recorded as events, 0.0
            to 1.0.
        route_rate_per_s: How many messages a router sends to one agent, per second;
            0: no limit.
        route_rate_burst: How many of these at once, after a pause.
        route_max_attempts: At how many agents a router tries a request.
        route_cache_ttl_s: How long a router goes by a set of candidates, seconds.
        route_affinity_idle_s: How long a conversation that is silent stays with its
            agent, seconds.
        route_slow_start_s: How long an agent that is new, or back after failures,
            gets less than its share, seconds.
        route_ejection_failures: So many failures in a row eject an agent.
        route_ejection_s: For how long the first time, seconds.
        route_max_ejected_share: The share of candidates that may be ejected at once.
        route_retry_share: Of a router's requests, how many may be sent once more.
        max_swarm_agents: How many agents one swarm may have.
        swarm_still_s: After how long without a move a swarm is sent again, seconds.
        swarm_snapshot_s: How often the state of a swarm that moves is kept in Postgres,
            seconds; so much work is done again when Redis was lost.
        field_tick_s: How long a tick lasts in which a hundredth of what runs have
            learned of their work evaporates, seconds.
        max_agents: How many agents may be registered at once.
        registry_secrets: What registration tokens are signed with, separated by
            commas; the first is the newest. Empty: nobody needs a token.
        region: What this region is called; empty: there are no others.
        peers: Other regions, ``name=URL`` of their databases, separated by spaces.
        peer_timeout_s: How long one of them is waited for at once, seconds.
        peer_stale_s: Silence of a region after which its agents are DEGRADED at best,
            seconds.
        peer_lost_s: Silence after which they are INACTIVE, seconds.
        heartbeat_interval_s: How often workers send heartbeats of the agents that they
            host, seconds.
        late_intervals: More intervals of silence make an agent DEGRADED.
        inactive_intervals: Intervals of silence that make it INACTIVE.
        decommission_after_s: Silence that deregisters it, seconds.
        decommission_intervals: Intervals that it has for that, should they be longer.
        late_factor: What is left of the health of one that is late.
        slow_ms: Response time up to which speed costs no health, milliseconds.
        busy_cpu: Cpu usage up to which room costs no health.
        active_health: Health below which an agent is DEGRADED.
        sla_factor: What is left of an agent's health by each promise that it breaks.
        sla_misses: Times in a row that a promise is missed until it is broken.
        sla_meets: Times in a row that it is met until it is kept again.
        sla_margin: Share by which it must be met for that.
        sla_half_life_s: After which time availability weighs half, seconds.
        sla_least_watched_s: For how long an agent is watched before its availability
            is judged, seconds.
        protect_share: Share of agents whose silence at once is not believed.
        protect_least: As long as fewer are silent, they are believed.
        protect_hold_s: How long silence is not believed at most, seconds.
    """

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATION_", extra="ignore", populate_by_name=True
    )

    database_url: str = Field(validation_alias="DATABASE_URL")
    broker_url: str = Field(default="", validation_alias="CELERY_BROKER_URL")
    redis_url: str = Field(default="", validation_alias="REDIS_URL")
    key_prefix: str = ""
    lease_s: float = Field(default=15.0, gt=0)
    max_payload_bytes: int = Field(default=262_144, gt=0, le=1_000_000)
    announce_interval_s: float = Field(default=10.0, gt=0)
    db_pool_size: int = Field(default=4, gt=0)
    max_open_sagas: int = Field(default=100_000, gt=0)
    saga_retention_days: float = Field(default=90.0, gt=0)
    dead_message_retention_days: float = Field(default=30.0, gt=0)
    letter_retry_s: float = Field(default=300.0, gt=0)
    letter_max_tries: int = Field(default=5, ge=0)
    failure_task: str = ""
    failure_webhook: str = Field(
        default="", validation_alias="ORCHESTRATION_FAILURE_WEBHOOK"
    )
    templates_dir: str = "sagas"
    routes_file: str = ""
    location: str = ""
    route_record_rate: float = Field(default=0.0, ge=0, le=1)
    route_rate_per_s: float = Field(default=0.0, ge=0)
    route_rate_burst: int = Field(default=10, ge=1)
    route_max_attempts: int = Field(default=3, ge=1)
    route_cache_ttl_s: float = Field(default=30.0, gt=0)
    route_affinity_idle_s: float = Field(default=1_800.0, gt=0)
    route_slow_start_s: float = Field(default=30.0, ge=0)
    route_ejection_failures: int = Field(default=5, ge=1)
    route_ejection_s: float = Field(default=10.0, gt=0, le=300)
    route_max_ejected_share: float = Field(default=0.5, ge=0, le=1)
    route_retry_share: float = Field(default=0.1, ge=0, le=1)
    max_swarm_agents: int = Field(default=1_000, gt=0)
    swarm_still_s: float = Field(default=5.0, gt=0)
    swarm_snapshot_s: float = Field(default=2.0, gt=0)
    field_tick_s: float = Field(default=3_600.0, ge=0.01)
    max_agents: int = Field(default=10_000, gt=0)
    registry_secrets: str = Field(
        default="", validation_alias="ORCHESTRATION_REGISTRY_SECRETS"
    )
    region: str = ""
    peers: str = Field(default="", validation_alias="ORCHESTRATION_PEERS")
    peer_timeout_s: float = Field(default=3.0, gt=0)
    peer_stale_s: float = Field(default=30.0, gt=0)
    peer_lost_s: float = Field(default=300.0, gt=0)
    heartbeat_interval_s: float = Field(default=30.0, gt=0)
    late_intervals: float = Field(default=2.0, gt=0)
    inactive_intervals: float = Field(default=4.0, gt=0)
    decommission_after_s: float = Field(default=300.0, gt=0)
    decommission_intervals: float = Field(default=5.0, gt=0)
    late_factor: float = Field(default=0.5, ge=0, le=1)
    slow_ms: float = Field(default=2_000.0, gt=0)
    busy_cpu: float = Field(default=0.7, ge=0, le=1)
    active_health: float = Field(default=0.8, ge=0, le=1)
    sla_factor: float = Field(default=0.85, ge=0, le=1)
    sla_misses: int = Field(default=3, gt=0)
    sla_meets: int = Field(default=3, gt=0)
    sla_margin: float = Field(default=0.1, ge=0, lt=1)
    sla_half_life_s: float = Field(default=3_600.0, gt=0)
    sla_least_watched_s: float = Field(default=300.0, ge=0)
    protect_share: float = Field(default=0.3, ge=0, le=1)
    protect_least: int = Field(default=10, ge=0)
    protect_hold_s: float = Field(default=300.0, ge=0)
    enable_event_sourcing: bool = Field(
        default=True, validation_alias="ENABLE_EVENT_SOURCING"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then variables, then secrets' files."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgresql+psycopg2://")):
            raise ValueError("use a URL that begins with postgresql://")
        # Named, since SQLAlchemy's default driver for this scheme is another one.
        return value.replace("postgresql://", "postgresql+psycopg2://", 1)

    @field_validator("failure_webhook")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if value and not _is_web_url(value):
            raise ValueError("use a URL like https://host/path")
        return value

    @field_validator("enable_event_sourcing")
    @classmethod
    def _events_are_the_truth(cls, value: bool) -> bool:  # noqa: FBT001
        if not value:
            raise ValueError(
                "events are the only record of what happened, so they cannot be "
                "switched off: remove the variable"
            )
        return value

    @model_validator(mode="after")
    def _fill_urls(self) -> Self:
        if not self.broker_url:
            self.broker_url = self.redis_url
        if not self.redis_url and self.broker_url.startswith("redis"):
            self.redis_url = self.broker_url
        if not self.broker_url or not self.redis_url:
            raise ValueError(
                "REDIS_URL is not set: use redis://host:port/0 (it is the broker too, "
                "unless CELERY_BROKER_URL names another)"
            )
        return self

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:  # noqa: ANN401
        """Read the settings of this process.

        Raises:
            ConfigurationError: One sentence per fault: variable, value, way out.
        """
        if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
            warn_about_kafka("KAFKA_BOOTSTRAP_SERVERS")
        try:
            return cls(**overrides)
        except ValidationError as exc:
            raise ConfigurationError(
                "; ".join(_sentence(dict(error)) for error in exc.errors())
            ) from exc


def warn_about_kafka(what: str) -> None:
    """Warn once that a Kafka setting has no effect, and say which one has."""
    warnings.warn(
        f"{what} has no effect: messages go by Celery; set CELERY_BROKER_URL",
        UserWarning,
        stacklevel=3,
    )


def _is_web_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:  # of a port that is no number, which it would show
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname) and port != 0


def _sentence(error: dict[str, Any]) -> str:
    """Return a fault as a sentence that names variable, value and way out."""
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0])
    variable = _URLS.get(name, name)
    if variable == name and not name.isupper():
        variable = f"ORCHESTRATION_{name.upper()}"
    if error["type"] == "missing":
        return (
            f"{variable} is not set: give it in the environment "
            "(`orchestration up` starts local servers and prints theirs)"
        )
    shown = "(hidden)" if variable in _URLS.values() else repr(error["input"])
    return f"{variable} is {shown}: {error['msg'].removeprefix('Value error, ')}"
