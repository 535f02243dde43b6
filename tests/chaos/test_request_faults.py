"""Requests whose workers die over them: each is answered once, or times out."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import AgentError, RequestTimedOut
from orchestration.message_bus import Message
from tests.support.stack import Stack, Started
from tests.support.storm import processes_of
from tests.support.talking import Talk, talk
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(200)]
AGENTS = ("-I", "tests.support.talking_agents", "-c", "2")
REQUESTS = 60
# So long that who is not killed is answered, on a host that stands still for seconds.
TIMEOUT_MS = 30_000
OUTCOMES = (RequestTimedOut, AgentError)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Stack:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    stack.env["EFFECTS_FILE"] = str(tmp_path / "effects")
    return stack


def test_each_request_is_answered_once_or_times_out(
    broker: Stack, tmp_path: Path
) -> None:
    workers = [broker.worker(*AGENTS), broker.worker(*AGENTS)]
    with talk(broker.env) as talking:
        # Whoever is to be killed is at work until it is.
        gate = tmp_path / "gate"
        given = {"gate": str(gate), "sleep_s": 0.1}
        requests = [talking.message(n=n, **given) for n in range(REQUESTS)]
        killed: list[str] = []

        def kill() -> None:
            try:
                killed.extend(kill_over_a_request(talking, workers[0], whole=True))
                killed.extend(kill_over_a_request(talking, workers[1], whole=False))
            finally:
                gate.touch()

        killing = threading.Thread(target=kill)
        killing.start()
        outcomes = talking.run(ask_all(talking, requests))
        killing.join()
        kinds = Counter(type(one).__name__ for one in outcomes)
        begun = Counter(line["id"] for line in talking.lines(what="begin"))
        again = sum(times > 1 for times in begun.values())
        inbox = talking.bus.messages.inbox
        print(
            f"\n{dict(kinds)}; killed over {len(set(killed))} requests, {again} were "
            f"handled again; answers doubled {inbox.doubled}, late {inbox.late}"
        )
        failures = [one for one in outcomes if not isinstance(one, Message)]
        assert all(isinstance(one, OUTCOMES) for one in failures), failures
        assert len(set(killed)) >= 2
        assert again >= 1
        for asked, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Message):
                # Its own answer, of a handler that came to its end.
                assert outcome.payload["heard"] == asked.payload
                assert talking.lines(asked, "end")
            elif isinstance(outcome, RequestTimedOut):
                # Only what died with its worker is lost to its caller.
                assert asked.message_id in killed or not begun[asked.message_id]
        if "amqp" in broker.env["CELERY_BROKER_URL"]:
            assert not kinds["RequestTimedOut"]
        assert not inbox._waiting


async def ask_all(
    talking: Talk, requests: list[Message]
) -> list[Message | BaseException]:
    ask: Callable[[Message], object] = talking.bus.request
    pending = [ask(one, timeout_ms=TIMEOUT_MS) for one in requests]
    return await asyncio.gather(*pending, return_exceptions=True)


def in_flight(talking: Talk, pids: set[int]) -> list[str]:
    """Return the requests that these processes have begun and not ended."""
    begun = {one["id"] for one in talking.lines(what="begin") if one["pid"] in pids}
    return sorted(begun - {one["id"] for one in talking.lines(what="end")})


def kill_over_a_request(talking: Talk, worker: Started, *, whole: bool) -> list[str]:
    """Kill -9 a child over a request, or its whole worker; return what that held."""
    held: list[str] = []

    def catch() -> bool:
        caught = processes_of(worker) if whole else worker.children()[:1]
        for process in caught:
            process.suspend()
        held[:] = in_flight(talking, {process.pid for process in caught})
        for process in caught:
            process.kill() if held else process.resume()
        return bool(held)

    wait_until(catch, "a request is being handled")
    return held
