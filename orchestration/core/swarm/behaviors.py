"""Which motion a behaviour is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestration.core.swarm.clustering import Clustering, ClusteringSettings
from orchestration.core.swarm.dispersing import Dispersing, DispersingSettings
from orchestration.core.swarm.flocking import Flocking, FlockingSettings
from orchestration.core.swarm.foraging import Foraging, ForagingSettings
from orchestration.core.swarm.migrating import Migrating, MigratingSettings
from orchestration.core.swarm.model import SwarmBehavior
from orchestration.core.swarm.motion import Motion
from orchestration.core.swarm.roaming import Roaming
from orchestration.core.swarm.search import Search
from orchestration.core.swarm.search import motion_of as search_motion
from orchestration.core.words import member

__all__ = ["motion_for", "settings_for"]

_Entry = tuple[type[Roaming] | type[Search], Callable[..., Motion]]
_MOTIONS: Final[Mapping[SwarmBehavior, _Entry]] = {
    SwarmBehavior.FORAGING: (ForagingSettings, Foraging),
    SwarmBehavior.FLOCKING: (FlockingSettings, Flocking),
    SwarmBehavior.DISPERSING: (DispersingSettings, Dispersing),
    SwarmBehavior.CLUSTERING: (ClusteringSettings, Clustering),
    SwarmBehavior.MIGRATING: (MigratingSettings, Migrating),
    SwarmBehavior.SWARMING: (Search, search_motion),
}


def settings_for(
    behavior: SwarmBehavior | str, given: Mapping[str, Any]
) -> Roaming | Search:
    """Return the settings of a behaviour; what is not given is as by default.

    Raises:
        ValueError: There is no such behaviour or setting.
    """
    return _entry(behavior)[0].from_json(given)


def motion_for(
    behavior: SwarmBehavior | str, settings: Roaming | Search | Mapping[str, Any]
) -> Motion:
    """Return the motion of a behaviour.

    Args:
        behavior: A plain name is accepted. SWARMING is a search: it moves by what a
            fitness says.
        settings: Its settings, or those of them that differ from the defaults.

    Raises:
        ValueError: There is no such behaviour or setting, or something is wrong with
            the settings: all of that is listed.
    """
    kind, motion = _entry(behavior)
    if not isinstance(settings, Roaming | Search):
        settings = kind.from_json(settings)
    if not isinstance(settings, kind):
        raise ValueError(  # noqa: TRY004  one kind of error for all settings
            f"{type(settings).__name__} are not the settings of {behavior}: "
            f"give it {kind.__name__}"
        )
    if faults := settings.faults():
        raise ValueError(f"{behavior}: {'; '.join(faults)}")
    return motion(settings)


def _entry(behavior: SwarmBehavior | str) -> _Entry:
    return _MOTIONS[member(SwarmBehavior, behavior)]
