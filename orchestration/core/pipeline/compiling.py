"""The saga that a pipeline becomes: one step for each stage.

A pipeline that gives up halts as it stands: what its stages did is not undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.core.pipeline.model import (
    SWARM_CONFIG,
    ExecutionMode,
    PipelineDefinition,
    PipelineStage,
)
from orchestration.core.saga.model import (
    OnFailure,
    SagaStep,
    SagaTransaction,
    Teamwork,
)

__all__ = ["compiled"]

_ALWAYS = "True"


def compiled(
    pipeline: PipelineDefinition, *, run_id: str, timeout_ms: int | None = None
) -> SagaTransaction:
    """Return the saga that runs a pipeline.

    It never fails: what is wrong with a stage is wrong with its step, or named by
    ``checks``.

    Args:
        pipeline: Its stages are ``PipelineStage``.
        run_id: Of this run: the saga's id.
        timeout_ms: For the run as a whole; None: the pipeline's own.
    """
    return SagaTransaction(
        pipeline.name,
        [_step(stage) for stage in pipeline.stages],
        on_failure=OnFailure.HALT,
        timeout_ms=pipeline.timeout_ms if timeout_ms is None else timeout_ms,
        transaction_id=run_id,
    )


def _step(stage: PipelineStage) -> SagaStep:
    condition = stage.condition
    given: dict[str, Any] = {
        "depends_on": stage.depends_on,
        "timeout_ms": stage.timeout_ms,
        "retry_policy": stage.retry_policy,
        "metadata": stage.metadata,
        "when": condition if isinstance(condition, str) else None,
        "map": stage.items if stage.mode is ExecutionMode.MAP else None,
    }
    if stage.swarm_config is not None:
        return SagaStep(stage.name, **given | _swarm(stage))
    if stage.saga is not None:
        return SagaStep(stage.name, saga=stage.saga, **given)
    return SagaStep(stage.name, action=stage.action, **given, **_who(stage))


def _who(stage: PipelineStage) -> dict[str, Any]:
    """Return the fields of a step that say which agents do it."""
    agents = stage.agents if isinstance(stage.agents, tuple) else ()
    if stage.capability is not None:
        return {"capability": stage.capability}
    if isinstance(stage.condition, Mapping):
        conditions = stage.condition
        names = (one for one in agents if isinstance(one, str))
        return {"choose": [(one, conditions.get(one, _ALWAYS)) for one in names]}
    if stage.mode is ExecutionMode.PARALLEL:
        teamwork = Teamwork.MERGED if stage.merge else Teamwork.AT_ONCE
        return {"agents": agents, "teamwork": teamwork}
    if len(agents) == 1:
        return {"agent_id": agents[0]}
    if stage.mode is ExecutionMode.MAP:
        return {"agents": agents}
    return {"agents": agents, "teamwork": Teamwork.IN_TURN if agents else None}


def _swarm(stage: PipelineStage) -> dict[str, Any]:
    """Return the fields of a step that a swarm does.

    Unless its configuration says otherwise, the objective is the stage's name, and
    what is done with each partition is the action of that name of the first agent.
    """
    config = stage.swarm_config
    rest = {key: value for key, value in stage.metadata.items() if key != SWARM_CONFIG}
    own = dict(config) if isinstance(config, Mapping) else {}
    swarm = {"objective": stage.name, **own}
    if "handler" not in own and stage.agents:
        swarm["handler"] = f"{stage.agents[0]}/{stage.action or stage.name}"
    if stage.items is not None:
        swarm.setdefault("items", stage.items)
    return {"swarm": swarm, "metadata": rest, "map": None}
