"""A world of several agents in which pipelines run; what they did is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestration.agents import Action, ActionContext
from orchestration.core.pipeline.checks import pipeline_faults
from orchestration.core.pipeline.compiling import compiled
from orchestration.core.pipeline.execution import PipelineExecution, execution_of
from orchestration.core.pipeline.model import PipelineDefinition, PipelineStage
from orchestration.testing import SagaWorld

Doing = Callable[[dict[str, Any], ActionContext], Any]


class Member:
    """An agent that has every action, or those that are named."""

    max_concurrent = max_per_s = None

    def __init__(
        self, crew: Crew, agent_id: str, *capabilities: str, actions: str = ""
    ) -> None:
        self.crew, self.agent_id, self.capabilities = crew, agent_id, capabilities
        self.actions = actions.split()

    def find(self, action: str) -> Action | None:
        if self.actions and action not in self.actions:
            return None

        def act(data: dict[str, Any], context: ActionContext) -> Any:
            self.crew.log.append(f"{self.agent_id} {action} {context.step}")
            self.crew.inputs[context.step] = data
            does = self.crew.does.get(self.agent_id, _nothing)
            return does(data, context)

        return act


class Crew(SagaWorld):
    """The world; ``does[agent_id]`` says what an agent does."""

    def __init__(self, *names: str, **options: Any) -> None:
        self.does: dict[str, Doing] = {}
        self.log: list[str] = []
        self.inputs: dict[str, dict[str, Any]] = {}
        members = [Member(self, *name.split()) for name in names]
        super().__init__(members, **options)

    def go(
        self, *stages: PipelineStage, timeout_ms: int | None = None, **data: Any
    ) -> PipelineExecution:
        """Run stages to their end and return the status."""
        pipeline = PipelineDefinition(stages=stages)
        assert pipeline_faults(pipeline, run_id="run") == ()
        saga = compiled(pipeline, run_id="run", timeout_ms=timeout_ms)
        return execution_of(self.run(saga, data))


def _nothing(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    return {}


def says(**output: Any) -> Doing:
    """Return what returns that."""
    return lambda _data, _context: output


def fails(data: dict[str, Any], context: ActionContext) -> Any:
    raise ValueError(f"{context.step} fails")
