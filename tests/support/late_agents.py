"""An agent for a worker of threads, where nothing can end an action before its time."""

from __future__ import annotations

from orchestration.agents import Agent
from tests.support.effects_agents import unwork, work

late = Agent("agent-late", pool="late")

late.action("work")(work)
late.action("unwork")(unwork)
