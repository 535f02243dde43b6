"""Apply numbered SQL files to a schema, once each, however many processes try.

A folder holds ``0001_name.sql``, ``0002_name.sql`` and so on. All that are
missing are applied in one transaction that first takes an advisory lock named
after the schema; ``<schema>.migration`` remembers number, name and digest. The
lock ends with the transaction, so a transaction-mode pooler may stand between.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from eventstore.errors import MigrationError

MIGRATIONS = Path(__file__).parent / "sql" / "migrations"

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """Read a folder of migrations.

    Raises:
        MigrationError: A name is not ``NNNN_name.sql``, or a number is missing.
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            message = f"{path} is not named like 0001_some_name.sql"
            raise MigrationError(message)
        sql = path.read_text(encoding="utf-8")
        found.append(Migration(int(match[1]), match[2], sql))
    numbers = [migration.version for migration in found]
    if numbers != list(range(1, len(found) + 1)) or not found:
        message = f"migrations in {folder} must be numbered 0001, 0002, …: {numbers}"
        raise MigrationError(message)
    return tuple(found)


def migrate(
    engine: Engine, folder: Path = MIGRATIONS, *, schema: str = "es"
) -> tuple[Migration, ...]:
    """Bring a schema up to date; safe to call from many processes at once.

    Either all missing migrations are applied or none. The calling role needs the
    right to create schemas and, for the event store, roles.

    Args:
        engine: Of the database to migrate.
        folder: The numbered SQL files. They may use the schema, which is made
            before the first one, and must not commit.
        schema: Its name; the table ``<schema>.migration`` is kept in it.

    Returns:
        The migrations that this call applied.

    Raises:
        MigrationError: An applied file was edited since, or the database is
            newer than the folder.
    """
    _check_name(schema)
    migrations = load(folder)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            (f"eventstore.migrate:{schema}",),
        )
        _prepare(connection, schema)
        missing = _missing(connection, migrations, schema)
        for migration in missing:
            _apply(connection, migration, schema)
    return missing


def pending(
    engine: Engine, folder: Path = MIGRATIONS, *, schema: str = "es"
) -> tuple[Migration, ...]:
    """Tell which migrations a database lacks, changing nothing.

    Raises:
        MigrationError: As for :func:`migrate`.
    """
    _check_name(schema)
    migrations = load(folder)
    with engine.connect() as connection:
        table = connection.exec_driver_sql(
            "SELECT to_regclass(%s)", (f"{schema}.migration",)
        ).scalar_one()
        return _missing(connection, migrations, schema) if table else migrations


def _check_name(schema: str) -> None:
    """Refuse what is no plain name: it is put into statements as it is."""
    if not _SCHEMA_NAME.fullmatch(schema):
        message = f"schema {schema!r} is not a plain lower-case name"
        raise MigrationError(message)


def _prepare(connection: Connection, schema: str) -> None:
    """Make schema and version table; asked first, for a NOTICE is a warning."""
    if connection.exec_driver_sql(
        "SELECT to_regclass(%s)", (f"{schema}.migration",)
    ).scalar_one():
        return
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    connection.exec_driver_sql(
        f"CREATE TABLE {schema}.migration ("
        "version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, "
        "applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _missing(
    connection: Connection, migrations: tuple[Migration, ...], schema: str
) -> tuple[Migration, ...]:
    """Compare the folder with what is applied."""
    applied = connection.exec_driver_sql(
        f"SELECT version, name, sha256 FROM {schema}.migration ORDER BY version"  # noqa: S608 - checked name
    ).all()
    if len(applied) > len(migrations):
        message = (
            f"schema {schema!r} is at migration {applied[-1].version}, this version of "
            f"the package knows {len(migrations)}; install the newer package"
        )
        raise MigrationError(message)
    for row, migration in zip(applied, migrations, strict=False):
        if (row.version, row.sha256) != (migration.version, migration.digest):
            message = (
                f"migration {migration.version:04}_{migration.name}.sql differs from "
                f"the {row.name!r} that schema {schema!r} has applied; applied "
                "migrations are never edited, add a new one"
            )
            raise MigrationError(message)
    return migrations[len(applied) :]


def _apply(connection: Connection, migration: Migration, schema: str) -> None:
    """Run one file and remember it."""
    # Without parameters the driver leaves % alone and takes many statements.
    connection.execution_options(no_parameters=True).exec_driver_sql(migration.sql)
    connection.exec_driver_sql(
        f"INSERT INTO {schema}.migration (version, name, sha256) VALUES (%s, %s, %s)",  # noqa: S608 - checked name
        (migration.version, migration.name, migration.digest),
    )
