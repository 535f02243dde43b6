"""What a worker hosts: agents, actions, and what an action is told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from orchestration.agents import (
    ActionContext,
    Agent,
    hosted_agents,
    pool_hash,
)
from orchestration.errors import ConfigurationError, StepTimedOut

_numbers = count()


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent of a name that no other test has."""
    return Agent(f"agent-unit-{next(_numbers)}")


def context(**options: Any) -> ActionContext:
    given = {
        "saga_id": "t",
        "step": "a",
        "direction": "do",
        "attempt": 1,
        "round": 1,
        "idempotency_key": "t:a:do:1",
    }
    return ActionContext(**(given | options))


def test_an_agent_is_hosted_from_its_definition_on(agent: Agent) -> None:
    assert agent in hosted_agents()
    ids = [hosted.agent_id for hosted in hosted_agents()]
    assert ids == sorted(ids)


def test_an_action_is_found_by_its_name_or_its_functions(agent: Agent) -> None:
    @agent.action("collect_data")
    def one(data: dict[str, Any], context: ActionContext) -> None: ...

    @agent.action()
    async def other(data: dict[str, Any], context: ActionContext) -> None: ...

    assert agent.actions == ("collect_data", "other")
    assert agent.find("collect_data") is one
    assert agent.find("other") is other
    assert agent.find("none") is None


def test_two_actions_of_one_name_are_refused(agent: Agent) -> None:
    def act(data: dict[str, Any], context: ActionContext) -> None: ...

    agent.action("x")(act)
    with pytest.raises(ConfigurationError, match="has two actions named 'x'"):
        agent.action("x")(act)


def test_two_agents_of_one_id_are_refused(agent: Agent) -> None:
    with pytest.raises(ConfigurationError, match=r"is defined twice.*rename one"):
        Agent(agent.agent_id)


@pytest.mark.parametrize("wrong", ["", "a b", "a.b", "a:b"])
def test_malformed_ids_and_pools_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"agent_id .*use letters"):
        Agent(wrong)
    with pytest.raises(ConfigurationError, match=r"pool .*use letters"):
        Agent("agent-with-a-wrong-pool", pool=wrong)
    assert "agent-with-a-wrong-pool" not in {a.agent_id for a in hosted_agents()}


def test_a_pools_hash_changes_with_what_its_agents_can_do(agent: Agent) -> None:
    other = Agent(f"agent-unit-{next(_numbers)}")
    before = pool_hash([agent, other])
    assert before == pool_hash([other, agent])

    @agent.action()
    def another(data: dict[str, Any], context: ActionContext) -> None: ...

    assert pool_hash([agent, other]) != before


def test_a_context_outside_a_worker_has_no_connection() -> None:
    with pytest.raises(ConfigurationError, match="exists in a worker only"):
        context().connection  # noqa: B018  the look itself is refused


def test_a_context_asks_whoever_runs_the_action() -> None:
    def no_time_left() -> None:
        raise StepTimedOut("a")

    given = context(
        is_cancelled=lambda: True, renew=no_time_left, connect=lambda: "connection"
    )
    assert given.transaction_id == "t"
    assert given.cancelled
    assert given.connection == "connection"
    with pytest.raises(StepTimedOut):
        given.heartbeat()
    assert not context().cancelled
    context().heartbeat()
