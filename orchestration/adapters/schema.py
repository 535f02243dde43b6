"""The tables this version needs: applied by one command, checked by every worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

import eventstore.migrate as migrator
from orchestration.errors import SchemaOutdated

__all__ = ["check_schema", "migrate_all"]


_SCHEMAS = {
    "es": migrator.MIGRATIONS,
    "orch": Path(str(files("orchestration.adapters") / "sql" / "migrations")),
}


def migrate_all(database_url: str) -> tuple[str, ...]:
    """Apply what is missing of the store's migrations and of ours; return its names.

    Safe to run from many processes at once.
    """
    engine = create_engine(database_url, poolclass=NullPool)
    return _names(engine, migrator.migrate)


def check_schema(engine: Engine) -> None:
    """Refuse to go on with a database that lacks a migration.

    Raises:
        SchemaOutdated: The text names what is missing and the command.
    """
    if missing := _names(engine, migrator.pending):
        raise SchemaOutdated(
            f"the database lacks {', '.join(missing)}: run `orchestration migrate`"
        )


def _names(
    engine: Engine, ask: Callable[..., Sequence[migrator.Migration]]
) -> tuple[str, ...]:
    return tuple(
        f"{schema} {migration.version:04} {migration.name}"
        for schema, folder in _SCHEMAS.items()
        for migration in ask(engine, folder, schema=schema)
    )
