"""Agents that are asked together in benchmarks: three answer, one never does."""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.scatter import ANSWERING, HUNG
from orchestration.agents import Agent, Message

_HANGS_S: Final = 3_600.0


def _host(agent: Agent) -> None:
    @agent.on_message
    def answer(message: Message) -> dict[str, Any]:
        return {"n": message.payload["n"]}


for agent_id in ANSWERING:
    _host(Agent(agent_id))

hung = Agent(HUNG, pool="hung")


@hung.on_message(timeout_ms=240_000)
def hang(message: Message) -> None:
    """Say nothing, for as long as it is let."""
    del message
    time.sleep(_HANGS_S)
