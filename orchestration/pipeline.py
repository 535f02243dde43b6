"""Pipelines: stages one after the other, each by agents, a saga or a swarm.

    pipeline = Pipeline([PipelineStage("collect", ["agent-a"]), …])
    result = await pipeline.execute({"year": 2024}, timeout_ms=60_000)

A run is a saga that undoes nothing: it outlives its caller, every stage is an event,
and what a dead worker leaves behind is taken up again. docs/pipelines.md tells the
whole story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from orchestration.core.pipeline.checks import pipeline_faults
from orchestration.core.pipeline.compiling import compiled
from orchestration.core.pipeline.ends import result_or_raise
from orchestration.core.pipeline.execution import (
    PipelineExecution,
    PipelineState,
    StageReport,
    execution_of,
)
from orchestration.core.pipeline.model import (
    ExecutionMode,
    PipelineDefinition,
    PipelineStage,
)
from orchestration.core.saga.model import RetryPolicy, SagaTransaction
from orchestration.errors import InvalidPipeline, SagaNotCompleted
from orchestration.message_bus import MessageBus
from orchestration.opening import Opened
from orchestration.saga import SagaOrchestrator
from orchestration.saga_client import HistoryEvent

__all__ = [
    "ExecutionMode",
    "HistoryEvent",
    "Pipeline",
    "PipelineDefinition",
    "PipelineExecution",
    "PipelineStage",
    "PipelineState",
    "RetryPolicy",
    "StageReport",
]


class Pipeline(Opened):
    """Stages that are run together, any number of times.

    Nothing is checked before a run is asked for; then all faults are named at once,
    before anything starts.

    Args:
        stages: In their order.
        name: What its runs are called in lists, metrics and Flower.
        timeout_ms: Time for each run as a whole, milliseconds.
        message_bus: Whose connections it uses; None: one of its own.
    """

    def __init__(
        self,
        stages: Sequence[PipelineStage],
        *,
        name: str = "pipeline",
        timeout_ms: int = 3_600_000,
        message_bus: MessageBus | None = None,
    ) -> None:
        self.definition = PipelineDefinition(
            name=name, stages=stages, timeout_ms=timeout_ms
        )
        self._saga = SagaOrchestrator(message_bus)

    @property
    def stages(self) -> tuple[PipelineStage, ...]:
        """Its stages, in their order."""
        return tuple(self.definition.stages)

    async def initialize(self) -> None:
        """Connect, unless the message bus is connected already.

        Every method does so at first use.
        """
        await self._saga.initialize()

    async def close(self) -> None:
        """Let go of what this object opened; a shared bus stays open."""
        await self._saga.close()

    async def execute(
        self,
        initial_data: Mapping[str, Any] | None = None,
        *,
        timeout_ms: int | None = None,
        run_id: str | None = None,
    ) -> dict[str, Any]:
        """Run the stages and return what they produced.

        The run outlives this call: cancelling the wait does not stop it. Calling again
        with the same ``run_id`` waits for the first run and starts nothing.

        Args:
            initial_data: JSON input of the first stages.
            timeout_ms: For the run as a whole; None: the pipeline's own.
            run_id: Letters, digits, ``_`` and ``-``; None: a new one.

        Returns:
            The outputs of all stages, overlaid in their order.

        Raises:
            InvalidPipeline: The pipeline has faults; all are named, nothing started.
            UnknownAgent: No worker ever announced an agent or action of it.
            PipelineFailed: A stage gave up; the run halted as it stands.
            PipelineTimedOut: The time for the run was over.
            PipelineCancelled: It was cancelled.
            PipelinePaused: Nobody knows what became of a stage; a person decides.
            PayloadTooLarge: The initial data are over the limit.
            SagaConflict: The run's id is taken by another.
        """
        saga = await self._begin(timeout_ms, run_id)
        try:
            return await self._saga.execute(saga, initial_data)
        except SagaNotCompleted as exc:
            return result_or_raise(exc.status)

    async def start(
        self,
        initial_data: Mapping[str, Any] | None = None,
        *,
        timeout_ms: int | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a run as ``execute`` does, and return its id without waiting for it."""
        saga = await self._begin(timeout_ms, run_id)
        return await self._saga.start(saga, initial_data)

    async def wait(
        self, run_id: str, *, timeout_ms: int | None = None
    ) -> PipelineExecution:
        """Wait until a run is over, or stands still for a person; return its status.

        Args:
            run_id: Of a run that has been started.
            timeout_ms: How long to wait, milliseconds; None: as long as it takes.

        Raises:
            SagaStillRunning: The time is over; the run goes on.
            SagaNotFound: There is no such run.
        """
        await self.initialize()
        return execution_of(await self._saga.wait(run_id, timeout_ms=timeout_ms))

    async def status(self, run_id: str) -> PipelineExecution:
        """Return how a run stands, from its events."""
        await self.initialize()
        return execution_of(await self._saga.get_execution_status(run_id))

    async def history(self, run_id: str) -> tuple[HistoryEvent, ...]:
        """Return every fact recorded of a run, oldest first."""
        await self.initialize()
        return await self._saga.history(run_id)

    async def cancel(
        self, run_id: str, *, by: str = "", why: str = ""
    ) -> PipelineExecution:
        """Give up a run, once what runs has ended.

        What agents did stays; sagas that were stages of it are undone.
        """
        await self.initialize()
        return execution_of(await self._saga.cancel(run_id, by=by, why=why))

    async def pause(
        self, run_id: str, *, by: str = "", why: str = ""
    ) -> PipelineExecution:
        """Let what runs end, and begin nothing; timers stand still."""
        await self.initialize()
        return execution_of(await self._saga.pause(run_id, by=by, why=why))

    async def resume(
        self, run_id: str, *, by: str = "", why: str = ""
    ) -> PipelineExecution:
        """Go on after a pause."""
        await self.initialize()
        return execution_of(await self._saga.resume(run_id, by=by, why=why))

    async def retry(
        self, run_id: str, *, by: str = "", why: str = ""
    ) -> PipelineExecution:
        """Try again the stage at which a run failed, and go on from there."""
        await self.initialize()
        return execution_of(await self._saga.retry(run_id, by=by, why=why))

    async def _begin(
        self, timeout_ms: int | None, run_id: str | None
    ) -> SagaTransaction:
        """Return the saga of a new run.

        Raises:
            InvalidPipeline: The pipeline has faults.
        """
        own_id = str(uuid4()) if run_id is None else run_id
        faults = pipeline_faults(self.definition, run_id=own_id, timeout_ms=timeout_ms)
        if faults:
            raise InvalidPipeline(str(self.definition.name), faults)
        await self.initialize()
        return compiled(self.definition, run_id=own_id, timeout_ms=timeout_ms)
