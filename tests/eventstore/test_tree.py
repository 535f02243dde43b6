"""The tree of tasks from the metadata of a saga's events."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from eventstore import RecordedEvent
from eventstore.tree import TaskNode, task_tree


def event(kind: str, **metadata: Any) -> RecordedEvent:
    return RecordedEvent(
        stream="saga-1",
        version=1,
        event_id=uuid4(),
        type=kind,
        schema_version=1,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        correlation_id=None,
        causation_id=None,
        actor="",
        metadata=metadata,
        data={},
        hash=b"",
    )


def shape(nodes: tuple[TaskNode, ...] | list[TaskNode]) -> list[Any]:
    return [
        (node.task, [e.type for e in node.events], shape(node.children))
        for node in nodes
    ]


def test_children_hang_below_their_parents_in_order() -> None:
    tree = task_tree(
        [
            event("START", task="a", parent=None, root="a"),
            event("ONE", task="b", parent="a", root="a"),
            event("TWO", task="c", parent="a", root="a"),
            event("DONE", task="b", parent="a", root="a"),
            event("UNDER", task="d", parent="c", root="a"),
        ]
    )
    assert shape(tree) == [
        (
            "a",
            ["START"],
            [("b", ["ONE", "DONE"], []), ("c", ["TWO"], [("d", ["UNDER"], [])])],
        )
    ]


def test_a_parent_that_appended_nothing_gets_its_place_under_the_root() -> None:
    tree = task_tree([event("X", task="c", parent="b", root="a")])
    assert shape(tree) == [("a", [], [("b", [], [("c", ["X"], [])])])]


def test_a_silent_root_is_the_parent_itself() -> None:
    tree = task_tree([event("X", task="b", parent="a", root="a")])
    assert shape(tree) == [("a", [], [("b", ["X"], [])])]


def test_a_parent_that_speaks_later_is_put_right() -> None:
    tree = task_tree(
        [
            event("X", task="c", parent="b", root="a"),
            event("Y", task="b", parent="z", root="a"),
            event("Z", task="z", parent="a", root="a"),
            event("A", task="a", parent=None, root="a"),
        ]
    )
    assert shape(tree) == [
        ("a", ["A"], [("z", ["Z"], [("b", ["Y"], [("c", ["X"], [])])])])
    ]


def test_events_without_a_task_stand_apart() -> None:
    tree = task_tree([event("START"), event("X", task="a", parent=None, root="a")])
    assert shape(tree) == [(None, ["START"], []), ("a", ["X"], [])]


def test_a_circle_of_parents_loses_nobody() -> None:
    tree = task_tree(
        [event("X", task="a", parent="b"), event("Y", task="b", parent="a")]
    )
    assert sorted(shape(tree)) == [("a", ["X"], []), ("b", ["Y"], [])]
