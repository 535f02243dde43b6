"""What ``orchestration swarm run`` starts: out of a file, or of options."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from orchestration.swarm import SwarmOrchestrator

__all__ = ["Asked", "asked", "begun", "imported"]

_LOOK_EVERY_S: Final = 0.02
_SEARCH: Final = ("fitness", "bounds", "dims")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a swarm is to do.

    Attributes:
        fitness: What a search is to find the least value of; empty: it is no search.
        bounds: The least and the most of each of its dimensions.
        told: The options of a search, or the fields of a task.
    """

    fitness: str
    bounds: Sequence[Sequence[float]]
    told: Mapping[str, Any]


def asked(file: str | None, options: Mapping[str, Any]) -> Asked:
    """Return what was asked for.

    Args:
        file: A file's name, ``.json`` or ``.toml``; None: only options.
        options: What was said besides, by name, and goes before what the file says;
            None where nothing was.

    Raises:
        click.UsageError: It is neither a search nor work, or both.
        click.BadParameter: The file or the bounds cannot be read.
    """
    said = {name: value for name, value in options.items() if value is not None}
    told = (_read(file) if file is not None else {}) | said
    is_search = "fitness" in told
    if is_search == ("objective" in told):
        raise click.UsageError(
            "name either a fitness, for a search, or an objective, for work in "
            "partitions: in a file, or by --fitness or --objective"
        )
    if not is_search:
        if extra := sorted({"bounds", "dims"} & set(told)):
            raise click.UsageError(f"{', '.join(extra)}: that is for a search")
        return Asked("", (), told)
    bounds = _bounds(told["fitness"], told.get("bounds"), told.get("dims"))
    rest = {name: value for name, value in told.items() if name not in _SEARCH}
    return Asked(told["fitness"], bounds, rest)


async def begun(swarms: SwarmOrchestrator, wanted: Asked) -> str:
    """Start what was asked for, and return the swarm's id.

    Raises:
        click.BadParameter: It cannot be read.
        InvalidSwarm: Something is wrong with it; nothing has been started.
    """
    options: dict[str, Any] = {**wanted.told}
    if wanted.fitness:
        return await swarms.start(wanted.fitness, wanted.bounds, **options)
    from orchestration.swarm import SwarmTask

    try:
        task = SwarmTask.from_json(options, swarm_id=options.pop("swarm_id", ""))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc
    # A swarm outlives who deploys it: its begin is waited for, not its end.
    deploying = asyncio.ensure_future(swarms.deploy(task))
    while not deploying.done() and not await _has_begun(swarms, task.swarm_id):
        await asyncio.sleep(_LOOK_EVERY_S)
    if deploying.done():
        await deploying
    deploying.cancel()
    return task.swarm_id


async def _has_begun(swarms: SwarmOrchestrator, swarm_id: str) -> bool:
    from orchestration.errors import SwarmNotFound

    try:
        await swarms.status(swarm_id)
    except SwarmNotFound:
        return False
    return True


def imported(modules: Sequence[str]) -> None:
    """Import modules, also from this folder.

    Raises:
        click.BadParameter: One cannot be.
    """
    sys.path.insert(0, str(Path.cwd()))
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as exc:
            raise click.BadParameter(f"-I {module}: {exc}") from exc


def _read(file: str) -> dict[str, Any]:
    try:
        text = Path(file).read_text("utf-8")
        told = tomllib.loads(text) if file.endswith(".toml") else json.loads(text)
    except (OSError, ValueError) as exc:
        raise click.BadParameter(f"{file}: {exc}") from exc
    if not isinstance(told, dict):
        raise click.BadParameter(f"{file}: it is no JSON object")
    return told


def _bounds(fitness: object, given: object, dims: int | None) -> Any:  # noqa: ANN401 - as given
    """Return the bounds of each dimension, as far as they can be made out.

    What is wrong with them otherwise the swarm itself says, with all other faults.
    """
    from orchestration.core.swarm.functions import STANDARD

    pairs = _pairs(given) if isinstance(given, str) else given
    if pairs is None:
        standard = STANDARD.get(str(fitness))
        if standard is None:
            raise click.UsageError(
                f"{fitness} has no usual bounds: give some, as --bounds -5:5,0:1"
            )
        pairs = [(-standard.bound, standard.bound)]
        dims = dims or 2
    if dims is None:
        return pairs
    if not isinstance(pairs, list | tuple) or len(pairs) != 1:
        raise click.UsageError("dims goes with one pair of bounds, the same for all")
    return [*pairs] * dims


def _pairs(text: str) -> list[tuple[float, float]]:
    """Read ``LOW:HIGH``, any number of them with commas between."""
    pairs = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        try:
            pairs.append((float(low), float(high)))
        except ValueError:
            raise click.BadParameter(
                f"{part!r} are no bounds: give LOW:HIGH, as -5:5,0:1"
            ) from None
    return pairs
