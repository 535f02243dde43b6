"""What the doctor looks at, one function each."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestration.errors import ConfigurationError, OrchestrationError

if TYPE_CHECKING:
    from orchestration.adapters.announcements import Announced
    from orchestration.cli.session import Session
    from orchestration.settings import Settings

__all__ = ["Finding", "Verdict", "check_all"]

_PACKAGES = (
    "agent-foundation-orchestration",
    "celery",
    "kombu",
    "redis",
    "sqlalchemy",
    "psycopg2-binary",
    "numpy",
)
_CONNECT_S = 3
_ANSWER_S = 1.0
_SLOW_TICKS = 5.0
_LONG_PERIOD_S = 60.0
_SKEW_S = 2.0


class Verdict(StrEnum):
    """What is to be thought of one thing."""

    FINE = "ok"
    DOUBTFUL = "warning"
    WRONG = "wrong"

    @property
    def sign(self) -> tuple[str, str]:
        """Its sign and colour."""
        return {
            Verdict.FINE: ("✓", "ok"),
            Verdict.DOUBTFUL: ("!", "warn"),
            Verdict.WRONG: ("✗", "bad"),
        }[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what to do about it if it is not fine."""

    subject: str
    verdict: Verdict
    says: str
    way_out: str = ""


def check_all() -> tuple[Finding, ...]:
    """Look at everything that can be reached; what cannot be is a finding, too."""
    from orchestration.settings import Settings

    findings = [_versions()]
    try:
        settings = Settings.from_env()
    except ConfigurationError as exc:
        wrong = Finding("settings", Verdict.WRONG, str(exc), "see docs/operations.md")
        return (*findings, wrong)
    findings.append(Finding("settings", Verdict.FINE, "complete"))
    findings += _database(settings)
    findings += _attempt("broker", lambda: _broker(settings))
    if findings[-1].verdict is Verdict.FINE:
        findings += _attempt("chores worker", lambda: _chores(settings))
    findings += _attempt("redis", lambda: _redis(settings))
    return tuple(findings)


def _versions() -> Finding:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue  # installed under another name, or run from a folder
    python = platform.python_version()
    return Finding("versions", Verdict.FINE, ", ".join([f"Python {python}", *found]))


