"""What beat starts, and how often: names and periods (seconds) only."""

from __future__ import annotations

from typing import Final

SCHEDULE: Final[dict[str, tuple[str, float]]] = {
    # Finds sagas that stand still: lost messages, dead workers, due times.
    "sweep sagas": ("saga.sweep", 1.0),
    # Starts sagas whose time has come.
    "start scheduled sagas": ("saga.schedules", 1.0),
    # Tries again what could not be undone.
    "retry dead letters": ("saga.letters", 5.0),
    # Tells somebody outside of sagas that need a person.
    "notify of failures": ("saga.notify", 5.0),
    # Has sagas that ended long ago leave the lists.
    "retire sagas": ("saga.retire", 3_600.0),
    # Judges agents by their heartbeats, and deregisters those that are gone.
    "sweep agents": ("registry.sweep", 5.0),
    # Copies agents of other regions, if there are any.
    "replicate agents": ("registry.replicate", 1.0),
    # Finds swarms that stand still: lost messages, dead workers, a wiped Redis.
    "sweep swarms": ("swarm.sweep", 1.0),
    # Has swarms that ended long ago leave the lists.
    "retire swarms": ("swarm.retire", 3_600.0),
    # Forgets messages that could not be delivered, after their time.
    "retire dead messages": ("agent.retire", 3_600.0),
    # Looks after swarms that share out partitions.
    "patrol swarms": ("swarm.patrol", 1.0),
    # Evaporates what runs have learned of their work; none of its ticks is missed.
    "evaporate fields": ("swarm.evaporate", 60.0),
    # Gives committed events their place in the one dense order that readers follow.
    "number events": ("provenance.sequence", 1.0),
}
