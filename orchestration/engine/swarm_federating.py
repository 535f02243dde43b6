"""What a caller asks of a federation, as what its islands are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from orchestration.core.jsonable import shown
from orchestration.core.swarm.federation import (
    LEAST_ISLANDS,
    MOST_ISLANDS,
    Federation,
    searches,
)
from orchestration.core.swarm.run import Evaluate
from orchestration.core.swarm.search import Search

__all__ = ["federation_of"]

_ITS_OWN: Final = ("migrate_every", "migrants")
# What all islands have in common, and what only a size that changes has.
_OF_ALL: Final = {"lower", "upper", "agents", "evaluations"}
_OF_SIZE: Final = {"sizing", "min_agents", "max_agents"}
_OF_ISLAND: Final = {one.name for one in fields(Search)} - _OF_ALL - _OF_SIZE


def federation_of(
    told: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Federation | None, Sequence[str]]:
    """Return the federation that is asked for, and all that is wrong with it.

    None if no islands are asked for.

    Args:
        told: What the search is told, whether it is one or several.
        options: Of the run, as they were given.
    """
    own = {name: options[name] for name in _ITS_OWN if name in options}
    if "islands" not in options:
        faults = [
            f"{name} is for islands, and there are none: give islands as well"
            for name in own
        ]
        if options.get("evaluate") == Evaluate.ISLANDS:
            fault = "evaluate is islands, and there are none: give islands as well"
            faults.append(fault)
        return None, faults
    apart, faults = _islands(options["islands"])
    federation = Federation(islands=searches(told, apart), **own)
    return federation, (*faults, *federation.faults())


def _islands(given: object) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """Return what each island has of its own, and what is wrong with it."""
    if isinstance(given, int) and LEAST_ISLANDS <= given <= MOST_ISLANDS:
        return given * [{}], []
    if not isinstance(given, list | tuple) or not all(
        isinstance(one, Mapping) for one in given
    ):
        fault = (
            f"islands is {shown(given)}: give how many there are, {LEAST_ISLANDS} to "
            f"{MOST_ISLANDS}, or what each has of its own, as "
            '[{}, {"algorithm": "SPSO_2011"}]'
        )
        return LEAST_ISLANDS * [{}], [fault]
    way_out = f"use {', '.join(sorted(_OF_ISLAND))}"
    faults = [
        f"island {nth + 1}: there is no {shown(name)}: {way_out}"
        for nth, one in enumerate(given)
        for name in one
        if name not in _OF_ISLAND
    ]
    wanted = [{name: one[name] for name in one if name in _OF_ISLAND} for one in given]
    return wanted, faults
