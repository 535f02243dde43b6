"""Agents that more is asked of than they may be given."""

from __future__ import annotations

from orchestration.agents import Agent
from tests.support.effects_agents import work

narrow = Agent("agent-narrow", max_concurrent=2)
paced = Agent("agent-paced", max_per_s=5)

narrow.action("work")(work)
paced.action("work")(work)
