"""What callers see of Postgres when it goes away, and comes back."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from eventstore.direct import Direct
from orchestration.adapters.database import Database
from tests.support.tcp_proxy import server_of, tcp_proxy

pytestmark = pytest.mark.integration


def through(url: str, port: int) -> str:
    moved = make_url(url).set(host="127.0.0.1", port=port)
    return moved.render_as_string(hide_password=False)


def test_a_statement_waits_for_a_server_that_is_starting(
    database_url: str,
) -> None:
    with tcp_proxy(server_of(database_url)) as proxy:
        db = Database(through(database_url, proxy.port))
        assert db.rows("SELECT 1") == [(1,)]
        proxy.cut()  # the open connection, and each that is tried
        back = threading.Timer(0.4, proxy.heal)
        back.start()
        assert db.rows("SELECT 2") == [(2,)]
        back.join()
        db.close()


def test_a_connection_that_cannot_be_made_is_told_as_any_other_error(
    database_url: str,
) -> None:
    with tcp_proxy(server_of(database_url)) as proxy:
        proxy.cut()
        engine = create_engine(through(database_url, proxy.port))
        with pytest.raises(OperationalError) as raised:
            Direct(engine).rows("SELECT 1", ())
        assert raised.value.connection_invalidated
        engine.dispose()
