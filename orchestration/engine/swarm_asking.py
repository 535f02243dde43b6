"""What a caller asks of a swarm, as what the swarm is told."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypedDict
from uuid import uuid4

from orchestration.core.jsonable import shown
from orchestration.core.swarm.adapting import Sizing
from orchestration.core.swarm.model import SwarmBehavior
from orchestration.core.swarm.motions import behavior_settings, search_settings
from orchestration.core.swarm.providers import Provided, providers
from orchestration.core.swarm.run import Evaluate, SwarmRun
from orchestration.core.swarm.search import Search
from orchestration.core.swarm.stopping import MAX_ITERATIONS, Stopping
from orchestration.engine.swarm_federating import federation_of
from orchestration.errors import InvalidSwarm

__all__ = [
    "OF_RUN",
    "SEED_BITS",
    "RunOptions",
    "motion_run",
    "named",
    "pairs_of",
    "search_run",
    "some",
    "unknown",
]

SEED_BITS: Final = 53  # JSON's numbers are exact up to here


class RunOptions(TypedDict, total=False):
    """How a search is done; what is left out has a default.

    Attributes:
        agents: How many look; 10 to the setting, by default 100.
        sizing: ``FIXED``: that many to the end; ``ADAPTIVE``: fewer while the best gets
            better, twice as many whenever all begin anew...
        min_agents: ...but no fewer than these, by default 20...
        max_agents: ...and no more than these, by default 1,000.
        seed: Of the random numbers; by default one that nobody knows before.
        iterations: At most so many; by default 1,000, with ``evaluations`` any number.
        evaluations: At most so many values are asked for; by default any number.
        target: Stop once the best value is this or less.
        convergence: Stop once the agents are together by this much, 0.0 to 1.0.
        ftol: Stop once the best value got better by no more than
            ``ftol * (1 + |best|)`` in ``window`` iterations.
        window: See ``ftol``; by default 50.
        algorithm: ``CONSTRICTED`` or ``SPSO_2011``.
        topology: ``GLOBAL``, ``RING`` or ``RANDOM``: who informs whom.
        boundary: ``PERIODIC``, ``REFLECTING``, ``CLIPPING`` or ``ALTERNATING``: it is
            clipping at first, and periodic after most new beginnings.
        inertia: What an agent keeps of its velocity.
        cognitive: How strongly it is drawn to its own best.
        social: How strongly it is drawn to the best that it knows of.
        informed: How many others each informs, in the random topology.
        rebound: What is kept of the speed at a bound that turns agents back.
        scouts: How many of the agents begin anew where they find nothing better...
        limit: ...in so many iterations.
        patience: Iterations without anything better after which all begin anew; 0:
            never. By default 50, and 100 on islands.
        islands: On how many islands the agents search, each by itself, or what each of
            these islands has of its own: ``[{}, {"algorithm": "SPSO_2011"}]``. The
            agents are shared out evenly.
        migrate_every: So many iterations lie between two migrations, by default 50...
        migrants: ...in which so many agents of each island are copied to the next one;
            by default 1.
        iterations_per_task: How many iterations one Celery task does; by default 1. The
            result is the same to the bit.
        evaluate: ``task``: the iteration's own task values all positions;
            ``partitions``: slices of them are valued in tasks of their own, for a
            fitness that takes long; ``islands``: each island has a task of its own up
            to the next migration.
        slices: In how many slices; by default 4.
        timeout_ms: After which time it ends as it stands, milliseconds.
        task_timeout_ms: How long one task may take, milliseconds; by default 300,000.
        max_attempts: How often in a row an iteration may fail; by default 3.
        retry_ms: The wait after the first failure, doubled each time; by default 200.
        name: For people; by default the fitness's.
        swarm_id: By default one that is made up.
    """

    agents: int
    sizing: str
    min_agents: int
    max_agents: int
    seed: int
    iterations: int
    evaluations: int
    target: float
    convergence: float
    ftol: float
    window: int
    algorithm: str
    topology: str
    boundary: str
    inertia: float
    cognitive: float
    social: float
    informed: int
    rebound: float
    scouts: int
    limit: int
    patience: int
    islands: int | Sequence[Mapping[str, Any]]
    migrate_every: int
    migrants: int
    iterations_per_task: int
    evaluate: str
    slices: int
    timeout_ms: int
    task_timeout_ms: int
    max_attempts: int
    retry_ms: int
    name: str
    swarm_id: str


_OF_SEARCH: Final = {one.name for one in fields(Search)} - {"lower", "upper"}
_OF_STOPPING: Final = {one.name for one in fields(Stopping)}
OF_RUN: Final = {
    "iterations_per_task",
    "timeout_ms",
    "task_timeout_ms",
    "max_attempts",
    "retry_ms",
}
_SLICES: Final = 4
_ENDS: Final = 2


def search_run(
    fitness: str | Callable[..., Any],
    bounds: Sequence[Sequence[float]],
    options: Mapping[str, Any],
) -> tuple[str, SwarmRun]:
    """Return the id of a search's swarm, and what that is told.

    Raises:
        InvalidSwarm: Its bounds or options cannot be read; all that is wrong is named.
    """
    fitness_name, faults = named(fitness)
    name = str(options.get("name") or fitness_name)
    faults += unknown(options, RunOptions)
    lower, upper, wrong = pairs_of(bounds)
    faults += wrong
    evaluate = options.get("evaluate", Evaluate.TASK)
    if evaluate not in tuple(Evaluate):
        faults.append(f"evaluate is {shown(evaluate)}: use {', '.join(Evaluate)}")
        evaluate = Evaluate.TASK
    told = {"lower": lower, "upper": upper, **some(options, _OF_SEARCH)}
    search = Search(**told)
    faults += () if wrong else search.faults()
    if search.sizing is not Sizing.ADAPTIVE:
        faults += [
            f"{one} is for a size that changes: leave it out, or give sizing=ADAPTIVE"
            for one in ("min_agents", "max_agents")
            if one in options
        ]
    federation, unfit = federation_of(told, options)
    faults += () if wrong else [one for one in unfit if one not in faults]
    stopping = _stopping(options)
    run = SwarmRun(
        motion={} if faults else search_settings(federation or search),
        seed=options["seed"] if "seed" in options else secrets.randbits(SEED_BITS),
        stopping=stopping,
        fitness=fitness_name,
        name=name,
        evaluate=Evaluate(evaluate),
        slices=_slices(options, Evaluate(evaluate)),
        **some(options, OF_RUN),
    )
    if faults:  # with those that it would have been refused for besides
        every = dict.fromkeys((*faults, *run.faults_of_its_own()))
        raise InvalidSwarm(name, tuple(every))
    return str(options.get("swarm_id") or uuid4()), run


def motion_run(
    behavior: str, settings: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[str, SwarmRun]:
    """Return the id of a swarm that moves without searching, and what that is told.

    Raises:
        InvalidSwarm: Its settings or options cannot be read.
    """
    name = str(options.get("name") or behavior)
    known = {*OF_RUN, *_OF_STOPPING, "seed", "name", "swarm_id"}
    faults = [
        f"there is no option {shown(one)}: use one of {', '.join(sorted(known))}"
        for one in sorted(set(options) - known)
    ]
    if str(behavior).upper() == SwarmBehavior.SWARMING:
        told = (
            "SWARMING searches for the least value of a fitness: give one to start() "
            "or optimize(), with bounds and the settings as options"
        )
        raise InvalidSwarm(name, [*faults, told])
    try:
        motion = behavior_settings(behavior, settings)
    except (TypeError, ValueError) as exc:
        motion, faults = {}, [*faults, str(exc)]
    run = SwarmRun(
        motion=motion,
        seed=options["seed"] if "seed" in options else secrets.randbits(SEED_BITS),
        stopping=Stopping(**some(options, _OF_STOPPING)),
        name=name,
        **some(options, OF_RUN),
    )
    if faults:
        raise InvalidSwarm(name, (*faults, *run.faults_of_its_own()))
    return str(options.get("swarm_id") or uuid4()), run


def unknown(options: Mapping[str, Any], known: type) -> list[str]:
    """Return the fault of each option that there is not."""
    names = known.__annotations__
    way_out = f"use one of {', '.join(sorted(names))}"
    return [
        f"there is no option {shown(one)}: {way_out}"
        for one in sorted(set(options) - set(names))
    ]


def _stopping(options: Mapping[str, Any]) -> Stopping:
    """Return when a search stops; one that counts values need not count iterations."""
    told = some(options, _OF_STOPPING)
    if "evaluations" in told and told["evaluations"] is not None:
        told = {"iterations": MAX_ITERATIONS, **told}
    return Stopping(**told)


def _slices(options: Mapping[str, Any], evaluate: Evaluate) -> Any:  # noqa: ANN401  whatever was given
    if evaluate is not Evaluate.PARTITIONS:
        return 0
    return options.get("slices", _SLICES)


def some(options: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return those of the options that have one of the names."""
    return {name: value for name, value in options.items() if name in names}


