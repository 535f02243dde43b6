"""Whom a world's workers host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from orchestration.adapters.saga_records import AgentLimit
from orchestration.agents import (
    Action,
    ActionContext,
    Agent,
    find_agent,
    hosted_agents,
)
from orchestration.core.saga.model import CELERY_ACTION
from orchestration.engine.starting import ANY_AGENT
from orchestration.testing.faults import inject
from orchestration.testing.mishaps import WorkerKilled

__all__ = ["Agency"]


@dataclass(frozen=True, slots=True)
class Agency:
    """Who knows agents and their actions; faults happen in these."""

    find_agent: Callable[[str], Agent | None]
    tasks: Mapping[str, Action]
    listed: Callable[[], Iterable[Agent]] = hosted_agents

    @classmethod
    def of(cls, agents: Iterable[Agent] | None, tasks: Mapping[str, Action]) -> Agency:
        """Return one of these agents, or of all that there are."""
        if agents is None:
            return cls(find_agent, tasks)
        own = {agent.agent_id: agent for agent in agents}
        return cls(own.get, tasks, own.values)

    def find(self, agent_id: str, action: str) -> Action | None:
        """Return the action, if it is hosted."""
        found = self._found(agent_id, action)
        return None if found is None else inject(found, _kill, _go_on)

    def _found(self, agent_id: str, action: str) -> Action | None:
        if action.startswith(CELERY_ACTION):
            return self.tasks.get(action.removeprefix(CELERY_ACTION))
        agent = self.find_agent(agent_id)
        return agent.find(action) if agent else None

    def limit_of(self, agent_id: str) -> AgentLimit | None:
        """Return how much an agent may be given, if it has a limit."""
        agent = self.find_agent(agent_id)
        if agent is None or (agent.max_concurrent is None and agent.max_per_s is None):
            return None
        return AgentLimit(agent_id, agent.max_concurrent, agent.max_per_s)

    def unknown(self, wanted: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Return which (agent, action) are not hosted; an agent ``*`` is any."""
        return tuple(pair for pair in wanted if not self._is_hosted(*pair))

    def _is_hosted(self, agent_id: str, action: str) -> bool:
        if agent_id != ANY_AGENT:
            return self._found(agent_id, action) is not None
        return any(agent.find(action) for agent in self.listed())

    def choose(
        self, capability: str, action: str, *, other_than: str = ""
    ) -> str | None:
        """Return the first agent, by id, that has the capability and the action."""
        found = sorted(
            (agent.agent_id == other_than, agent.agent_id)
            for agent in self.listed()
            if capability in agent.capabilities and agent.find(action)
        )
        return found[0][1] if found else None

    def is_live(self, agent_id: str) -> bool:
        """Return whether it is hosted: nobody comes or goes."""
        return self.find_agent(agent_id) is not None


def _kill() -> NoReturn:
    raise WorkerKilled


def _go_on(context: ActionContext) -> None:
    """Stand still no longer: the world's workers have stood still before."""
    del context
