"""What a swarm may not be told: every fault at once, before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.core.swarm.model import SwarmBehavior
from orchestration.core.swarm.task import SwarmTask


def task(**given: Any) -> SwarmTask:
    return SwarmTask("count", **{"handler": "h", **given})


def test_a_sound_task_has_no_faults() -> None:
    assert (
        task(data_partitions=3, weights=[1, 2, 0.5], groups=[0, 0, 1]).faults(10) == ()
    )


def test_all_faults_are_named_at_once() -> None:
    faults = SwarmTask(
        "",
        data_partitions=0,
        agents_required=5,
        behavior="SLEEPING",  # type: ignore[arg-type]
        convergence_threshold=1.5,
        timeout_ms=-1,
    ).faults(1_000)
    named = [fault.split(" is ")[0] for fault in faults]
    assert named == [
        "objective",
        "data_partitions",
        "agents_required",
        "behavior",
        "convergence_threshold",
        "timeout_ms",
        "nobody",
    ]
    assert (
        "give a whole number, 10 to 1,000 (ORCHESTRATION_MAX_SWARM_AGENTS)"
        in (faults[2])
    )


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"weights": [1.0]}, "weights has 1 entries: give 2, one a partition"),
        ({"weights": [1.0, 0]}, "weights[1] is 0: give a number above 0"),
        ({"weights": "ab"}, "weights is 'ab': give a list"),
        ({"groups": [0, -1]}, "groups[1] is -1: give a whole number from 0"),
        ({"roles": {"QUEEN": 0.5}}, "roles has 'QUEEN': use SCOUT"),
        ({"roles": {"SCOUT": 0.9}}, "roles: scout, soldier, nurse, forager are more"),
        ({"metadata": {"x": object()}}, "metadata['x'] is"),
        ({"metadata": {"data_source": 1}}, "metadata['data_source'] is 1"),
        ({"handler": "two words"}, "handler is 'two words'"),
        ({"drain": "yes"}, "drain is 'yes'"),
        ({"swarm_id": "a/b"}, "swarm_id is 'a/b'"),
        ({"max_attempts": 0}, "max_attempts is 0"),
    ],
)
def test_each_fault_names_the_value(given: dict[str, Any], fault: str) -> None:
    [found] = task(data_partitions=2, **given).faults(1_000)
    assert found.startswith(fault)


def test_a_behaviour_may_be_a_plain_name() -> None:
    assert task(behavior="flocking").behavior is SwarmBehavior.FLOCKING


@pytest.mark.parametrize(
    ("given", "handler", "source", "needs"),
    [
        ({"handler": "a"}, "a", "a", False),
        ({"metadata": {"handler": "b"}}, "b", "b", False),
        ({"metadata": {"data_source": "c"}}, "c", "c", False),
        ({"handler": "a", "metadata": {"data_source": "c"}}, "a", "c", True),
    ],
)
def test_where_the_handler_is_looked_for(
    given: dict[str, Any],
    handler: str,
    source: str,
    needs: bool,  # noqa: FBT001
) -> None:
    found = SwarmTask("count", **given)
    assert (found.handler_name, found.source_name) == (handler, source)
    assert found.needs_source is needs


def test_json_and_back() -> None:
    one = task(data_partitions=2, weights=(1, 2.5), roles={"SCOUT": 0.0})
    assert SwarmTask.from_json(one.to_json()).to_json() == one.to_json()


def test_json_that_is_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="a task has no 'agents'"):
        SwarmTask.from_json({"objective": "x", "agents": 3})
    with pytest.raises(ValueError, match="objective is missing"):
        SwarmTask.from_json({})
    with pytest.raises(ValueError, match="is no task"):
        SwarmTask.from_json([1])
