"""What a caller asks of a tuning, as what its swarm is told."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypedDict
from uuid import uuid4

from orchestration.core.jsonable import is_whole, shown
from orchestration.core.swarm.motions import tuning_settings
from orchestration.core.swarm.run import Evaluate, SwarmRun
from orchestration.core.swarm.stopping import Stopping
from orchestration.core.swarm.tuning import TuningSettings
from orchestration.engine.swarm_asking import (
    OF_RUN,
    SEED_BITS,
    named,
    pairs_of,
    some,
    unknown,
)
from orchestration.errors import InvalidSwarm

__all__ = ["TuneOptions", "tuning_run"]


class TuneOptions(TypedDict, total=False):
    """How settings are tuned; what is left out has a default.

    Attributes:
        generations: How many follow the first; by default 12.
        candidates: How many settings are tried in each; 10 to 1,000, by default 12.
        searches: How often each is tried, every time with other random numbers; by
            default 9.
        evaluations: With how many values each time; by default 20,000. What is best
            depends on it: give as many as the searches are to have.
        max_agents: More agents no settings have; by default, and at most, 200.
        tournament: Of how many the best has a child; by default 2.
        mutation: How far children are from their parents, as a part of the range of a
            setting; by default 0.15.
        seed: Of the random numbers; by default one that nobody knows before.
        slices: In how many tasks a generation is tried; by default one for each.
        timeout_ms: After which time it ends as it stands, milliseconds.
        task_timeout_ms: How long one task may take, milliseconds; by default 300,000.
        max_attempts: How often in a row a generation may fail; by default 3.
        retry_ms: The wait after the first failure, doubled each time; by default 200.
        name: For people; by default that of the fitness, tuned.
        swarm_id: By default one that is made up.
    """

    generations: int
    candidates: int
    searches: int
    evaluations: int
    max_agents: int
    tournament: int
    mutation: float
    seed: int
    slices: int
    timeout_ms: int
    task_timeout_ms: int
    max_attempts: int
    retry_ms: int
    name: str
    swarm_id: str


_OF_TUNING: Final = {one.name for one in fields(TuningSettings)} - {"lower", "upper"}
_OF_RUN: Final = OF_RUN - {"iterations_per_task"}
_GENERATIONS: Final = 12
_MOST_GENERATIONS: Final = 1_000


def tuning_run(
    fitness: str | Callable[..., Any],
    bounds: Sequence[Sequence[float]],
    options: Mapping[str, Any],
) -> tuple[str, SwarmRun]:
    """Return the id of a tuning's swarm, and what that is told.

    Raises:
        InvalidSwarm: Its bounds or options cannot be read; all that is wrong is named.
    """
    fitness_name, faults = named(fitness)
    name = str(options.get("name") or f"{fitness_name}, tuned")
    faults += unknown(options, TuneOptions)
    lower, upper, wrong = pairs_of(bounds)
    told = some(options, _OF_TUNING)
    settings = TuningSettings(lower=lower or (0.0,), upper=upper or (1.0,), **told)
    faults += [*wrong, *settings.faults()]
    generations = options.get("generations", _GENERATIONS)
    if not is_whole(generations) or not 1 <= generations <= _MOST_GENERATIONS:
        faults.append(
            f"generations is {shown(generations)}: give it a whole number, 1 to 1,000"
        )
        generations = _GENERATIONS
    run = SwarmRun(
        motion={} if faults else tuning_settings(settings),
        seed=options["seed"] if "seed" in options else secrets.randbits(SEED_BITS),
        stopping=Stopping(iterations=generations),
        fitness=fitness_name,
        name=name,
        evaluate=Evaluate.PARTITIONS,
        slices=options.get("slices", settings.candidates),
        **some(options, _OF_RUN),
    )
    if faults:
        raise InvalidSwarm(name, (*faults, *run.faults_of_its_own()))
    return str(options.get("swarm_id") or uuid4()), run
