"""Where a step's action is looked up: agents of this process, and its Celery tasks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from celery import Task, current_task
from celery.exceptions import Ignore, Reject, Retry

from orchestration.adapters.saga_records import AgentLimit
from orchestration.agents import Action, ActionContext, find_agent
from orchestration.core.saga.model import CELERY_ACTION
from orchestration.errors import NonRetryable, OutcomeUnknown, RetryLater
from tasks.celery_app import app
from tasks.figures import counted

__all__ = ["call_through", "find_action", "limit_of"]

_wrappers: list[Callable[[Action], Action]] = []


def call_through(wrapper: Callable[[Action], Action]) -> None:
    """Have each action be called through a wrapper from now on, in this process."""
    _wrappers.append(wrapper)


def find_action(agent_id: str, action: str) -> Action | None:
    """Return the action, or the task by its name, if this process has it."""
    found = _found(agent_id, action)
    for wrapper in _wrappers:
        found = None if found is None else wrapper(found)
    return found


def _found(agent_id: str, action: str) -> Action | None:
    if action.startswith(CELERY_ACTION):
        task = app.tasks.get(action.removeprefix(CELERY_ACTION))
        return None if task is None else _as_action(task)
    agent = find_agent(agent_id)
    own = None if agent is None else agent.find(action)
    return None if own is None else counted(agent_id, own)


def limit_of(agent_id: str) -> AgentLimit | None:
    """Return how much an agent may be given, if it has a limit."""
    agent = find_agent(agent_id)
    if agent is None or (agent.max_concurrent is None and agent.max_per_s is None):
        return None
    return AgentLimit(agent_id, agent.max_concurrent, agent.max_per_s)


def _as_action(task: Task) -> Action:
    """Return a Celery task as an action of a step.

    It is called with those values of the data that it has parameters for; a parameter
    ``context`` gets the ActionContext, and ``idempotency_key`` its key. What it returns
    is the step's output, if it is no dict under the step's name. ``self.retry`` ends
    the attempt: the next one is the step's, after the wait that was asked for.
    """

    def act(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        arguments = _arguments(task, data, context)
        # As Celery's own apply() does: so retry() raises and sends nothing, where
        # in a plain call it would forget its countdown.
        task.push_request(
            id=current_task.request.id,
            retries=context.attempt - 1,
            called_directly=False,
            is_eager=True,
        )
        try:
            result = task(**arguments)
        except Retry as exc:
            raise RetryLater(str(exc), _wait_ms(exc)) from exc
        except (Ignore, Reject) as exc:
            raise OutcomeUnknown(f"task {task.name} raised {exc!r}") from exc
        finally:
            task.pop_request()
        if result is None:
            return {}
        return dict(result) if isinstance(result, Mapping) else {context.step: result}

    return act


def _arguments(
    task: Task, data: Mapping[str, Any], context: ActionContext
) -> dict[str, Any]:
    given = {**data, "context": context, "idempotency_key": context.idempotency_key}
    wanted = inspect.signature(task.run).parameters.values()
    named = [p for p in wanted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [p.name for p in named if p.default is p.empty and p.name not in given]
    if missing:
        raise NonRetryable(
            f"task {task.name} needs {', '.join(missing)}, which the data of step "
            f"{context.step!r} do not have"
        )
    return {p.name: given[p.name] for p in named if p.name in given}


def _wait_ms(retry: Retry) -> int:
    """Return the wait that ``self.retry`` asked for, milliseconds."""
    when = retry.when
    if isinstance(when, datetime):
        return max(0, round((when - datetime.now(UTC)).total_seconds() * 1_000))
    return round(float(when or 0) * 1_000)
