"""Which motion a swarm's settings are of: what is recorded of it leads back to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestration.core.jsonable import shown
from orchestration.core.swarm.behaviors import motion_for, settings_for
from orchestration.core.swarm.federation import Federation, federated
from orchestration.core.swarm.model import SwarmBehavior
from orchestration.core.swarm.motion import Motion
from orchestration.core.swarm.search import Search
from orchestration.core.swarm.search import motion_of as search_motion
from orchestration.core.swarm.tuning import Tuning, TuningSettings
from orchestration.core.words import member

__all__ = [
    "FEDERATION",
    "SEARCH",
    "TUNING",
    "behavior_settings",
    "motion_faults",
    "motion_of",
    "search_settings",
    "tuning_settings",
]

FEDERATION: Final = "federation"
"""The kind of several searches, each on an island."""

SEARCH: Final = "search"
"""The kind of a particle swarm that looks for the least value."""

TUNING: Final = "tuning"
"""The kind of a swarm of settings with which searches find more."""


def search_settings(search: Search | Federation) -> dict[str, Any]:
    """Return the settings of a search's motion, or of several; without faults."""
    kind = FEDERATION if isinstance(search, Federation) else SEARCH
    return {"kind": kind, **search.to_json()}


def tuning_settings(settings: TuningSettings) -> dict[str, Any]:
    """Return the settings of a tuning's motion."""
    return {"kind": TUNING, **settings.to_json()}


def behavior_settings(
    behavior: SwarmBehavior | str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a behaviour's motion; what is not given is as by default.

    Raises:
        ValueError: There is no such behaviour or setting.
    """
    behavior = member(SwarmBehavior, behavior)
    kind = SEARCH if behavior is SwarmBehavior.SWARMING else str(behavior)
    return {"kind": kind, **settings_for(behavior, given).to_json()}


def motion_faults(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Return all that is wrong with the settings of a motion, each with its way out."""
    kind = _KINDS.get(str(told.get("kind")))
    if kind is None:
        known = ", ".join(sorted(_KINDS))
        return (f"its motion is {shown(told.get('kind'))}: use one of {known}",)
    try:
        return kind.faults(_own(told))
    except (TypeError, ValueError) as exc:
        return (str(exc),)


def motion_of(told: Mapping[str, Any]) -> Motion:
    """Return the motion that settings are of.

    Args:
        told: Its ``kind``, and what that takes.

    Raises:
        ValueError: They have faults.
    """
    if faults := motion_faults(told):
        raise ValueError("; ".join(faults))
    return _KINDS[told["kind"]].motion(_own(told))


@dataclass(frozen=True, slots=True)
class _Kind:
    faults: Callable[[Mapping[str, Any]], tuple[str, ...]]
    motion: Callable[[Mapping[str, Any]], Motion]


def _behavior(behavior: SwarmBehavior) -> _Kind:
    return _Kind(
        lambda told: settings_for(behavior, told).faults(),
        lambda told: motion_for(behavior, told),
    )


_KINDS: Final[Mapping[str, _Kind]] = {
    FEDERATION: _Kind(
        lambda told: Federation.from_json(told).faults(),
        lambda told: federated(Federation.from_json(told)),
    ),
    SEARCH: _Kind(
        lambda told: Search.from_json(told).faults(),
        lambda told: search_motion(Search.from_json(told)),
    ),
    TUNING: _Kind(
        lambda told: TuningSettings.from_json(told).faults(),
        lambda told: Tuning(TuningSettings.from_json(told)),
    ),
    **{
        str(one): _behavior(one)
        for one in SwarmBehavior
        if one is not SwarmBehavior.SWARMING  # that is a search
    },
}


def _own(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "kind"}
