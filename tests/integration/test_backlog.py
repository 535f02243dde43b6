"""Long queues: that they are seen, and what a message costs that has come twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.backlog import LONG, Backlog
from orchestration.adapters.celery_bus import hint_for, make_producer, queue_of
from orchestration.adapters.database import Database
from orchestration.adapters.saga_records import Because
from orchestration.adapters.schema import migrate_all
from orchestration.core.saga.decide import Refusal
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Succeeded
from orchestration.engine.attempts import open_attempt
from orchestration.settings import Settings
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide

pytestmark = pytest.mark.integration


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, redis_url: str) -> str:
    if request.param == "redis":
        return redis_url
    return str(request.getfixturevalue("rabbitmq_url"))


def test_a_queue_is_long_from_some_length_on_until_it_is_fetched(
    broker: str, database_url: str, redis_url: str
) -> None:
    migrate_all(database_url)
    urls = {"database_url": database_url, "redis_url": redis_url}
    db = Database(database_url)
    app = make_producer(Settings.from_env(**urls, broker_url=broker))
    announcements = Announcements(db, 5.0)
    queue = queue_of("agent-nobody", announcements)

    def is_long() -> bool:
        return Backlog(app, announcements).is_long("agent-nobody")

    try:
        assert not is_long()  # there is no such queue yet
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(LONG - 1):
                app.send_task("x", queue=queue, producer=producer)
            assert not is_long()
            app.send_task("x", queue=queue, producer=producer)
        # A broker that confirms nothing may have them a moment later.
        wait_until(is_long, "the queue is long")
        with app.connection_for_read() as connection:
            connection.channel().queue_purge(queue)
        assert not is_long()
    finally:
        app.close()
        db.close()


def test_a_broker_that_is_away_has_no_long_queue(
    database_url: str, redis_url: str
) -> None:
    migrate_all(database_url)
    db = Database(database_url)
    for nobody in ("redis://127.0.0.1:1/0", "amqp://guest:guest@127.0.0.1:1//"):
        app = make_producer(
            Settings.from_env(
                database_url=database_url, redis_url=redis_url, broker_url=nobody
            )
        )
        assert not Backlog(app, Announcements(db, 5.0)).is_long("agent-nobody")
        app.close()
    db.close()


def test_a_message_that_comes_twice_is_dropped_in_one_round_trip_without_a_claim(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = side.begin(count=2)
    view = side.rt.log.view(saga_id)
    hint = hint_for(view, "s1", Direction.DO, side.rt.recorder.now())
    side.close(side.open(saga_id, "s1", hint=hint), Succeeded({}))
    before = side.types(saga_id)
    asked: list[str] = []
    rows = Database.rows

    def counted(
        db: Database, statement: str, *rest: Any, **options: Any
    ) -> Sequence[Sequence[Any]]:
        asked.append(statement)
        return rows(db, statement, *rest, **options)

    monkeypatch.setattr(Database, "rows", counted)
    message = side.message(saga_id, "s1")
    again = open_attempt(side.rt.recorder, message, Direction.DO, hint, Because())
    assert again is Refusal.SETTLED
    assert len(asked) == 1
    assert side.types(saga_id) == before
