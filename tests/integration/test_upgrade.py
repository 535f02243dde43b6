"""A new version takes over from the one before, whatever that was in the middle of.

``version_before.jsonl`` holds every call of the SQL functions ``orch.saga_start`` and
``orch.saga_transition`` that the version before made for five sagas, as its own
workers made them: definitions with every field spelled out, leases of one second.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

import eventstore.migrate as migrator
from orchestration.adapters.database import Database
from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_records import Because, Start
from orchestration.adapters.schema import migrate_all
from orchestration.core.saga.fold import fold
from orchestration.core.saga.model import SagaTransaction
from orchestration.errors import SagaConflict
from tests.support.front import Front, front_door
from tests.support.stack import ROOT, Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

START = "SELECT status FROM orch.saga_start(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
TRANSITION = (
    "SELECT status FROM orch.saga_transition(%s, %s, %s::uuid[], %s, %s::bytea[],"
    " %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::uuid, %s, %s, %s)"
)
ENDS = {
    "good": "COMPLETED",
    "bad": "COMPENSATED",
    "wide": "COMPENSATED",
    "pivot": "PAUSED",
    "stuck": "COMPENSATION_FAILED",
}


def recorded() -> dict[str, list[Mapping[str, Any]]]:
    """Return the calls of each saga, by its id."""
    text = Path(__file__).with_name("version_before.jsonl").read_text()
    calls: dict[str, list[Mapping[str, Any]]] = {}
    for line in text.splitlines():
        call = json.loads(line)
        calls.setdefault(call["parameters"][0], []).append(call)
    return calls


def replay(
    connection: Connection, saga_id: str, calls: list[Mapping[str, Any]]
) -> None:
    """Do for a saga of this id what was done for the one recorded."""
    for call in calls:
        passed = datetime.now(UTC) - datetime.fromisoformat(call["at"])
        values = [value_of(one, passed) for one in call["parameters"]]
        values[0] = saga_id
        at = 2
        ids = [values[at]] if call["call"] == "start" else values[at]
        fresh = [str(uuid5(UUID(one), saga_id)) for one in ids]
        values[at] = fresh[0] if call["call"] == "start" else fresh
        statement = START if call["call"] == "start" else TRANSITION
        result = connection.exec_driver_sql(statement, tuple(values))
        assert result.first()[0] == "ok", call


def value_of(parameter: Any, passed: timedelta) -> Any:
    """Return a recorded parameter, its times as long before now as they were then."""
    match parameter:
        case {"bytes": text}:
            data = json.loads(text)
            if data.get("retry_at_ms"):
                data["retry_at_ms"] += round(passed.total_seconds() * 1_000)
            return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
        case {"time": text}:
            return datetime.fromisoformat(text) + passed
        case {"seconds": seconds}:
            return timedelta(seconds=seconds)
        case list():
            return [value_of(one, passed) for one in parameter]
        case _:
            return parameter


@pytest.fixture
def before(database_url: str, tmp_path: Path) -> Iterator[Connection]:
    """A connection to a database as the version before left it."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    ours = ROOT / "orchestration/adapters/sql/migrations"
    shutil.copy(ours / "0001_sagas.sql", folder)
    engine = create_engine(
        database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    migrator.migrate(engine)
    migrator.migrate(engine, folder, schema="orch")
    with engine.connect() as connection:
        yield connection


@pytest.mark.slow
def test_sagas_go_on_wherever_the_version_before_left_them(
    before: Connection,
    database_url: str,
    redis_url: str,
    make_stack: Callable[..., Stack],
    tmp_path: Path,
) -> None:
    ids: dict[str, str] = {}
    for kind, calls in recorded().items():
        for cut in range(1, len(calls) + 1):
            saga_id = f"{kind}-{cut}"
            replay(before, saga_id, calls[:cut])
            ids[saga_id] = ENDS[kind]
    assert len(ids) == 53

    stack = make_stack(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "CELERY_BROKER_URL": redis_url,
            "EFFECTS_FILE": str(tmp_path / "effects"),
            # Of claims made from now on: none is taken for lost by a busy host.
            "ORCHESTRATION_LEASE_S": "10",
            "ORCHESTRATION_LETTER_MAX_TRIES": "0",
        }
    )
    hosted = ("-I", "tests.support.effects_agents", "-c", "2")
    refused = stack.worker(*hosted, wait=False)
    assert refused.wait() == 78
    for said in ("orch 0002 operations", "run `orchestration migrate`"):
        assert said in refused.log

    assert "orch 0002 operations" in migrate_all(database_url)
    parts = [
        stack.worker(*hosted, wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()
    with front_door(stack.env) as front:
        assert {i: str(front.wait(i, timeout_s=200).state) for i in ids} == ids
        listed = {one.saga_id: one.state for one in front.client.find(limit=100)}
        assert listed == ids
        operators_act(front, ids)


def operators_act(front: Front, ids: Mapping[str, str]) -> None:
    """Do with sagas that stopped under the version before what that could not."""
    stopped = max(i for i in ids if i.startswith("stuck"))
    [letter] = front.client.dead_letters(stopped)
    assert (letter.step, letter.next_try_at) == ("s1", None)
    assert letter.error == {"type": "ValueError", "message": "s1 fails always"}
    front.act("skip", stopped, "s1")
    assert front.await_state(stopped, "COMPENSATED").kept_steps == ()
    paused = max(i for i in ids if i.startswith("pivot"))
    front.act("retry", paused)
    front.await_state(paused, "PAUSED")
    assert front.told(paused, "SAGA_RETRIED") != []


def test_a_saga_begun_by_the_version_before_may_be_started_again(
    before: Connection, database_url: str
) -> None:
    calls = recorded()["good"]
    replay(before, "good", calls[:1])
    migrate_all(database_url)
    log = SagaLog(Database(database_url, pool_size=0))
    [started] = log.read("good").events
    spelled_out = started.data["definition"]
    transaction = SagaTransaction.from_json(spelled_out, transaction_id="good")
    assert transaction.to_json() != spelled_out
    same = Start(transaction=transaction, initial_data={"order": 7})
    assert log.begin(same, Because()) is None
    with pytest.raises(SagaConflict):
        log.begin(Start(transaction=transaction, initial_data={"order": 8}), Because())


@pytest.mark.parametrize("is_migrated", [False, True])
def test_what_the_version_before_writes_folds_as_it_did(
    before: Connection, database_url: str, *, is_migrated: bool
) -> None:
    """Its workers go on for a while after the migration."""
    if is_migrated:
        migrate_all(database_url)
    log = SagaLog(Database(database_url, pool_size=0))
    for kind, calls in recorded().items():
        replay(before, kind, calls)
        events = log.read(kind).events
        view = fold(kind, events)
        assert view is not None
        assert (view.state, view.version) == (ENDS[kind], len(events))
