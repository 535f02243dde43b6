"""An agent whose set of actions is another one in each release."""

from __future__ import annotations

import os

from orchestration.agents import Agent
from tests.support.effects_agents import work

rolling = Agent("agent-rolling", pool="rolling")

for action in os.environ["ROLLING_ACTIONS"].split(","):
    rolling.action(action)(work)
