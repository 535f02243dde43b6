"""Where the handler of partitions is looked up: what was registered, or an agent's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.agents import Action, ActionContext, find_agent
from orchestration.core.swarm.providers import (
    Partition,
    PartitionHandler,
    find_partition_handler,
)

__all__ = ["handler_of"]


def handler_of(name: str) -> PartitionHandler | None:
    """Return the handler of a name, if this process has it.

    Args:
        name: Of one that was registered, or ``agent/action``.
    """
    agent_id, is_agents, action_name = name.partition("/")
    if not is_agents:
        return find_partition_handler(name)
    agent = find_agent(agent_id)
    action = None if agent is None else agent.find(action_name)
    return None if action is None else _as_handler(action_name, action)


def _as_handler(name: str, action: Action) -> PartitionHandler:
    """Return an action as a handler: its data are the stage's, and its share of them.

    Beside what the swarm's metadata have as ``input`` it finds ``index``, ``of`` and
    its ``items``; and ``item``, if it is one.
    """

    def handle(partition: Partition, metadata: Mapping[str, Any]) -> Any:  # noqa: ANN401
        data = {**metadata.get("input", {})}
        data |= {"index": partition.index, "of": partition.of}
        rows = partition.rows
        if rows is not None:
            data["items"] = rows
            if isinstance(rows, list) and len(rows) == 1:
                data["item"] = rows[0]
        rest = {key: metadata[key] for key in metadata if key not in _OURS}
        context = ActionContext(
            saga_id=str(metadata.get("saga_id", partition.swarm_id)),
            step=f"{name}[{partition.index}]",
            direction="do",
            attempt=partition.attempt,
            round=1,
            idempotency_key=partition.idempotency_key,
            metadata=rest,
        )
        return action(data, context)

    return handle


_OURS = ("input", "items", "saga_id")
