"""Sagas without servers, for tests: a world in memory, and what can go wrong in it.

``SagaWorld`` runs sagas with the engine's own code on a log, a queue and workers in
memory, whose clock skips time. ``RollbackProver`` tries what may go wrong in a saga, in
memory or on real workers, and holds the world against what the saga says of itself.
docs/testing.md shows how to use them.
"""

from orchestration.core.saga.acts import Who
from orchestration.testing.clock import FakeClock
from orchestration.testing.faults import Fault, FaultKind, InjectedFailure
from orchestration.testing.log import MemoryLog
from orchestration.testing.mishaps import Mishaps, WorkerKilled
from orchestration.testing.proof import Proof, RollbackBroken, Tried
from orchestration.testing.prover import RollbackProver
from orchestration.testing.scenarios import Scenario
from orchestration.testing.stages import InMemory, OnWorkers
from orchestration.testing.watch import MemoryIndex, MemoryWatch
from orchestration.testing.world import SagaWorld

__all__ = [
    "FakeClock",
    "Fault",
    "FaultKind",
    "InMemory",
    "InjectedFailure",
    "MemoryIndex",
    "MemoryLog",
    "MemoryWatch",
    "Mishaps",
    "OnWorkers",
    "Proof",
    "RollbackBroken",
    "RollbackProver",
    "SagaWorld",
    "Scenario",
    "Tried",
    "Who",
    "WorkerKilled",
]