def named(fitness: object) -> tuple[str, list[str]]:
    """Return the name of a fitness, and what is wrong with it."""
    if isinstance(fitness, str):
        return fitness, [] if fitness else ["its fitness is '': name one"]
    for one in providers():
        if one.kind is Provided.FITNESS and one.target is fitness:
            return one.name, []
    fault = (
        f"its fitness is {shown(fitness)}: give the name of one, or a function that "
        "@fitness has named, which workers import"
    )
    return "", [fault]


def pairs_of(bounds: object) -> tuple[list[Any], list[Any], list[str]]:
    """Return the least and the most of each dimension, and what is wrong with them."""
    way_out = "give the least and the most of each dimension, as [(-5, 5), (0, 1)]"
    try:
        pairs = [tuple(pair) for pair in bounds]  # type: ignore[attr-defined]  # whatever was given
    except TypeError:
        return [], [], [f"bounds are {shown(bounds)}: {way_out}"]
    if not pairs or any(len(pair) != _ENDS for pair in pairs):
        return [], [], [f"bounds are {shown(bounds)}: {way_out}"]
    plain = [tuple(_plain(one) for one in pair) for pair in pairs]
    return [pair[0] for pair in plain], [pair[1] for pair in plain], []


def _plain(value: Any) -> Any:  # noqa: ANN401  whatever was given
    """Return a number of NumPy as Python's own."""
    return value.item() if hasattr(value, "item") else value
