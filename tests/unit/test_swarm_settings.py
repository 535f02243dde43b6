"""What a behaviour refuses: everything at once, before anything moves."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.core.swarm.allocation import ResponseSettings
from orchestration.core.swarm.behaviors import motion_for, settings_for
from orchestration.core.swarm.energy import EnergySettings
from orchestration.core.swarm.evolution import EvolutionSettings
from orchestration.core.swarm.flocking import FlockingSettings
from orchestration.core.swarm.pheromone import PheromoneSettings
from orchestration.core.swarm.roles import RoleShares

WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "FLOCKING",
        {"agents": 0, "dims": 4, "side": -1, "rule": "BIRDS", "noise": 7, "roles": 3},
        ["agents", "dims", "side", "rule", "noise", "roles"],
    ),
    (
        "DISPERSING",
        {"side": "wide", "gain": 2, "spacing": 0, "probes": 0.5, "rule": None},
        ["side", "gain", "spacing", "probes", "rule"],
    ),
    (
        "CLUSTERING",
        {"agents": 3, "bandwidth": 0, "points": [[0, 0, 0], [1, "x", 2]]},
        ["bandwidth", "points are 2 for 3 agents", "points[1]"],
    ),
    ("CLUSTERING", {"points": 7, "side": float("nan")}, ["points", "side"]),
    (
        "MIGRATING",
        {"goal": [0, 0, 0], "turn": 0, "noise": 4, "assertiveness": -1},
        ["goal is nowhere", "turn", "noise", "assertiveness"],
    ),
    ("MIGRATING", {"goal": [1, 0], "radius": None}, ["goal", "radius"]),
    (
        "FORAGING",
        {
            "sources": [[0, 0, 0], [1, 2]],
            "richness": [1, 0],
            "hidden": [2],
            "evaporation": 0,
            "alpha": -1,
            "by_length": 1,
            "floor": 2.0,
            "ceiling": 1.0,
            "roles": {"scout": 0.8, "nurse": 0.8},
        },
        [
            "sources[0] is in the nest",
            "sources[1]",
            "richness[1]",
            "hidden",
            "evaporation",
            "alpha",
            "by_length",
            "ceiling",
            "roles",
        ],
    ),
    ("FORAGING", {"sources": 5, "richness": [1]}, ["sources", "richness"]),
]


@pytest.mark.parametrize(("behavior", "given", "faults"), WRONG)
def test_everything_that_is_wrong_is_listed_at_once(
    behavior: str, given: dict[str, Any], faults: list[str]
) -> None:
    listed = settings_for(behavior, given).faults()
    assert len(listed) == len(faults)
    for fault in faults:
        assert any(each.startswith(fault) for each in listed), (fault, listed)
    with pytest.raises(ValueError, match=behavior) as refused:
        motion_for(behavior, given)
    assert all(each in str(refused.value) for each in listed)


def test_a_setting_that_there_is_not_is_named_beside_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no 'sped': use .*speed"):
        motion_for("FLOCKING", {"sped": 1})


def test_a_behaviour_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="'HUNTING' is no SwarmBehavior"):
        motion_for("HUNTING", {})


def test_settings_of_another_behaviour_are_refused() -> None:
    with pytest.raises(ValueError, match="give it MigratingSettings"):
        motion_for("MIGRATING", FlockingSettings())


def test_plain_names_are_accepted() -> None:
    assert motion_for("flocking", {"rule": "vicsek"}).searches is False


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        (EnergySettings(initial=0, per_idle=-1, reproduces_at=1), 3),
        (EvolutionSettings(max_agents=0, tournament=0, mutation=-1.0), 3),
        (ResponseSettings(soldier=0, work=0, demand=-1, rest=2), 4),
        (PheromoneSettings(evaporation=2, diffusion=0.2, floor=-1, ceiling=0), 4),
        (PheromoneSettings(floor=0.1, diffusion=0.1), 1),
        (PheromoneSettings(floor=2.0, ceiling=1.0), 1),
        (RoleShares(scout=2, nurse=-1), 2),
        (RoleShares(scout=0.6, soldier=0.6), 1),
        (RoleShares(), 0),
        (PheromoneSettings(), 0),
    ],
    ids=str,
)
def test_other_settings_tell_their_faults_too(settings: Any, faults: int) -> None:
    assert len(settings.faults()) == faults
    assert type(settings).from_json(settings.to_json()) == settings
