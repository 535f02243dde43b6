"""What a swarm that moves is told: all of it is recorded, and decides every bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np

from orchestration.core.jsonable import is_whole, shown
from orchestration.core.swarm.adapting import Adapting
from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.federated import Federated
from orchestration.core.swarm.islands import bounds_of
from orchestration.core.swarm.motion import Fitness, Motion
from orchestration.core.swarm.motions import TUNING, motion_faults, motion_of
from orchestration.core.swarm.randomness import draws
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.stopping import Stopping
from orchestration.core.swarm.tuning import Tuning

__all__ = ["RUN", "Evaluate", "SwarmRun", "first_state", "run_of", "started"]

RUN: Final = "run"
"""The kind of swarms that move, among those that are recorded."""

LEAST_AGENTS: Final = 10
MOST_AGENTS: Final = 10_000
_MOST_DIMS: Final = 1_000
_MOST_PER_TASK: Final = 10_000
_MOST_SLICES: Final = 1_000
_DAY_MS: Final = 86_400_000
_MOST_SEED: Final = 2**53 - 1  # JSON's numbers are exact up to here


class Evaluate(StrEnum):
    """Where the fitness values positions."""

    TASK = "task"
    """All of them at once, in the iteration's own task."""
    PARTITIONS = "partitions"
    """A slice of them in each of several tasks, for a fitness that takes long."""
    ISLANDS = "islands"
    """Those of each island in a task of its own, up to the next migration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmRun:
    """One run of a swarm.

    Attributes:
        motion: Settings of its motion; see ``motions``.
        seed: Of its random numbers.
        stopping: When it has done enough.
        fitness: Name of what values positions; empty: nothing does.
        name: For people.
        iterations_per_task: How many iterations one Celery task does.
        evaluate: Where positions are valued.
        slices: In how many parts, if not in the iteration's own task.
        timeout_ms: After which time it ends as it stands, milliseconds; None: never.
        task_timeout_ms: How long one task may take, milliseconds.
        max_attempts: How often in a row an iteration may fail.
        retry_ms: The wait after the first failure; doubled each time.
        queue: Where its tasks go.
    """

    motion: Mapping[str, Any]
    seed: int
    stopping: Stopping = field(default_factory=Stopping)
    fitness: str = ""
    name: str = ""
    iterations_per_task: int = 1
    evaluate: Evaluate = Evaluate.TASK
    slices: int = 0
    timeout_ms: int | None = None
    task_timeout_ms: int = 300_000
    max_attempts: int = 3
    retry_ms: int = 200
    queue: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return told | {
            "motion": dict(self.motion),
            "stopping": self.stopping.to_json(),
            "evaluate": str(self.evaluate),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the run that ``to_json`` told of."""
        return cls(
            **{
                **value,
                "stopping": Stopping.from_json(value["stopping"]),
                "evaluate": Evaluate(value["evaluate"]),
            }
        )

    def faults(self, most_agents: int) -> tuple[str, ...]:
        """Return all that is wrong with it, each with its way out.

        Args:
            most_agents: How many there may be, by the settings.
        """
        return (*self.faults_of_its_own(), *self._motion(most_agents))

    def faults_of_its_own(self) -> tuple[str, ...]:
        """Return all that is wrong with it beside its motion."""
        return (*self.stopping.faults(), *self._own_faults())

    def valued_by(self, fitness: Fitness) -> Fitness:
        """Return a fitness that is given positions as this run gives them.

        In slices, or by islands, if it does so: to some functions it makes a
        difference in the last bit how many positions they are given at once.
        """
        fitness = self.tried_by(fitness)
        if self.evaluate is Evaluate.TASK:
            return fitness

        def value(position: Floats) -> Floats:
            bounds = self.slice_bounds(len(position))
            return np.concatenate([fitness(position[a:b]) for a, b in bounds])

        return value

    def tried_by(self, fitness: Fitness) -> Fitness:
        """Return what values positions, where they are not the fitness's own.

        A tuning's are settings, and worth what searches with them find.
        """
        if self.motion["kind"] != TUNING:
            return fitness
        motion = motion_of(self.motion)
        assert isinstance(motion, Tuning)  # noqa: S101
        return motion.values_of(fitness, self.seed)

    def tasks(self, size: int) -> int:
        """Return in how many tasks positions of so many agents are valued."""
        return 1 if self.evaluate is Evaluate.TASK else len(self.slice_bounds(size))

    def slice_bounds(self, size: int) -> tuple[tuple[int, int], ...]:
        """Return where each slice, or island, of so many agents begins and ends."""
        if self.evaluate is Evaluate.ISLANDS:
            return bounds_of([one["agents"] for one in self.motion["islands"]])
        count = max(1, min(self.slices, size))
        edges = [size * nth // count for nth in range(count + 1)]
        return tuple(pairwise(edges))

    def _motion(self, most_agents: int) -> Iterator[str]:
        if faults := motion_faults(self.motion):
            yield from faults
            return
        motion = motion_of(self.motion)
        if self.evaluate is Evaluate.ISLANDS and not isinstance(motion, Federated):
            yield "evaluate is islands, and there are none: give islands as well"
        if motion.searches and not self.fitness:
            yield "it searches and has no fitness: name one"
        if not motion.searches and self.stopping.evaluations is not None:
            yield "evaluations is for a search, and this is none: leave it out"
        seed = self.seed if is_whole(self.seed) and self.seed >= 0 else 0
        state = first_state(motion, seed)
        agents, dims = state.size, state.dims
        most = min(most_agents, MOST_AGENTS)
        for what, count in (("has", agents), *_limits(motion)):
            if not LEAST_AGENTS <= count <= most:
                yield (
                    f"it {what} {count} agents: use {LEAST_AGENTS} to {most} (the most "
                    "is ORCHESTRATION_MAX_SWARM_AGENTS)"
                )
        if dims > _MOST_DIMS:
            yield f"its space has {dims} dimensions: use at most {_MOST_DIMS}"

    def _own_faults(self) -> Iterator[str]:
        limits: tuple[tuple[str, int, int], ...] = (
            ("seed", 0, _MOST_SEED),
            ("iterations_per_task", 1, _MOST_PER_TASK),
            ("task_timeout_ms", 100, _DAY_MS),
            ("max_attempts", 1, 100),
            ("retry_ms", 0, 60_000),
        )
        if self.evaluate is Evaluate.PARTITIONS:
            # An iteration is several tasks then, and not the other way round.
            limits += (("slices", 2, _MOST_SLICES), ("iterations_per_task", 1, 1))
        if self.evaluate is Evaluate.ISLANDS:
            limits += (("iterations_per_task", 1, 1),)  # ``migrate_every`` says it
        if self.timeout_ms is not None:
            limits += (("timeout_ms", 1, 365 * _DAY_MS),)
        for name, least, most in limits:
            given = getattr(self, name)
            if not is_whole(given) or not least <= given <= most:
                yield (
                    f"{name} is {shown(given)}: give it a whole number, {least} to "
                    f"{most:,}"
                )


def _limits(motion: Motion) -> Iterator[tuple[str, int]]:
    """Name the sizes that a swarm may come to."""
    if isinstance(motion, Adapting):
        yield "may come down to min_agents,", motion.limits.min_agents
        yield "may come up to max_agents,", motion.limits.max_agents
    if isinstance(motion, Tuning):
        yield "may find settings of max_agents,", motion.settings.max_agents


def first_state(motion: Motion, seed: int) -> SwarmState:
    """Return a swarm before anything was valued."""
    return motion.begin(draws(seed, 0))


def started(run: SwarmRun) -> NewFact:
    """Return the fact that a run began."""
    spec = run.to_json()
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    state = first_state(motion_of(run.motion), run.seed)
    return NewFact(
        EventType.SWARM_STARTED,
        {
            "kind": RUN,
            "name": run.name,
            "spec": spec,
            "spec_hash": sha256(text.encode()).hexdigest(),
            "seed": run.seed,
            "agents": state.size,
            "digest": state.digest(),
            "timeout_ms": run.timeout_ms,
        },
    )


def run_of(spec: Mapping[str, Any]) -> tuple[SwarmRun, Motion]:
    """Return what a recorded run was told, and its motion; swarms may share both."""
    return _read(json.dumps(spec, sort_keys=True))


@lru_cache(maxsize=1_024)
def _read(spec: str) -> tuple[SwarmRun, Motion]:
    run = SwarmRun.from_json(json.loads(spec))
    return run, motion_of(run.motion)
