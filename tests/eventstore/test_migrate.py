"""Migrations: once each, all or none, from many processes, for any schema."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import ProgrammingError

from eventstore import EventStore, MigrationError, NewEvent
from eventstore.migrate import MIGRATIONS, load, migrate, pending
from orchestration.adapters.embedded import EmbeddedServers
from tests.support.servers import fresh_database

SCHEMA = MIGRATIONS.parent / "schema.sql"

MIGRATE_ON_COMMAND = """
import sys
from sqlalchemy import create_engine
from eventstore.migrate import migrate
engine = create_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(len(migrate(engine)), flush=True)
"""

CATALOGUE = """
SELECT 'column ' || c.relname || '.' || a.attnum || ' ' || a.attname AS name,
    concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) AS definition
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'es'::regnamespace AND a.attnum > 0 AND c.relname !~ '^migration'
UNION ALL
SELECT concat(c.relkind, ' ', c.relname),
    concat_ws(' ', pg_get_userbyid(c.relowner), c.reloptions, (
        SELECT array_agg(x::text ORDER BY x::text) FROM unnest(c.relacl) AS x
    ), CASE c.relkind WHEN 'i' THEN pg_get_indexdef(c.oid) END,
    CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END)
FROM pg_class AS c
WHERE c.relnamespace = 'es'::regnamespace AND c.relname !~ '^migration'
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
FROM pg_constraint
WHERE connamespace = 'es'::regnamespace AND conrelid::regclass::text !~ 'migration'
UNION ALL
SELECT 'trigger ' || t.tgrelid::regclass || ' ' || t.tgname,
    concat(t.tgenabled, pg_get_triggerdef(t.oid))
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'es'::regnamespace
UNION ALL
SELECT 'function ' || p.oid::regprocedure, concat_ws(' ', pg_get_userbyid(p.proowner), (
        SELECT array_agg(x::text ORDER BY x::text) FROM unnest(p.proacl) AS x
    ), pg_get_functiondef(p.oid))
FROM pg_proc AS p
WHERE p.pronamespace = 'es'::regnamespace
UNION ALL
SELECT 'schema', concat_ws(' ', pg_get_userbyid(nspowner), nspacl)
FROM pg_namespace
WHERE nspname = 'es'
"""


def catalogue(engine: Engine) -> dict[str, str]:
    """Every object of the schema and how it is defined."""
    with engine.connect() as connection:
        rows = connection.execution_options(no_parameters=True).exec_driver_sql(
            CATALOGUE
        )
        return {row.name: row.definition for row in rows}


@pytest.mark.integration
def test_schema_sql_is_what_all_migrations_make(
    engine: Engine, postgres_server: str
) -> None:
    with fresh_database(postgres_server) as url:
        other = create_engine(url)
        with other.begin() as connection:
            connection.execution_options(no_parameters=True).exec_driver_sql(
                SCHEMA.read_text()
            )
        expected = catalogue(other)
        other.dispose()
    assert len(expected) > 80
    assert catalogue(engine) == expected


@pytest.mark.integration
def test_sixteen_processes_migrate_two_databases_at_once(
    private_servers: EmbeddedServers,
) -> None:
    # A server of its own: nobody has made the roles yet, and they belong to it all.
    server = private_servers.database_url
    with fresh_database(server) as one, fresh_database(server) as two:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", MIGRATE_ON_COMMAND, url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for url in (one, two) * 8
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=240) for process in processes]
        assert [process.returncode for process in processes] == [0] * 16, answers
        applied = sorted(int(out) for out, _ in answers)
        assert applied == [0] * 14 + [len(load())] * 2
        for url in (one, two):
            store = EventStore.connect(url)
            store.append("a", [NewEvent("T", {})])
            assert store.sequence() == 1
            store.close()


@pytest.mark.integration
def test_a_user_who_is_no_superuser_can_migrate(
    private_servers: EmbeddedServers,
) -> None:
    with fresh_database(private_servers.database_url) as url:
        admin = create_engine(url)
        with admin.begin() as connection:
            connection.exec_driver_sql(
                "CREATE ROLE deployer LOGIN CREATEROLE PASSWORD 'secret'"
            )
            connection.exec_driver_sql(
                f"GRANT CREATE ON DATABASE {admin.url.database} TO deployer"
            )
        deployer = create_engine(admin.url.set(username="deployer", password="secret"))
        assert len(migrate(deployer)) == len(load())
        store = EventStore(deployer)
        store.append("a", [NewEvent("T", {})])
        assert store.sequence() == 1
        store.close()
        admin.dispose()


@pytest.mark.integration
def test_migrating_again_changes_nothing(engine: Engine) -> None:
    assert pending(engine) == ()
    assert migrate(engine) == ()


@pytest.mark.integration
def test_a_second_folder_has_a_schema_and_numbers_of_its_own(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE orch.a (x text DEFAULT '100%'); CREATE TABLE orch.b (y int);"
    )
    assert [m.name for m in pending(engine, tmp_path, schema="orch")] == ["first"]
    assert len(migrate(engine, tmp_path, schema="orch")) == 1
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE orch.a ADD z int;")
    assert [m.version for m in pending(engine, tmp_path, schema="orch")] == [2]
    assert [m.version for m in migrate(engine, tmp_path, schema="orch")] == [2]
    assert migrate(engine, tmp_path, schema="orch") == ()


@pytest.mark.integration
def test_a_migration_that_fails_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "0001_good.sql").write_text("CREATE TABLE orch.a (x int);")
    (tmp_path / "0002_bad.sql").write_text("CREATE TABLE orch.b (x nonsense);")
    with pytest.raises(ProgrammingError, match="nonsense"):
        migrate(engine, tmp_path, schema="orch")
    assert len(pending(engine, tmp_path, schema="orch")) == 2
    with engine.connect() as connection:
        left: Any = connection.exec_driver_sql(
            "SELECT to_regnamespace('orch')"
        ).scalar()
    assert left is None


@pytest.mark.integration
def test_an_applied_migration_that_was_edited_is_refused(
    engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "0001_first.sql"
    file.write_text("CREATE TABLE orch.a (x int);")
    migrate(engine, tmp_path, schema="orch")
    file.write_text("CREATE TABLE orch.a (x bigint);")
    with pytest.raises(MigrationError, match=r"0001_first\.sql differs.*never edited"):
        migrate(engine, tmp_path, schema="orch")


@pytest.mark.integration
def test_a_database_newer_than_the_package_is_refused(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "0001_first.sql").write_text("SELECT 1;")
    (tmp_path / "0002_second.sql").write_text("SELECT 2;")
    migrate(engine, tmp_path, schema="orch")
    (tmp_path / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match="install the newer package"):
        pending(engine, tmp_path, schema="orch")


def test_folders_with_wrong_names_or_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="must be numbered 0001"):
        load(tmp_path)
    (tmp_path / "0002_second.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="must be numbered 0001"):
        load(tmp_path)
    (tmp_path / "first.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="is not named like 0001_some_name"):
        load(tmp_path)


def test_schemas_must_have_plain_names() -> None:
    engine = create_engine("postgresql+psycopg2://127.0.0.1:1/none")
    for function in (pending, migrate):
        with pytest.raises(MigrationError, match="not a plain lower-case name"):
            function(engine, schema="orch; DROP SCHEMA es")
