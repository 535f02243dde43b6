"""Many agents in two pools; each notes what it is told, in the file EFFECTS_FILE."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from orchestration.agents import Agent, Message, MessageContext

SINGERS: Final = 25


def hear(message: Message, context: MessageContext) -> None:
    line = {"what": "heard", "id": message.message_id, "agent": context.agent_id}
    with Path(os.environ["EFFECTS_FILE"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


def _singer(pool: str, nth: int) -> Agent:
    agent = Agent(f"agent-{pool}-{nth:02}", pool=pool)
    agent.on_message(hear)
    return agent


agents = [_singer(pool, nth) for pool in ("high", "low") for nth in range(SINGERS)]
CHOIR: Final = [agent.agent_id for agent in agents]
