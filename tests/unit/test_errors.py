"""The error tree: as drawn, and able to travel between processes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from orchestration import errors
from orchestration.core.saga.execution import execution_of
from tests.unit.scripted import FOR_GOOD, Script, step


def drawn() -> dict[str, str | None]:
    """Return each class of the docstring's tree with the class it stands under."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        if found := re.match(r"([│├└─ ]*)([A-Z]\w+)(\s|$)", line):
            depth = len(found[1]) // 4
            if depth or found[2] == "OrchestrationError":
                del path[depth:]
                parents[found[2]] = path[-1] if path else None
                path.append(found[2])
    return parents


def defined() -> dict[str, str | None]:
    kinds = [k for _, k in inspect.getmembers(errors, inspect.isclass)]
    ours = [kind for kind in kinds if kind.__module__.startswith(errors.__name__)]
    return {
        kind.__name__: kind.__base__.__name__ if kind.__base__ in ours else None
        for kind in ours
    }


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn() == defined()


def test_every_error_is_public() -> None:
    assert sorted(errors.__all__) == sorted(defined())


def test_a_refused_saga_names_its_faults() -> None:
    error = errors.InvalidSaga("report", ["no steps", "no name"])
    assert str(error) == "saga 'report' was refused: no steps; no name"


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidSaga("t", ["a fault"]),
        errors.UnknownAgent("t", ["a fault"]),
        errors.InvalidTemplate("order@1.0.0", ["a fault"]),
        errors.InvalidDescriptor("agent-a", ["a fault"]),
        errors.DuplicateAgent("agent 'agent-a' belongs to 'team-a'", "agent-a"),
        errors.AgentNotFound("no agent 'agent-a' is registered", "agent-a"),
        errors.InvalidHeartbeat("agent-a", ["a fault"]),
        errors.InvalidCard("Recipes", ["a fault"]),
        errors.TokenRefused("the token is over", "EXPIRED"),
        errors.InvalidQuery(["a fault"]),
        errors.TemplateNotFound("there is no template 'order'"),
        errors.InvalidCondition("condition 'a.b', at character 2: no", "a.b", 2),
        errors.InvalidRoute("r", ["a fault"]),
        errors.NoRoute("no way", "calculator"),
        errors.AllUnhealthy("all silent", "calculator", "r"),
        errors.SagaNotFound("no saga t", "t"),
        errors.NonRetryable("no"),
        errors.ConfigurationError("X is 1"),
        errors.UnknownRecipient("nobody", "m"),
        errors.AgentError("agent a answered", "m", "ValueError", "no"),
    ],
)
def test_an_error_survives_the_way_between_processes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_outcome_carries_the_status() -> None:
    script = Script(step("a"))
    script.do("a", FOR_GOOD)
    status = execution_of(script.view)
    error = errors.SagaCompensated("saga t is COMPENSATED", status)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.saga_id, again.status) == (
        "saga t is COMPENSATED",
        "t",
        status,
    )
