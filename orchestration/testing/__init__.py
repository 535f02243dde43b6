"""Sagas without servers, for tests: a world in memory, and what can go wrong in it.

``SagaWorld`` runs sagas with the engine's own code on a log, a queue and workers in
memory, whose clock skips time. docs/testing.md shows how to use it.
"""

from orchestration.testing.clock import FakeClock
from orchestration.testing.faults import Fault, FaultKind, InjectedFailure
from orchestration.testing.log import MemoryLog
from orchestration.testing.mishaps import Mishaps, WorkerKilled
from orchestration.testing.watch import MemoryIndex, MemoryWatch
from orchestration.testing.world import SagaWorld

__all__ = [
    "FakeClock",
    "Fault",
    "FaultKind",
    "InjectedFailure",
    "MemoryIndex",
    "MemoryLog",
    "MemoryWatch",
    "Mishaps",
    "SagaWorld",
    "WorkerKilled",
]
