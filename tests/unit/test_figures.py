"""What hosted agents' heartbeats tell is counted, by whichever process works."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from orchestration.agents import ActionContext
from tasks import figures as module
from tasks.figures import Figures, HostFigures, count_for, counted

CONTEXT = ActionContext(
    saga_id="s", step="a", direction="do", attempt=1, round=1, idempotency_key="k"
)


@pytest.fixture
def figures() -> Iterator[Figures]:
    figures = Figures(["agent-a", "agent-b"])
    count_for(figures)
    yield figures
    module._counting.clear()


def works(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    return data


def fails(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    raise ValueError("no")


def test_what_was_done_since_the_last_look_is_told_once(figures: Figures) -> None:
    for _ in range(3):
        assert counted("agent-a", works)({"n": 1}, CONTEXT) == {"n": 1}
    with pytest.raises(ValueError, match="no"):
        counted("agent-a", fails)({}, CONTEXT)
    told = figures.since()
    assert told.keys() == {"agent-a"}
    assert told["agent-a"]["error_rate"] == 0.25
    assert told["agent-a"]["response_time_ms"] >= 0
    assert figures.since() == {}


def test_an_asynchronous_action_is_counted_when_it_ends(figures: Figures) -> None:
    async def later(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        await asyncio.sleep(0)
        if data:
            raise ValueError("no")
        return data

    awaitable = counted("agent-b", later)({}, CONTEXT)
    assert figures.since() == {}
    assert asyncio.run(awaitable) == {}
    with pytest.raises(ValueError, match="no"):
        asyncio.run(counted("agent-b", later)({"n": 1}, CONTEXT))
    assert figures.since()["agent-b"]["error_rate"] == 0.5


def test_processes_that_are_forked_count_for_their_parent(figures: Figures) -> None:
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=counted("agent-a", works), args=({}, CONTEXT))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert figures.since().keys() == {"agent-a"}


def test_agents_that_are_not_hosted_here_are_not_counted(figures: Figures) -> None:
    counted("agent-other", works)({}, CONTEXT)
    assert figures.since() == {}


def test_the_host_tells_shares() -> None:
    host = HostFigures()
    sum(range(200_000))
    told = host.now()
    assert all(0 <= share <= 1 for share in told.values())
