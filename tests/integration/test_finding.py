"""Lists of sagas among many: what is found, and how little is read for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.saga_index import SagaIndex
from orchestration.adapters.schema import migrate_all
from tests.support.servers import fresh_database

pytestmark = pytest.mark.integration

# Every fourth is open. Of the rest one of 500 is undone, one of 1,000 of a rare name.
FILL = """
INSERT INTO orch.open_saga (saga_id, name, state, version, started_at)
SELECT
    'saga-' || n, 'order', CASE WHEN n % 400 = 0 THEN 'PAUSED' ELSE 'RUNNING' END, 1,
    timestamptz '2026-01-01 00:00Z' + make_interval(secs => n)
FROM generate_series(1, 20000) AS n
WHERE n % 4 = 0;

INSERT INTO orch.ended_saga (saga_id, name, state, started_at, ended_at)
SELECT
    'saga-' || n, CASE WHEN n % 1000 = 1 THEN 'rare' ELSE 'order' END,
    CASE WHEN n % 500 = 1 THEN 'COMPENSATED' ELSE 'COMPLETED' END,
    timestamptz '2026-01-01 00:00Z' + make_interval(secs => n),
    timestamptz '2026-01-02 00:00Z'
FROM generate_series(1, 20000) AS n
WHERE n % 4 <> 0;

INSERT INTO orch.search_attributes (saga_id, attributes)
SELECT 'saga-' || n, jsonb_build_object('customer', 'c' || n % 100, 'year', 2026)
FROM generate_series(1, 20000) AS n;
"""


@pytest.fixture(scope="module")
def db(postgres_server: str) -> Iterator[Database]:
    """A database with 5,000 open and 15,000 ended sagas."""
    with fresh_database(postgres_server) as url:
        migrate_all(url)
        db = Database(url, pool_size=1)
        with db.engine.connect() as connection:
            connection.exec_driver_sql(FILL.replace("%", "%%"))
            connection.exec_driver_sql("VACUUM ANALYZE")
        yield db
        db.close()


def ids(index: SagaIndex, **wanted: Any) -> list[str]:
    return [one.saga_id for one in index.find(**wanted)]


def test_open_and_ended_sagas_come_in_one_order_newest_first(db: Database) -> None:
    assert ids(SagaIndex(db), limit=5) == [f"saga-{n}" for n in range(20000, 19995, -1)]


@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        ({"state": "PAUSED"}, [20000, 19600, 19200]),
        ({"state": "compensated"}, [19501, 19001, 18501]),
        ({"state": "COMPLETED"}, [19999, 19998, 19997]),
        ({"name": "rare"}, [19001, 18001, 17001]),
        ({"name": "rare", "state": "RUNNING"}, []),
        ({"attributes": {"customer": "c7"}}, [19907, 19807, 19707]),
        ({"attributes": {"customer": "c7", "year": 2026}}, [19907, 19807, 19707]),
        ({"attributes": {"customer": "c0"}, "state": "PAUSED"}, [20000, 19600, 19200]),
        ({"attributes": {"customer": "nobody"}}, []),
    ],
)
def test_sagas_are_found_by_state_name_and_attributes(
    db: Database, wanted: dict[str, Any], first: list[int]
) -> None:
    assert ids(SagaIndex(db), limit=3, **wanted) == [f"saga-{n}" for n in first]


def test_a_line_of_a_list_says_all_that_is_known(db: Database) -> None:
    [line] = SagaIndex(db).find(name="rare", limit=1)
    assert line.search_attributes == {"customer": "c1", "year": 2026}
    assert (line.state, line.parent_id, line.waiting_for) == ("COMPENSATED", None, None)
    assert line.ended_at is not None


def test_pages_follow_one_another_and_miss_nothing(db: Database) -> None:
    index = SagaIndex(db)
    [newest] = index.find(limit=1)
    began, ended = newest.started_at - timedelta(seconds=99), newest.started_at
    seen: list[str] = []
    page = index.find(limit=30, started_after=began, started_before=ended)
    while page:
        seen += [one.saga_id for one in page]
        page = index.find(
            limit=30, started_after=began, started_before=ended, after=page[-1]
        )
    assert seen == [f"saga-{n}" for n in range(19999, 19900, -1)]


def test_a_state_that_there_is_none_of_is_named(db: Database) -> None:
    with pytest.raises(ValueError, match="'SLEEPING' is no SagaState: use RUNNING"):
        SagaIndex(db).find(state="SLEEPING")


def plan(db: Database, **wanted: Any) -> str:
    """Return how Postgres runs the statement."""
    nothing = dict.fromkeys(
        ("state", "is_over", "name", "attributes", "since", "until", "after_at")
    )
    parameters = {**nothing, "after_id": None, "limit": 20, **wanted}
    sql = "EXPLAIN (ANALYZE, COSTS OFF) " + load_queries("sagas.sql")["find"]
    return "\n".join(row[0] for row in db.rows(sql, parameters))


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        ({}, ["open_saga_started_at", "ended_saga_started_at"]),
        ({"state": "RUNNING", "is_over": False}, ["open_saga_started_at"]),
        ({"state": "COMPLETED", "is_over": True}, ["ended_saga_started_at"]),
        ({"state": "COMPENSATED", "is_over": True}, ["ended_saga_undone"]),
        ({"name": "rare"}, ["ended_saga_name"]),
    ],
    ids=str,
)
def test_lists_are_read_by_an_index_and_no_further_than_asked(
    db: Database, wanted: dict[str, Any], indexes: list[str]
) -> None:
    shown = plan(db, **wanted)
    for index in indexes:
        assert f"using {index}" in shown
    assert "Seq Scan on ended_saga" not in shown


@pytest.mark.parametrize(
    ("state", "is_over", "unread"),
    [("PAUSED", False, "ended_saga"), ("COMPENSATED", True, "open_saga")],
)
def test_the_table_that_cannot_hold_a_state_is_not_read(
    db: Database, *, state: str, is_over: bool, unread: str
) -> None:
    assert f"on {unread}" not in plan(db, state=state, is_over=is_over)