def _attempt(subject: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Return what a look finds, or that it failed."""
    findings: list[Finding] = []
    try:
        findings.extend(look())
    except Exception as exc:  # noqa: BLE001  a server may answer in any way
        first = str(exc).strip().partition("\n")[0]
        way_out = "" if isinstance(exc, OrchestrationError) else "see the server's log"
        says = first or type(exc).__name__
        findings.append(Finding(subject, Verdict.WRONG, says, way_out))
    return findings


def _database(settings: Settings) -> list[Finding]:
    from orchestration.cli.open_ends import open_ends
    from orchestration.cli.registry_checkup import registered
    from orchestration.cli.session import session

    def look() -> Iterator[Finding]:
        with session(settings) as opened:
            yield from _server(opened)
            yield from _store(opened)
            yield _workers(opened.announcements.listed())
            yield _beat(opened)
            yield from open_ends(opened)
            yield from registered(opened)

    return _attempt("postgres", look)


def _server(opened: Session) -> Iterator[Finding]:
    from datetime import UTC, datetime

    from orchestration.cli.statements import statement

    before = datetime.now(UTC)
    number, now = opened.db.rows(statement("server"))[0]
    yield Finding("postgres", Verdict.FINE, f"version {number}")
    yield Finding("schema", Verdict.FINE, "up to date")
    late = max(0.0, (before - now).total_seconds())
    skew_s = late or max(0.0, (now - datetime.now(UTC)).total_seconds())
    if skew_s > _SKEW_S:
        yield Finding(
            "clock",
            Verdict.DOUBTFUL,
            f"this host's clock is {skew_s:.1f} s off the database's",
            "deadlines go by the database's clock; set this host's by NTP",
        )


def _store(opened: Session) -> Iterator[Finding]:
    """Look at what makes the store append-only: roles, rights, triggers."""
    from eventstore.doctor import diagnose

    findings = diagnose(opened.db.engine)
    wrong = [one for one in findings if not one.ok]
    for one in wrong:
        says = f"{one.subject} {one.problem}"
        yield Finding("event store", Verdict.WRONG, says, one.fix)
    if not wrong:
        says = f"{len(findings)} roles, rights and triggers as they should be"
        yield Finding("event store", Verdict.FINE, says)


def _chores(settings: Settings) -> Iterator[Finding]:
    """Ask the workers themselves which queues they consume."""
    from orchestration.adapters.celery_bus import make_producer
    from orchestration.cli.registry_checkup import heartbeats
    from orchestration.contracts import CHORES_QUEUE, HEARTBEATS_QUEUE

    own = {CHORES_QUEUE, HEARTBEATS_QUEUE}
    with make_producer(settings) as app:
        answers = app.control.inspect(timeout=_ANSWER_S).active_queues() or {}
    nodes = [
        node
        for node, queues in sorted(answers.items())
        if any(queue["name"] == CHORES_QUEUE for queue in queues)
    ]
    if not nodes:
        yield Finding(
            "chores worker",
            Verdict.WRONG,
            "none: nothing recovers sagas whose worker died or whose message was lost",
            "start `celery -A tasks worker -Q chores -n chores@%h`",
        )
    elif shared := [n for n in nodes if {q["name"] for q in answers[n]} - own]:
        yield Finding(
            "chores worker",
            Verdict.DOUBTFUL,
            f"{', '.join(shared)} serves other queues too: load will delay recovery",
            "give chores a worker of their own: `celery -A tasks worker -Q chores`",
        )
    else:
        yield Finding("chores worker", Verdict.FINE, ", ".join(nodes))
    if nodes:
        yield heartbeats(answers)


def _workers(rows: tuple[Announced, ...]) -> Finding:
    agents = {row.name for row in rows if row.kind == "agent"}
    live = [row for row in rows if row.kind == "agent" and row.is_live]
    offline = sorted(agents - {row.name for row in live})
    if offline:
        return Finding(
            "workers",
            Verdict.DOUBTFUL,
            f"no live worker hosts {', '.join(offline)}; sagas wait for them",
            "start `celery -A tasks worker -I` with the module that defines them",
        )
    if not live:
        return Finding(
            "workers",
            Verdict.DOUBTFUL,
            "none hosts an agent",
            "start `celery -A tasks worker -I your_module`",
        )
    nodes = {row.worker for row in live}
    says = f"{len(nodes)} with {len(agents)} agents: {', '.join(sorted(nodes))}"
    return Finding("workers", Verdict.FINE, says)


def _beat(opened: Session) -> Finding:
    from beat_schedule import SCHEDULE
    from orchestration.cli.statements import statement

    periods = dict(SCHEDULE.values())
    names, lengths = list(periods), list(periods.values())
    rows = opened.db.rows(statement("ticks"), (names, lengths))
    ages: dict[str, float] = {row[0]: row[1] for row in rows}
    late = [n for n in names if _age_s(n, ages, periods) > _SLOW_TICKS + 2 * periods[n]]
    if not late:
        oldest_s = max(a for n, a in ages.items() if periods[n] <= _LONG_PERIOD_S)
        return Finding("beat", Verdict.FINE, f"newest ticks {oldest_s:.0f} s ago")
    said = [
        f"{name} last ran {ages[name]:.0f} s ago"
        if name in ages
        else f"{name} never ran"
        for name in late
    ]
    if ages and not any(name in ages for name in late):
        return Finding(
            "beat",
            Verdict.DOUBTFUL,
            f"{', '.join(said)}, while the others do",
            "look again in a few seconds; if it stays so, start this version's beat",
        )
    return Finding(
        "beat",
        Verdict.WRONG,
        ", ".join(said),
        "start `celery -A tasks beat`, and a worker for chores to do what it asks",
    )


def _age_s(name: str, ages: Mapping[str, float], periods: Mapping[str, float]) -> float:
    """Return how old a tick is; one of a long period may be yet to come."""
    if name in ages:
        return ages[name]
    return 0.0 if periods[name] > _LONG_PERIOD_S else float("inf")


def _broker(settings: Settings) -> Iterator[Finding]:
    from orchestration.adapters.celery_bus import make_producer
    from orchestration.cli.session import expect_server

    scheme = urlsplit(settings.broker_url).scheme
    port = 6379 if scheme.startswith("redis") else 5672
    expect_server("CELERY_BROKER_URL", settings.broker_url, port)
    app = make_producer(settings)
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=_CONNECT_S)
    where = urlsplit(settings.broker_url)
    yield Finding("broker", Verdict.FINE, f"{scheme} at {where.hostname}:{where.port}")


def _redis(settings: Settings) -> Iterator[Finding]:
    import redis

    from orchestration.cli.session import expect_server

    expect_server("REDIS_URL", settings.redis_url, 6379)
    client = redis.Redis.from_url(settings.redis_url, socket_timeout=_CONNECT_S)
    with client:
        about: dict[str, Any] = client.info("server")
        number = about.get("valkey_version") or about.get("redis_version")
        yield Finding("redis", Verdict.FINE, f"version {number}")
        try:
            found: dict[str, str] = client.config_get("maxmemory-policy")  # type: ignore[assignment]  # sync
        except redis.ResponseError:  # managed servers and careful ACLs hide it
            yield Finding(
                "redis memory",
                Verdict.DOUBTFUL,
                "its maxmemory-policy may not be read by this user",
                "see to it that it is noeviction",
            )
            return
    policy = found.get("maxmemory-policy", "noeviction")
    if policy == "noeviction":
        yield Finding("redis memory", Verdict.FINE, "noeviction")
    else:
        yield Finding(
            "redis memory",
            Verdict.WRONG,
            f"maxmemory-policy is {policy}: a full server drops queued messages",
            "CONFIG SET maxmemory-policy noeviction, and in its configuration",
        )
