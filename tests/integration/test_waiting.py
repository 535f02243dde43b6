"""Producers that wait for sagas, and the connections they wait on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from orchestration import message_bus
from orchestration.adapters.push import Ends, EndWaiter
from orchestration.core.saga.outcomes import Succeeded
from orchestration.errors import SagaStillRunning, TransportError
from orchestration.saga import SagaExecution, SagaState
from tests.support.front import Front, front_door
from tests.support.stack import ROOT
from tests.support.waiting import wait_until
from tests.support.worker_side import WorkerSide

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def environment(side: WorkerSide, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": side.database_url,
        "REDIS_URL": redis_url,
        "CELERY_BROKER_URL": redis_url,
        "ORCHESTRATION_KEY_PREFIX": side.rt.settings.key_prefix,
    }


@pytest.fixture
def front(environment: dict[str, str]) -> Iterator[Front]:
    with front_door(environment) as front:
        yield front


class Never:
    """A log in which no saga ever ends."""

    def over(self, _saga_ids: Any) -> tuple[str, ...]:
        return ()


def test_a_word_that_is_no_text_does_not_deafen_those_who_wait(redis_url: str) -> None:
    ends = Ends(redis_url, "words_")
    waiter = EndWaiter(Never(), ends)  # type: ignore[arg-type]  # a stand-in
    gone, end = waiter.wait_for("saga-0"), waiter.wait_for("saga-1")
    gone.cancel()
    with redis.Redis.from_url(redis_url) as client:
        wait_until(
            lambda: client.publish(ends.channel, b"\xff\xfe"), "somebody listens"
        )
        for saga_id in ("saga-0", "saga-1"):
            client.publish(ends.channel, saga_id)
    assert end.result(timeout=120) is None
    waiter.close()
    ends.close()


def test_a_false_word_of_a_sagas_end_ends_no_wait(
    side: WorkerSide, front: Front
) -> None:
    saga_id = side.begin()

    async def wait() -> None:
        waiting = asyncio.ensure_future(front.saga.wait(saga_id, timeout_ms=1_500))
        while not waiting.done():
            side.rt.ends.tell(saga_id)
            await asyncio.sleep(0.05)
        await waiting

    with pytest.raises(SagaStillRunning):
        asyncio.run(wait())


def test_a_bus_that_is_closed_lets_go_of_those_who_wait(
    side: WorkerSide, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = side.begin()

    async def wait() -> None:
        has_looked, look = asyncio.Event(), front.saga.get_execution_status

        async def looks(saga_id: str) -> SagaExecution:
            status = await look(saga_id)
            has_looked.set()  # and waits from here on
            return status

        monkeypatch.setattr(front.saga, "get_execution_status", looks)
        waiting = asyncio.ensure_future(front.saga.wait(saga_id))
        await has_looked.wait()
        await front.bus.close()
        await waiting

    with front_door(environment) as front, pytest.raises(TransportError, match="goes"):
        asyncio.run(wait())


def test_a_bus_that_is_initialized_by_two_at_once_connects_once(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    class Counted(message_bus.Database):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append(self)
            super().__init__(*args, **options)

    monkeypatch.setattr(message_bus, "Database", Counted)
    bus = message_bus.MessageBus(front.bus.settings)

    async def initialize() -> None:
        await asyncio.gather(*(bus.initialize() for _ in range(4)))
        await bus.close()

    asyncio.run(initialize())
    assert len(made) == 1


SCRIPT = """
import asyncio
from orchestration.message_bus import MessageBus
from orchestration.saga import SagaOrchestrator

async def main():
    # What asyncio calls slow, in a line on stderr, a busy host often is.
    asyncio.get_running_loop().slow_callback_duration = 1e9
    saga = SagaOrchestrator(MessageBus())
    await saga.initialize()
    print((await saga.wait("{}")).state)

asyncio.run(main())
"""


def test_a_script_that_never_closes_its_bus_ends_without_a_word(
    side: WorkerSide, environment: dict[str, str]
) -> None:
    saga_id = side.begin(count=1)
    side.close(side.open(saga_id, "s1"), Succeeded({}))
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT.format(saga_id)],
        env={"PATH": "", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip() == SagaState.COMPLETED
