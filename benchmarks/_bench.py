"""What suites share: where they measure, what a row is, databases of their own."""

from __future__ import annotations

import os
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from eventstore.store import driver_url

__all__ = ["Bench", "Row", "fresh_database", "fsync_ms", "redis_database"]

_FSYNCS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where a suite measures, and how much of it.

    Attributes:
        database_url: Any database of a Postgres; the user may create databases.
        redis_url: A Redis or Valkey whose 16 databases are the suite's.
        quick: Fewer and shorter rounds, for a look while working.
        only: Measure only what has this word in its name; "": everything.
    """

    database_url: str
    redis_url: str = ""
    quick: bool = False
    only: str = ""

    def wants(self, name: str) -> bool:
        """Tell whether something of that name is to be measured."""
        return self.only.casefold() in name.casefold()


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours beside a peer's.

    Attributes:
        name: What was measured.
        ours: Our figure.
        peer: The peer's, or the level we hold ourselves to.
        ratio: ``ours / peer``.
        unit: Of both figures.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Make an empty database and drop it at the end."""
    name = f"bench_{uuid4().hex[:12]}"
    server = create_engine(driver_url(server_url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        url = make_url(driver_url(server_url)).set(database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


def redis_database(server_url: str, number: int) -> str:
    """Return the address of one numbered database of a Redis server."""
    parts = urllib.parse.urlsplit(server_url)
    return urllib.parse.urlunsplit(parts._replace(path=f"/{number}"))


def fsync_ms() -> float:
    """Return how long it takes now, in the median, to make one page durable.

    Where temporary files are, and so the servers' data. On rented disks it varies by
    the minute, and what commits each step with it: told beside the figures.
    """
    lengths_s = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_FSYNCS):
            begin = time.perf_counter()
            os.pwrite(file.fileno(), os.urandom(8_192), 0)
            os.fsync(file.fileno())
            lengths_s.append(time.perf_counter() - begin)
    return round(1_000 * median(lengths_s), 2)
