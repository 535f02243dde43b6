"""The stack of real workers that other tests start."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping

import psutil
import pytest
import redis

from orchestration.adapters.embedded import EmbeddedServerError
from tests.support.processes import process_scan
from tests.support.small_app import hang, note
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

APP = "tests.support.small_app"


@pytest.fixture
def addresses(redis_url: str, redis_broker_url: str) -> Mapping[str, str]:
    return {"REDIS_URL": redis_url, "CELERY_BROKER_URL": redis_broker_url}


@pytest.fixture
def small(make_stack: Callable[..., Stack], addresses: Mapping[str, str]) -> Stack:
    return make_stack(addresses, app=APP)


def count(addresses: Mapping[str, str], word: str) -> int:
    with contextlib.closing(redis.Redis.from_url(addresses["REDIS_URL"])) as client:
        return int(client.get(word) or 0)


def send(task: object, addresses: Mapping[str, str], *words: str) -> None:
    with note.app.connection(addresses["CELERY_BROKER_URL"]) as connection:
        task.apply_async(words, connection=connection)


def test_worker_is_ready_when_it_is_returned(
    small: Stack, addresses: Mapping[str, str]
) -> None:
    small.worker("-c", "1")
    send(note, addresses, "word")
    wait_until(lambda: count(addresses, "word") == 1, "the task to run")


def test_chores_and_beat_run_together(
    small: Stack, addresses: Mapping[str, str]
) -> None:
    starting = [small.chores("-Q", "chores,celery", wait=False), small.beat(wait=False)]
    for process in starting:
        process.wait_ready()
    wait_until(lambda: count(addresses, "tick") > 0, "a tick of beat")


def test_killed_worker_takes_its_children_along(
    small: Stack, addresses: Mapping[str, str]
) -> None:
    worker = small.worker("-c", "2")
    send(hang, addresses)
    wait_until(lambda: count(addresses, "hanging") == 1, "the task to begin")
    children = worker.children()
    worker.kill()
    assert worker.wait() == -9
    psutil.wait_procs(children, timeout=120)
    assert not any(child.is_running() for child in children)


def test_busy_worker_does_not_outlive_the_stack(
    small: Stack, addresses: Mapping[str, str]
) -> None:
    small.worker("-c", "1")
    send(hang, addresses)
    wait_until(lambda: count(addresses, "hanging") == 1, "the task to begin")
    marker = small.supervisor.stack_id
    small.started[0].send_signal(signal.SIGQUIT)  # which it takes its time over
    small.supervisor.close()
    assert process_scan(marker) == []


def test_worker_that_cannot_start_shows_its_log(
    make_stack: Callable[..., Stack], addresses: Mapping[str, str]
) -> None:
    broken = make_stack(addresses, app="tests.support.no_such_app")
    with pytest.raises(EmbeddedServerError, match="no_such_app"):
        broken.worker()
