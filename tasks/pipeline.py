"""Pipelines that a producer without this package has run."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestration.adapters.saga_records import Start
from orchestration.contracts import PIPELINE_RUN
from orchestration.core.pipeline.checks import pipeline_faults
from orchestration.core.pipeline.compiling import compiled
from orchestration.core.pipeline.model import PipelineDefinition
from orchestration.errors import InvalidPipeline
from tasks.because import because_of
from tasks.celery_app import app
from tasks.runtime import runtime


@app.task(name=PIPELINE_RUN, bind=True, max_retries=None)
def run(
    self: Task,
    definition: dict[str, Any],
    initial_data: dict[str, Any] | None = None,
    run_id: str | None = None,
) -> str:
    """Begin a run of a pipeline; return its id.

    Without ``run_id`` the task's id is the run's, so that a message that comes twice
    begins one run.
    """
    own_id = run_id or str(self.request.id)
    try:
        pipeline = PipelineDefinition.from_json(definition)
    except (TypeError, ValueError) as exc:
        name = definition.get("name") if isinstance(definition, dict) else None
        raise InvalidPipeline(str(name), [str(exc)]) from exc
    if faults := pipeline_faults(pipeline, run_id=own_id):
        raise InvalidPipeline(str(pipeline.name), faults)
    begun = Start(
        transaction=compiled(pipeline, run_id=own_id), initial_data=initial_data or {}
    )
    runtime(app).desk.door.begin(begun, because_of(self))
    return own_id
