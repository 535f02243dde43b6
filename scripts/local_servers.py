"""Print NAME=URL, one a line, for each of this machine's servers that answers.

The tests read these variables; one that is set already is used in place of the
standard address. A server that does not answer is named on stderr, and makes the
exit code 1 where the variable CI is set.
"""

import os
import sys
from collections.abc import Callable

import psycopg2
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

_TIMEOUT_S = 5


def ask_postgres(url: str) -> None:
    """Connect once; raises if that fails."""
    psycopg2.connect(
        url.replace("+psycopg2", "", 1), connect_timeout=_TIMEOUT_S
    ).close()


def ask_redis(url: str) -> None:
    """Send one PING; raises if that fails."""
    with Redis.from_url(url, socket_connect_timeout=_TIMEOUT_S) as client:
        client.ping()


def ask_rabbitmq(url: str) -> None:
    """Connect once; raises if that fails."""
    with Connection(  # type: ignore[no-untyped-call]
        url, connect_timeout=_TIMEOUT_S
    ) as connection:
        connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_S)


SERVERS: dict[str, tuple[str, Callable[[str], None]]] = {
    "ORCHESTRATION_TEST_DATABASE_URL": (
        "postgresql+psycopg2://postgres@127.0.0.1:5432/postgres",
        ask_postgres,
    ),
    "ORCHESTRATION_TEST_REDIS_URL": ("redis://127.0.0.1:6379/0", ask_redis),
    "ORCHESTRATION_TEST_RABBITMQ_URL": (
        "amqp://guest:guest@127.0.0.1:5672//",
        ask_rabbitmq,
    ),
}


def main() -> int:
    """Ask each server; return 1 if one is missing where none may be."""
    missing = False
    for name, (standard, ask) in SERVERS.items():
        url = os.environ.get(name) or standard
        try:
            ask(url)
        except (psycopg2.Error, RedisError, OperationalError, OSError) as exc:
            missing = True
            reason = str(exc).strip().splitlines()[0]
            print(f"no answer, so not tested: {name} ({reason})", file=sys.stderr)
        else:
            print(f"{name}={url}")
    return int(missing and bool(os.environ.get("CI")))


if __name__ == "__main__":
    sys.exit(main())
