"""Is the store set up as it promises? What is missing, and how to put it right.

The promises are that nobody can change events through the database's front door
(roles, grants, triggers that always fire) and that what is committed stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine

from eventstore.migrate import pending
from eventstore.sql import query

ROLES: Final = ("es_owner", "es_writer", "es_reader", "es_sequencer")

TRIGGERS: Final = tuple(
    (table, f"refuse_{action}")
    for table in ("store", "streams", "events", "log", "sequencer", "checkpoints")
    for action in ("update", "delete", "truncate")
    if action != "update" or table not in {"streams", "sequencer"}
)

READABLE: Final = (
    "store",
    "streams",
    "events",
    "log",
    "sequencer",
    "checkpoints",
    "subscriptions",
    "snapshots",
    "events_json",
    "migration",
)

CALLABLE: Final = {
    "append_one": ("es_writer",),
    "append": ("es_writer",),
    "append_many": ("es_writer",),
    "tick": ("es_sequencer",),
}

# Every right to a table that our roles have, and no other.
TABLE_RIGHTS: Final = frozenset(
    {("es_reader", table, "SELECT") for table in READABLE}
    | {("es_reader", "subscriptions", right) for right in ("INSERT", "UPDATE")}
    | {("es_sequencer", "sequencer", "TRUNCATE")}
)

UNNUMBERED_LIMIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What, such as ``trigger es.events refuse_update``.
        problem: What is wrong with it; empty if it is as it should be.
        fix: What to do about it.
    """

    subject: str
    problem: str = ""
    fix: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return not self.problem


def diagnose(engine: Engine) -> tuple[Finding, ...]:
    """Look at everything; a role that may read the catalogue is enough."""
    missing = pending(engine)
    if missing:
        names = ", ".join(f"{m.version:04}_{m.name}" for m in missing)
        problem = f"lacks {names}"
        return (Finding("schema es", problem, "run `python -m eventstore migrate`"),)
    with engine.connect() as connection:
        return (
            Finding("schema es"),
            *_roles(connection),
            *_triggers(connection),
            *_table_rights(connection),
            *_functions(connection),
            *_owners(connection),
            *_settings(connection),
            *_sequencer(connection),
        )


def _roles(connection: Connection) -> Iterator[Finding]:
    rows = {r.rolname: r for r in connection.exec_driver_sql(query("doctor_roles"))}
    for role in ROLES:
        subject, row = f"role {role}", rows.get(role)
        if row is None:
            fix = f"CREATE ROLE {role} NOLOGIN, and grant it anew"
            yield Finding(subject, "does not exist", fix)
        elif row.too_mighty:
            fix = f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS"
            yield Finding(subject, "is a superuser, or bypasses row security", fix)
        elif role == "es_owner" and row.rolcanlogin:
            fix = "ALTER ROLE es_owner NOLOGIN"
            yield Finding(subject, "may log in, and can switch triggers off", fix)
        else:
            yield Finding(subject)


def _triggers(connection: Connection) -> Iterator[Finding]:
    found = {
        (row.relname, row.tgname): row.always
        for row in connection.exec_driver_sql(query("doctor_triggers"))
    }
    for table, trigger in TRIGGERS:
        subject = f"trigger es.{table} {trigger}"
        always = found.get((table, trigger))
        if always is None:
            action, each = trigger.removeprefix("refuse_").upper(), "ROW"
            each = "STATEMENT" if action == "TRUNCATE" else each
            fix = (
                f"CREATE TRIGGER {trigger} BEFORE {action} ON es.{table} "
                f"FOR EACH {each} EXECUTE FUNCTION es.refuse_change(), then enable it"
            )
            yield Finding(subject, "does not exist", fix)
        elif not always:
            fix = f"ALTER TABLE es.{table} ENABLE ALWAYS TRIGGER {trigger}"
            yield Finding(subject, "does not always fire", fix)
        else:
            yield Finding(subject)


def _table_rights(connection: Connection) -> Iterator[Finding]:
    rows = connection.exec_driver_sql(query("doctor_table_rights"))
    found = {(row.rolname, row.relname, row.action) for row in rows}
    for role, table, right in sorted(TABLE_RIGHTS | found):
        subject = f"grant {right} on es.{table} to {role}"
        statement = f"{right} ON es.{table}"
        if (role, table, right) not in found:
            yield Finding(subject, "is missing", f"GRANT {statement} TO {role}")
        elif (role, table, right) not in TABLE_RIGHTS:
            fix = f"REVOKE {statement} FROM {role}, and from PUBLIC"
            yield Finding(subject, "must not be", fix)
        else:
            yield Finding(subject)


def _functions(connection: Connection) -> Iterator[Finding]:
    rows = {r.proname: r for r in connection.exec_driver_sql(query("doctor_functions"))}
    for name, row in sorted(rows.items()):
        wanted = CALLABLE.get(name, ())
        for role in sorted({*wanted, *row.callers}):
            subject = f"grant EXECUTE on es.{name} to {role}"
            if role not in row.callers:
                fix = f"GRANT USAGE ON SCHEMA es TO {role}; GRANT EXECUTE ON FUNCTION "
                yield Finding(subject, "is missing", f"{fix}es.{name} TO {role}")
            elif role not in wanted:
                fix = f"REVOKE ALL ON FUNCTION es.{name} FROM PUBLIC, {role}"
                yield Finding(subject, "must not be", fix)
            else:
                yield Finding(subject)
    for name in CALLABLE:
        subject = f"function es.{name}"
        if name not in rows:
            yield Finding(subject, "does not exist", "restore it from schema.sql")
        elif not rows[name].safe:
            problem = "does not run as es_owner with a fixed search_path"
            yield Finding(subject, problem, "restore it from schema.sql")
        else:
            yield Finding(subject)


def _owners(connection: Connection) -> Iterator[Finding]:
    rows = connection.exec_driver_sql(query("doctor_owners")).all()
    for row in rows:
        fix = f"ALTER TABLE es.{row.relname} OWNER TO es_owner"
        yield Finding(f"owner of es.{row.relname}", f"is {row.owner}", fix)
    if not rows:
        yield Finding("owner of the tables")


def _settings(connection: Connection) -> Iterator[Finding]:
    row = connection.exec_driver_sql(query("doctor_settings")).one()
    wanted = {"encoding": "UTF8", "fsync": "on", "full_page_writes": "on"}
    for name, value in wanted.items():
        found = getattr(row, name)
        if found == value:
            yield Finding(f"setting {name}")
        elif name == "encoding":
            fix = "make the database anew with ENCODING 'UTF8'"
            yield Finding("setting encoding", f"is {found}, not UTF8", fix)
        else:
            problem = f"is {found}: a crash may lose or tear what was committed"
            yield Finding(f"setting {name}", problem, f"ALTER SYSTEM SET {name} = on")


def _sequencer(connection: Connection) -> Iterator[Finding]:
    row = connection.exec_driver_sql(query("unnumbered")).one()
    if row.oldest_s <= UNNUMBERED_LIMIT_S:
        yield Finding("sequencer")
    else:
        problem = f"{row.events} events wait, the oldest for {row.oldest_s:.0f} s"
        yield Finding("sequencer", problem, "call EventStore.sequence() each second")
