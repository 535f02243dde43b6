"""What goes wrong with pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.errors.base import OrchestrationError

if TYPE_CHECKING:
    from orchestration.core.pipeline.execution import PipelineExecution

__all__ = [
    "InvalidPipeline",
    "PipelineCancelled",
    "PipelineFailed",
    "PipelineNotCompleted",
    "PipelinePaused",
    "PipelineTimedOut",
]


class InvalidPipeline(OrchestrationError):
    """A pipeline was refused; nothing has been started.

    Attributes:
        faults: One sentence per fault, each naming the stage and the way out.
    """

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        # All arguments go to the base, so that a worker can hand the error on.
        super().__init__(name, tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"pipeline {self.args[0]!r} was refused: " + "; ".join(self.faults)


class PipelineNotCompleted(OrchestrationError):
    """The outcome of a run is final, and it is not COMPLETED.

    Attributes:
        run_id: Of the run.
        status: Its full status when the outcome was read.
    """

    def __init__(self, message: str, status: PipelineExecution) -> None:
        super().__init__(message, status)
        self.run_id = status.run_id
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


class PipelineFailed(PipelineNotCompleted):
    """A stage gave up, and the run halted as it stands."""


class PipelineTimedOut(PipelineNotCompleted):
    """The time for the run as a whole was over."""


class PipelinePaused(PipelineNotCompleted):
    """The run stands still: nobody knows what became of a stage."""


class PipelineCancelled(PipelineNotCompleted):
    """The run was cancelled on request."""
