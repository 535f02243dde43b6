"""The tree of tasks that a saga's events tell of.

Each event carries in its metadata the id of the task that appended it, that
task's parent and the root of its canvas; no other record of the tasks is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventstore.event import RecordedEvent


@dataclass(slots=True)
class TaskNode:
    """One task, the events that it appended and the tasks that it sent.

    Attributes:
        task: Its id; None collects events that no task appended.
        events: In the order of the stream.
        children: In the order of their first events.
    """

    task: str | None
    events: list[RecordedEvent] = field(default_factory=list)
    children: list["TaskNode"] = field(default_factory=list)


def task_tree(events: Sequence[RecordedEvent]) -> tuple[TaskNode, ...]:
    """Rebuild the tree from the events of one stream.

    A parent that appended nothing itself still gets its place. Ids that name each
    other as parents, which no canvas does, each start a tree of their own.

    Returns:
        The roots, in the order of their first events.
    """
    nodes: dict[str | None, TaskNode] = {}
    parents: dict[str, str | None] = {}
    for event in events:
        task, parent, root = (
            _id(event.metadata, k) for k in ("task", "parent", "root")
        )
        nodes.setdefault(task, TaskNode(task)).events.append(event)
        if task is None:
            continue
        parents[task] = parent
        if parent is not None and parent not in parents:
            parents[parent] = root if root != parent else None
        for silent in (parent, parents.get(parent or "")):
            if silent is not None:
                nodes.setdefault(silent, TaskNode(silent))
    roots: list[TaskNode] = []
    for task, node in nodes.items():
        above = _ancestor(task, parents)
        (roots if above is None else nodes[above].children).append(node)
    return tuple(roots)


def _id(metadata: Mapping[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    return None if value is None else str(value)


def _ancestor(task: str | None, parents: Mapping[str, str | None]) -> str | None:
    """The parent of a task, or None for a root or a task within a circle."""
    if task is None:
        return None
    parent = step = parents.get(task)
    seen = {task}
    while step is not None:
        if step in seen:
            return None
        seen.add(step)
        step = parents.get(step)
    return parent
