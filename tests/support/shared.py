"""A stack that all tests of a module share: each works on things of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import migrate
from tests.support.servers import fresh_database, wipe
from tests.support.stack import Stack


@contextmanager
def shared_stack(
    postgres_server: str,
    redis_databases: tuple[str, str],
    broker_url: str | None = None,
    **more: str,
) -> Iterator[Stack]:
    """Make a database and a stack on it; start what it shall consist of.

    Its Redis is that of tests with servers of their own, too, and they empty it: a
    module has tests of one kind or of the other.
    """
    with fresh_database(postgres_server) as database_url:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_databases[0],
            "CELERY_BROKER_URL": broker_url or redis_databases[1],
            **more,
        }
        stack = Stack(environment, prepare=migrate)
        try:
            yield stack
        finally:
            stack.close()
            for url in redis_databases:
                wipe(url)


def wait_all_ready(stack: Stack) -> Stack:
    """Return the stack once all that it has started is ready."""
    for part in stack.started:
        part.wait_ready()
    return stack
