"""Many routers that go by the same old loads do not all run to the same agent."""

from __future__ import annotations

import pytest

from benchmarks._herding import Scene, mean_outcome, simulate

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover


def test_old_loads_do_no_harm() -> None:
    scene = Scene(service_s=0.05, length=300)
    ours = mean_outcome(scene, "least loaded", 5)
    in_turn = mean_outcome(scene, "round robin", 5)
    pure = simulate(scene, "pure least loaded")
    assert ours.p99 <= 1.05 * in_turn.p99
    assert ours.peak <= 15
    assert pure.p99 > 5 * ours.p99


def test_the_agent_that_has_just_sent_its_heartbeat_is_not_run_to() -> None:
    scene = Scene(service_s=0.05, agents=20, refresh_s=30, groups=20, length=700)
    ours, in_turn = simulate(scene, "least loaded"), simulate(scene, "round robin")
    assert ours.p99 <= 1.2 * in_turn.p99
    assert ours.peak <= 20


def test_fresh_loads_help() -> None:
    scene = Scene(service_s=1.0, length=200)
    assert simulate(scene, "least loaded").p99 < simulate(scene, "round robin").p99
    assert simulate(scene, "least loaded").p99 <= 7.5


def test_a_scene_is_the_same_each_time() -> None:
    scene = Scene(service_s=0.05, length=40)
    assert simulate(scene, "least loaded") == simulate(scene, "least loaded")
