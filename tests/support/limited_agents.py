"""Agents that may be called only so often, or only once at a time."""

from __future__ import annotations

from orchestration.agents import Agent
from tests.support.effects_agents import work

single = Agent("agent-single", max_concurrent=1)
rated = Agent("agent-rated", max_per_s=4)

single.action("work")(work)
rated.action("work")(work)
