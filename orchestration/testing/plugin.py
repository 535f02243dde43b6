"""Fixtures for pytest, of which a ``conftest.py`` says that it wants them.

    pytest_plugins = ["orchestration.testing.plugin"]

They are not there by themselves: who does not test sagas does not load them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest

from orchestration.agents import Agent
from orchestration.saga_client import SagaClient
from orchestration.testing.clock import FakeClock
from orchestration.testing.prover import RollbackProver
from orchestration.testing.stages import InMemory, OnWorkers, Stage
from orchestration.testing.world import SagaWorld

__all__ = [
    "MakeProver",
    "celery_stage",
    "fake_clock",
    "rollback_prover",
    "saga_world",
]


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands still until it is moved."""
    return FakeClock()


@pytest.fixture
def saga_world(fake_clock: FakeClock) -> SagaWorld:
    """A world that hosts all agents that the tests have imported, on ``fake_clock``."""
    return SagaWorld(clock=fake_clock)


class MakeProver(Protocol):
    """Makes provers: what ``rollback_prover`` gives."""

    def __call__(
        self,
        *,
        snapshot: Callable[[], Any],
        reset: Callable[[], object],
        agents: Sequence[Agent] | None = None,
        stage: Stage | None = None,
    ) -> RollbackProver:
        """Return a prover, in memory unless a stage is given.

        Args:
            snapshot: Returns what of the world counts; see ``RollbackProver``.
            reset: Puts the world back.
            agents: Those that are hosted in memory; None: all that were imported.
            stage: Where sagas are run, such as ``celery_stage``.
        """


@pytest.fixture
def rollback_prover(fake_clock: FakeClock) -> MakeProver:
    """A function that makes provers, in memory on ``fake_clock``, or on a stage."""

    def make(
        *,
        snapshot: Callable[[], Any],
        reset: Callable[[], object],
        agents: Sequence[Agent] | None = None,
        stage: Stage | None = None,
    ) -> RollbackProver:
        where = stage or InMemory(agents=agents, clock=fake_clock)
        return RollbackProver(where, snapshot=snapshot, reset=reset)

    return make


@pytest.fixture(scope="session")
def celery_stage() -> Iterator[OnWorkers]:
    """The workers that run at the addresses in the environment.

    DATABASE_URL, REDIS_URL and CELERY_BROKER_URL name them, as ``orchestration env``
    prints them.
    """
    with SagaClient() as client:
        yield OnWorkers(client)
