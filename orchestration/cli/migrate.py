"""``orchestration migrate``: bring a database to this version's schema."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import click

__all__ = ["migrate"]

_LOOK_EVERY_S = 0.2


@click.command()
@click.option(
    "--wait",
    "wait_s",
    type=float,
    default=0.0,
    metavar="SECONDS",
    help="How long to wait for the database to answer.  [default: 0]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def migrate(*, wait_s: float, as_json: bool) -> None:
    """Apply what the database lacks; safe to run at any time, from many places.

    A new version's workers refuse to start before it has been run.
    """
    from orchestration.adapters.schema import migrate_all
    from orchestration.cli.output import console, emit_json
    from orchestration.settings import Settings

    settings = Settings.from_env(
        broker_url="redis://unused", redis_url="redis://unused"
    )
    _expect(settings.database_url, wait_s)
    applied = migrate_all(settings.database_url)
    where = urlsplit(settings.database_url)
    database = f"{where.hostname or 'local socket'}{where.path}"
    if as_json:
        emit_json({"database": database, "applied": applied})
        return
    out = console()
    for name in applied:
        out.print(f"[ok]✓[/] {name}")
    done = f"{len(applied)} applied" if applied else "nothing to do"
    out.print(f"{database} is up to date ({done})")


def _expect(url: str, wait_s: float) -> None:
    """Wait until the database's port answers."""
    from orchestration.cli.session import expect_server
    from orchestration.errors import TransportError

    give_up_at = time.monotonic() + wait_s
    while True:
        try:
            return expect_server("DATABASE_URL", url, 5432)
        except TransportError:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(_LOOK_EVERY_S)
