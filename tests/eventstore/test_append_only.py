"""No role can change events; the doctor sees every protection that is missing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from eventstore import EventStore, NewEvent
from eventstore.doctor import CALLABLE, ROLES, TABLE_RIGHTS, TRIGGERS, diagnose
from eventstore.sql import query

pytestmark = pytest.mark.integration

ActingAs = Callable[[str], Any]

CHANGES = [
    f"{statement}"
    for table, column in (
        ("events", "actor = 'x'"),
        ("log", "seq = seq"),
        ("checkpoints", "note = 'x'"),
        ("store", "store_id = gen_random_uuid()"),
    )
    for statement in (
        f"UPDATE es.{table} SET {column}",
        f"DELETE FROM es.{table}",
        f"TRUNCATE es.{table}",
    )
] + [
    "DELETE FROM es.streams",
    "TRUNCATE es.streams",
    "DELETE FROM es.sequencer",
    "TRUNCATE es.sequencer",
]

CHECKPOINT = "INSERT INTO es.checkpoints VALUES (12, sha256(''), 'note')"


@pytest.fixture
def checkpointed(filled: EventStore, engine: Engine) -> EventStore:
    with engine.begin() as connection:
        connection.exec_driver_sql(CHECKPOINT)
    return filled


@pytest.mark.parametrize("role", [*ROLES, "the superuser"])
def test_nobody_may_change_what_is_stored(
    checkpointed: EventStore, engine: Engine, acting_as: ActingAs, role: str
) -> None:
    name = "NONE" if role == "the superuser" else role
    for statement in CHANGES:
        with (
            acting_as(name) as connection,
            pytest.raises(ProgrammingError, match=r"append-only|permission denied"),
        ):
            connection.exec_driver_sql(statement)
    assert len(checkpointed.read_all()) == 12


@pytest.mark.parametrize("statement", CHANGES)
def test_session_replication_role_opens_no_back_door(
    checkpointed: EventStore, engine: Engine, statement: str
) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        with pytest.raises(ProgrammingError, match="append-only"):
            connection.exec_driver_sql(statement)
        connection.rollback()
        connection.exec_driver_sql("RESET session_replication_role")
        connection.commit()


@pytest.mark.parametrize("role", ["es_writer", "es_reader", "es_sequencer"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO es.log VALUES (99, 99, 'x', sha256(''))",
        "INSERT INTO es.streams VALUES (DEFAULT, 'x', 'x', 0, sha256(''), now())",
        "UPDATE es.streams SET version = 0",
        "UPDATE es.sequencer SET next_seq = 0",
        CHECKPOINT,
        "ALTER TABLE es.events DISABLE TRIGGER ALL",
        "SELECT es.make_stream('x')",
    ],
)
def test_no_role_goes_around_the_functions(
    filled: EventStore, acting_as: ActingAs, role: str, statement: str
) -> None:
    with (
        acting_as(role) as connection,
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
    ):
        connection.exec_driver_sql(statement)


def test_each_role_can_do_its_work(filled: EventStore, acting_as: ActingAs) -> None:
    with acting_as("es_writer") as connection:
        filled.append("order-4", [NewEvent("T", {})], connection=connection)
        events = [NewEvent("T", {}), NewEvent("T", {})]
        filled.append("order-4", events, connection=connection)
        with pytest.raises(ProgrammingError, match="permission denied"):
            filled.read_stream("order-1", connection=connection)
    with acting_as("es_reader") as connection:
        assert len(filled.read_all(connection=connection)) == 12
        connection.exec_driver_sql(query("make_subscription"), ("s",))
        connection.exec_driver_sql(query("lock_subscription"), ("s",))
        connection.exec_driver_sql(query("move_subscription"), (3, "s"))
        with pytest.raises(ProgrammingError, match="permission denied"):
            filled.append("a", [NewEvent("T", {})], connection=connection)


def test_the_sequencers_role_can_tick(
    filled: EventStore, engine: Engine, acting_as: ActingAs
) -> None:
    filled.append("a", [NewEvent("T", {})])
    with acting_as("es_sequencer") as connection:
        connection.commit()
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql(query("lock_sequencer"))
        assert connection.exec_driver_sql(query("tick")).scalar_one() == 1


def problems(engine: Engine) -> dict[str, str]:
    return {
        finding.subject: finding.problem
        for finding in diagnose(engine)
        if not finding.ok
    }


def test_a_fresh_store_has_no_problems(store: EventStore, engine: Engine) -> None:
    store.append("a", [NewEvent("T", {})])
    found = problems(engine)
    # Servers that exist only for tests may run without fsync.
    assert set(found) <= {"setting fsync", "setting full_page_writes"}


def test_an_empty_database_lacks_everything(database_url: str) -> None:
    empty = EventStore.connect(database_url)
    (finding,) = diagnose(empty.engine)
    empty.close()
    assert "0001_tables" in finding.problem
    assert "python -m eventstore migrate" in finding.fix


@pytest.mark.parametrize(("table", "trigger"), TRIGGERS)
def test_a_missing_or_sleeping_trigger_is_reported(
    engine: Engine, table: str, trigger: str
) -> None:
    subject = f"trigger es.{table} {trigger}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE es.{table} ENABLE TRIGGER {trigger}")
    assert problems(engine)[subject] == "does not always fire"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TRIGGER {trigger} ON es.{table}")
    assert problems(engine)[subject] == "does not exist"


@contextmanager
def changed(engine: Engine, statement: str) -> Iterator[None]:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    yield


@pytest.mark.parametrize(("role", "table", "right"), sorted(TABLE_RIGHTS))
def test_a_missing_grant_on_a_table_is_reported(
    engine: Engine, role: str, table: str, right: str
) -> None:
    with changed(engine, f"REVOKE {right} ON es.{table} FROM {role}"):
        assert (
            problems(engine)[f"grant {right} on es.{table} to {role}"] == "is missing"
        )


@pytest.mark.parametrize("function", sorted(CALLABLE))
def test_a_missing_grant_on_a_function_is_reported(
    engine: Engine, function: str
) -> None:
    (role,) = CALLABLE[function]
    with changed(engine, f"REVOKE EXECUTE ON FUNCTION es.{function} FROM {role}"):
        found = problems(engine)
    assert found[f"grant EXECUTE on es.{function} to {role}"] == "is missing"


def test_grants_beyond_the_four_roles_work_are_reported(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("GRANT DELETE ON es.events TO es_writer")
        connection.exec_driver_sql("GRANT INSERT ON es.log TO PUBLIC")
        connection.exec_driver_sql("GRANT EXECUTE ON FUNCTION es.tick() TO PUBLIC")
    found = problems(engine)
    assert found["grant DELETE on es.events to es_writer"] == "must not be"
    assert found["grant INSERT on es.log to es_reader"] == "must not be"
    assert found["grant EXECUTE on es.tick to es_writer"] == "must not be"


@pytest.mark.parametrize(
    ("statement", "subject", "problem"),
    [
        ("DROP FUNCTION es.tick()", "function es.tick", "does not exist"),
        (
            "ALTER FUNCTION es.tick() SECURITY INVOKER",
            "function es.tick",
            "does not run as es_owner with a fixed search_path",
        ),
        (
            "ALTER FUNCTION es.tick() RESET search_path",
            "function es.tick",
            "does not run as es_owner with a fixed search_path",
        ),
        (
            "ALTER TABLE es.events OWNER TO CURRENT_USER",
            "owner of es.events",
            "is postgres",
        ),
    ],
)
def test_weakened_objects_are_reported(
    engine: Engine, statement: str, subject: str, problem: str
) -> None:
    with changed(engine, statement):
        assert problems(engine)[subject] == problem


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_role_is_reported(engine: Engine, role: str) -> None:
    # Roles belong to the whole server: the change is seen inside one transaction.
    found = problems_after(engine, f"ALTER ROLE {role} RENAME TO {role}_away")
    assert found[f"role {role}"] == "does not exist"


@pytest.mark.parametrize(
    ("statement", "subject", "problem"),
    [
        ("ALTER ROLE es_owner LOGIN", "role es_owner", "may log in"),
        ("ALTER ROLE es_reader SUPERUSER", "role es_reader", "is a superuser"),
        ("ALTER ROLE es_writer BYPASSRLS", "role es_writer", "bypasses row security"),
    ],
)
def test_a_role_that_may_too_much_is_reported(
    engine: Engine, statement: str, subject: str, problem: str
) -> None:
    assert problem in problems_after(engine, statement)[subject]


def problems_after(engine: Engine, statement: str) -> dict[str, str]:
    """What the doctor finds within a transaction that is rolled back."""

    class Within:
        """An engine whose only connection is the transaction's."""

        def connect(self) -> Any:
            @contextmanager
            def same() -> Iterator[Connection]:
                yield connection

            return same()

    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
        try:
            findings = diagnose(Within())  # type: ignore[arg-type]
        finally:
            connection.rollback()
    return {finding.subject: finding.problem for finding in findings if not finding.ok}


def test_a_sequencer_that_stands_still_is_reported(
    store: EventStore, engine: Engine, tamper: Any
) -> None:
    store.append("a", [NewEvent("T", {})])
    tamper("UPDATE es.events SET recorded_at = recorded_at - interval '90 s'")
    assert problems(engine)["sequencer"].startswith("1 events wait, the oldest for 9")
    store.sequence()
    assert "sequencer" not in problems(engine)
